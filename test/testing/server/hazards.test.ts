import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import {
  act,
  codeOf,
  create,
  data,
  frames,
  get,
  json,
  post,
  prompt,
  result,
  send,
  start,
  status,
  tick
} from "../../support/emulator.js"

describe("hazards of forks, templates and prompts", () => {
  it.scoped("H15 H18 a fork erases its source's text, both read one buffer, and TaskInfo names the source", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const left = yield* json(act(emulator, id, "fork", prompt(0, 40)))
      const right = yield* json(act(emulator, id, "fork", prompt(0, 40)))
      expect(yield* result(emulator, id)).toMatchObject({ result: "" })
      yield* tick(1000)
      expect((yield* result(emulator, left.task_id)).result).toHaveLength(80)
      expect((yield* result(emulator, id)).result).toHaveLength(80)
      expect((yield* status(emulator, right.task_id)).task_id).toBe(id)
    }))

  it.scoped("H16 templates cannot be read or continued, and a failing fork wipes the source", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const template = (yield* json(act(emulator, id, "as_template"))).task_id
      expect(template).toMatch(/^_TMPL_[0-9a-f]{32}$/)
      expect(yield* codeOf(get(emulator, `/v1/tasks/${template}/get_result`))).toBe(500)
      const stream = yield* get(emulator, `/v1/tasks/${template}/stream`)
      expect(stream.status).toBe(200)
      expect((yield* Effect.flip(stream.text)).reason).toBe("Decode")
      const fork = yield* json(act(emulator, template, "fork"))
      expect(yield* codeOf(get(emulator, `/v1/tasks/${fork.task_id}/get_result`))).toBe(500)
      const before = (yield* json(get(emulator, "/v1/tasks/list"))).cpu_cache_count
      expect(yield* codeOf(act(emulator, template, "fork", prompt(1, 5)))).toBe(500)
      expect((yield* json(get(emulator, "/v1/tasks/list"))).cpu_cache_count).toBe(before + 1)
      expect((yield* result(emulator, id)).result).toBe("")
    }))

  it.scoped("H19 sibling forks with the same prompt say the same", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { task_id: id } = yield* json(post(emulator, "/v1/tasks/create", { prompt: "The sea", max_tokens: 8 }))
      yield* tick(1000)
      const body = { prompt: " and", max_tokens: 20, stream: true }
      const left = yield* frames(act(emulator, id, "fork", body))
      yield* tick(1000)
      const right = yield* frames(act(emulator, id, "fork", body))
      yield* tick(1000)
      expect(data(left.chunks).join("")).not.toBe("")
      expect(data(left.chunks)).toEqual(data(right.chunks))
    }))

  it.scoped("H20 continue or fork with a prompt of a running task is a 500 that leaves the task alone", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 0, 64)
      yield* tick(10)
      expect(yield* codeOf(act(emulator, id, "continue", prompt(1, 5)))).toBe(500)
      expect(yield* codeOf(act(emulator, id, "fork", prompt(1, 5)))).toBe(500)
      yield* tick(1000)
      expect(yield* status(emulator, id)).toMatchObject({ generated_buf: 64, status: 3 })
    }))

  it.scoped("H21 a promptless fork of a running task stays running until it is stopped", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 0, 64)
      yield* tick(10)
      const fork = (yield* json(act(emulator, id, "fork"))).task_id
      yield* tick(10_000)
      expect((yield* status(emulator, fork)).status).toBe(2)
      expect((yield* status(emulator, id)).status).toBe(3)
      expect((yield* json(act(emulator, fork, "stop"))).status).toBe(3)
    }))

  it.scoped("H22 a waiting task that is continued runs twice into one buffer", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ idleDelay: 500 })
      const id = yield* create(emulator, 0, 40)
      yield* act(emulator, id, "continue")
      yield* tick(5000)
      expect((yield* status(emulator, id)).generated_buf).toBe(80)
    }))

  it.scoped("H24 an empty prompt wipes a task until a valid one repairs it", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      expect(yield* codeOf(act(emulator, id, "continue", { prompt: "" }))).toBe(500)
      yield* act(emulator, id, "stop")
      expect(yield* result(emulator, id)).toMatchObject({ result: "", finished: false })
      yield* act(emulator, id, "continue", prompt(1, 5))
      yield* tick(1000)
      expect(yield* result(emulator, id)).toMatchObject({ result: "abcde", finished: true })
    }))

  it.scoped("H25 an unknown id is a 500, but as the last of a prompt it blocks the server until a restart", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      expect(yield* codeOf(post(emulator, "/v1/tasks/tmp", { prompt: [70000, 50] }))).toBe(500)
      expect(yield* codeOf(post(emulator, "/v1/tasks/tmp", { prompt: [50, -1] }))).toBe(200)
      const id = yield* create(emulator, 1, 5)
      yield* tick(60_000)
      yield* act(emulator, id, "stop")
      yield* tick(60_000)
      expect((yield* status(emulator, id)).generated_buf).toBe(0)
      yield* emulator.restart("kill")
      const fresh = yield* create(emulator, 1, 5)
      yield* tick(1000)
      expect((yield* status(emulator, fresh)).status).toBe(3)
    }))

  it.scoped("H25 an id that fits no slot keeps its own task from running, and no other", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = (yield* json(send(emulator, {
        method: "POST",
        path: "/v1/tasks/tmp",
        body: "{\"prompt\":[50,9223372036854775808]}"
      }))).task_id
      const other = yield* create(emulator, 1, 5)
      yield* tick(60_000)
      expect(yield* status(emulator, other)).toMatchObject({ generated_buf: 5, status: 3 })
      yield* act(emulator, id, "stop")
      yield* tick(60_000)
      expect(yield* status(emulator, id)).toMatchObject({ generated_buf: 0, status: 2 })
    }))

  it.scoped("H26 lone surrogates are a 500", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      expect(yield* codeOf(post(emulator, "/v1/tasks/fim", { prefix: "a\ud800" }))).toBe(500)
    }))
})
