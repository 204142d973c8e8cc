import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Emulator } from "effect-rwkv/testing"
import {
  act,
  codeOf,
  create,
  data,
  done,
  frames,
  get,
  json,
  post,
  prompt,
  result,
  start,
  status,
  tick
} from "../../support/emulator.js"

describe("the documented profile", () => {
  const documented = (options: Emulator.Options = {}) => start({ profile: "documented", ...options })

  it.scoped("forks have their own buffer and id, and templates can be forked", () =>
    Effect.gen(function*() {
      const emulator = yield* documented()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const template = (yield* json(act(emulator, id, "as_template"))).task_id
      const fork = (yield* json(act(emulator, template, "fork", prompt(0, 40)))).task_id
      yield* tick(1000)
      expect((yield* result(emulator, id)).result).toBe("abcde")
      expect((yield* result(emulator, template)).result).toBe("abcde")
      expect((yield* result(emulator, fork)).result).toHaveLength(40)
      expect((yield* status(emulator, fork)).task_id).toBe(fork)
    }))

  it.scoped("templates are guarded and survive restarts", () =>
    Effect.gen(function*() {
      const emulator = yield* documented()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const template = (yield* json(act(emulator, id, "as_template"))).task_id
      const again = yield* act(emulator, template, "as_template")
      expect([again.status, yield* again.json]).toEqual([400, { detail: "Task is already a template" }])
      const refused = yield* act(emulator, template, "delete")
      expect([refused.status, yield* refused.json]).toEqual([
        403,
        { detail: "Cannot delete template without force=true" }
      ])
      yield* emulator.restart("kill")
      expect(yield* codeOf(get(emulator, `/v1/tasks/${template}/status`))).toBe(200)
      expect((yield* result(emulator, id)).result).toBe("abcde")
      yield* act(emulator, template, "delete?force=true")
      expect(yield* codeOf(get(emulator, `/v1/tasks/${template}/status`))).toBe(404)
    }))

  it.scoped("no frame is cut inside a character, and an unfinished one at the end is dropped", () =>
    Effect.gen(function*() {
      const emulator = yield* documented()
      const split = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(2, 64), stream: true }))
      const id = yield* create(emulator, 6, 64)
      yield* tick(1000)
      const texts = data(split.chunks)
      expect(texts.join("")).toBe("abcdefghijklmnopqrstuvwxyzabcde🌍abcdefghijklmnopqrstuvwxyzabcd")
      expect((yield* result(emulator, id)).result).toBe("abcdefghijklmnopqrstuvwxyzabcde")
    }))

  it.scoped("stop is immediate, max_tokens 0 ends streams, and busy tasks are refused", () =>
    Effect.gen(function*() {
      const emulator = yield* documented({ pulse: 320 })
      const stream = yield* frames(post(emulator, "/v1/tasks/create", { ...prompt(0, 4000), stream: true }))
      yield* tick(45)
      const id = JSON.parse(stream.chunks[0]?.slice(6) ?? "").task_id
      expect(yield* codeOf(act(emulator, id, "continue"))).toBe(500)
      expect(yield* codeOf(act(emulator, id, "fork"))).toBe(500)
      expect(yield* json(act(emulator, id, "stop"))).toMatchObject({ status: 3, generated_buf: 4 })
      yield* tick(1)
      expect(stream.chunks.at(-1)).toBe(done)
      const empty = yield* frames(act(emulator, id, "continue", { ...prompt(0, 0), stream: true }))
      yield* tick(1000)
      expect(empty.chunks.slice(1)).toEqual([done])
      expect(yield* emulator.running).toBe(0)
    }))

  it.scoped("a promptless continue goes on generating", () =>
    Effect.gen(function*() {
      const emulator = yield* documented({ reply: ({ text }) => text === "" ? undefined : "one two" })
      const made = yield* json(post(emulator, "/v1/tasks/tmp", { prompt: "count", max_tokens: 3 }))
      yield* tick(1000)
      yield* act(emulator, made.task_id, "continue", { max_tokens: 10 })
      yield* tick(1000)
      expect((yield* result(emulator, made.task_id)).result).toBe(" two")
    }))

  it.scoped("no stream loses frames to somebody's prefill", () =>
    Effect.gen(function*() {
      const emulator = yield* documented({ prefillPerToken: 75 })
      const opened = yield* Effect.fork(Effect.all(
        Array.from({ length: 12 }, () => frames(post(emulator, "/v1/tasks/tmp", { ...prompt(1, 5), stream: true }))),
        { concurrency: "unbounded" }
      ))
      yield* tick(5000)
      for (const { chunks } of yield* opened) expect(data(chunks)).toEqual(["abcde"])
    }))
})
