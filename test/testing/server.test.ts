import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { data, frames, get, isOpen, json, post, standIn, tick } from "./utils.js"

const done = "data: [DONE]\n\n"

const start = (options: Emulator.Options = {}) => Emulator.make({ reply: standIn, ...options })

const prompt = (script: number, max_tokens: number) => ({ prompt: [60000 + script, 50], max_tokens })

const create = (emulator: Emulator.Service, script: number, max_tokens: number, kind = "create") =>
  Effect.map(json(post(emulator, `/v1/tasks/${kind}`, prompt(script, max_tokens))), (body): string => body.task_id)

const result = (emulator: Emulator.Service, id: string) => json(get(emulator, `/v1/tasks/${id}/get_result`))
const status = (emulator: Emulator.Service, id: string) => json(get(emulator, `/v1/tasks/${id}/status`))
const act = (emulator: Emulator.Service, id: string, action: string, body: unknown = {}) =>
  post(emulator, `/v1/tasks/${id}/${action}`, body)
const codeOf = <E, R>(response: Effect.Effect<{ readonly status: number }, E, R>) =>
  Effect.map(response, (response) => response.status)

describe("scheduler", () => {
  it.scoped("the TestClock drives generation pulse by pulse", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 0, 80)
      const counts: Array<number> = []
      for (const millis of [49, 1, 49, 1, 24, 1]) {
        yield* tick(millis)
        counts.push((yield* status(emulator, id)).generated_buf)
      }
      expect(counts).toEqual([0, 32, 32, 64, 64, 80])
      expect(yield* result(emulator, id)).toMatchObject({ finished: true, gen_time: 0.125, speed: 640 })
    }))

  it.scoped("an idle scheduler wakes up after idleDelay", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ idleDelay: "500 millis" })
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 32), stream: true }))
      yield* tick(549)
      expect(data(stream.chunks)).toHaveLength(0)
      yield* tick(1)
      expect(stream.chunks[1]).toContain("\"gen_time\":0.55,")
    }))

  it.scoped("H30 stop is seen at the next step, and that step's token is kept", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 320 })
      const id = yield* create(emulator, 0, 4000)
      yield* tick(45)
      expect((yield* json(act(emulator, id, "stop"))).status).toBe(2)
      yield* tick(5)
      expect(yield* result(emulator, id)).toMatchObject({ finished: true, result: "abcde" })
      expect(yield* emulator.running).toBe(0)
    }))

  it.scoped("H30 a task that ran before and waits again is not stopped", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ maxBatchSize: 1 })
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      yield* create(emulator, 0, 64)
      yield* tick(10)
      yield* act(emulator, id, "continue", prompt(1, 7))
      expect((yield* json(act(emulator, id, "stop"))).status).toBe(1)
      yield* tick(1000)
      expect((yield* result(emulator, id)).result).toBe("abcdefg")
    }))

  it.scoped("H29 stopMisses makes the scheduler overlook a stop", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ stopMisses: (taskId) => taskId.startsWith("TMP_") })
      const id = yield* create(emulator, 0, 100, "tmp")
      yield* tick(10)
      yield* act(emulator, id, "stop")
      yield* tick(1000)
      expect((yield* status(emulator, id)).generated_buf).toBe(100)
    }))

  it.scoped("H31 lateTokens finishes a task before its last tokens appear", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ lateTokens: 30 })
      const id = yield* create(emulator, 0, 40)
      yield* tick(50 + 12.5)
      expect(yield* result(emulator, id)).toMatchObject({ finished: true, gen_time: 0 })
      expect((yield* status(emulator, id)).generated_buf).toBe(32)
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* tick(30)
      expect(data(stream.chunks).join("")).toHaveLength(32)
      expect(stream.chunks.at(-1)).toBe(done)
      expect((yield* status(emulator, id)).generated_buf).toBe(40)
    }))

  it.scoped("H34 a prefill delays the requests of others", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ prefillPerToken: 100 })
      const slow = yield* Effect.fork(json(post(emulator, "/v1/tasks/tmp", { prompt: [1, 2, 3] })))
      yield* tick(1)
      const quick = yield* Effect.fork(get(emulator, "/v1/models"))
      yield* tick(200)
      expect((yield* quick.poll)._tag).toBe("None")
      yield* tick(100)
      expect((yield* quick).status).toBe(200)
      expect((yield* slow).prefill_time).toBeCloseTo(0.3, 6)
    }))

  it.scoped("H40 a prefill-only task reports the time of day as its gen_time", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* tick(90_000)
      const id = yield* create(emulator, 0, 0)
      expect(yield* result(emulator, id)).toMatchObject({ finished: true, gen_time: 90 })
    }))

  it.scoped("running and openStreams count what is going on", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ cacheCapacity: 1 })
      yield* create(emulator, 0, 64)
      const id = yield* create(emulator, 0, 64)
      yield* tick(10)
      expect(yield* emulator.running).toBe(2)
      expect((yield* emulator.tasks).map(({ cached }) => cached)).toEqual([true, false])
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* tick(1)
      expect(yield* emulator.openStreams).toBe(1)
      yield* stream.fiber.interruptAsFork(stream.fiber.id())
      yield* tick(1)
      expect(yield* emulator.openStreams).toBe(0)
      yield* tick(1000)
      expect(yield* emulator.running).toBe(0)
      expect(yield* emulator.tasks).toMatchObject([{ taskId: id, status: 3, generated: 64 }])
    }))

  it.scoped("a thousand tasks run at once", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ cacheCapacity: 1000, maxBatchSize: 1000 })
      for (let i = 0; i < 1000; i++) yield* post(emulator, "/v1/tasks/tmp", { prompt: `Task ${i}: `, max_tokens: 64 })
      yield* tick(60_000)
      expect(yield* emulator.running).toBe(0)
    }))
})

describe("persistence", () => {
  it.scoped("H35 eviction drops a running TMP and freezes a running TASK at its snapshot", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ cacheCapacity: 2 })
      const lost = yield* create(emulator, 0, 320, "tmp")
      const frozen = yield* create(emulator, 0, 320)
      yield* tick(110)
      const immune = yield* frames(get(emulator, `/v1/tasks/${lost}/stream`))
      yield* tick(1)
      yield* status(emulator, frozen)
      yield* create(emulator, 1, 5)
      yield* create(emulator, 1, 5)
      expect(yield* codeOf(get(emulator, `/v1/tasks/${lost}/status`))).toBe(404)
      yield* tick(10_000)
      expect(data(immune.chunks).join("")).toHaveLength(320)
      expect(yield* status(emulator, frozen)).toMatchObject({ status: 2, generated_buf: 32 })
      expect(yield* codeOf(act(emulator, frozen, "continue", prompt(1, 5)))).toBe(500)
      expect((yield* json(act(emulator, frozen, "stop"))).status).toBe(3)
      expect(yield* codeOf(act(emulator, frozen, "continue", prompt(1, 5)))).toBe(200)
    }))

  it.scoped("H36 H37 a kill loses every task in memory, a graceful restart restores TASK_ with its partial text", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const killed = yield* create(emulator, 1, 5)
      yield* tick(1000)
      yield* emulator.restart("kill")
      expect(yield* codeOf(get(emulator, `/v1/tasks/${killed}/status`))).toBe(404)

      const kept = yield* create(emulator, 0, 4000)
      const temporary = yield* create(emulator, 1, 5, "tmp")
      yield* tick(50)
      const stream = yield* frames(get(emulator, `/v1/tasks/${kept}/stream`))
      yield* tick(10)
      yield* emulator.restart("graceful")
      yield* tick(1)
      expect(yield* isOpen(stream)).toBe(false)
      expect(yield* Effect.flip(stream.fiber)).toMatchObject({
        _tag: "ResponseError",
        reason: "Decode",
        cause: { code: "ECONNRESET" }
      })
      expect(yield* codeOf(get(emulator, `/v1/tasks/${temporary}/status`))).toBe(404)
      expect(yield* result(emulator, kept)).toMatchObject({ finished: true, gen_time: 0, prefill_time: 0 })
      const restored = yield* frames(get(emulator, `/v1/tasks/${kept}/stream`))
      yield* tick(1)
      expect(restored.chunks[0]).toContain("\"prefill_time\": 0}")
      expect(yield* emulator.running).toBe(0)
    }))

  it.scoped("H37 a task evicted while waiting waits after a restart until a promptless continue", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ cacheCapacity: 2, maxBatchSize: 1 })
      yield* create(emulator, 0, 64)
      const id = yield* create(emulator, 1, 5)
      yield* create(emulator, 1, 5)
      yield* create(emulator, 1, 5)
      yield* emulator.restart("kill")
      expect((yield* status(emulator, id)).status).toBe(1)
      yield* act(emulator, id, "continue")
      yield* tick(1000)
      expect((yield* result(emulator, id)).result).toBe("abcde")
    }))

  it.scoped("H39 a task in memory and in the database counts twice", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ cacheCapacity: 1 })
      const first = yield* create(emulator, 1, 5)
      const second = yield* create(emulator, 1, 5)
      yield* status(emulator, first)
      expect(yield* json(get(emulator, "/v1/tasks/list"))).toEqual({
        cpu_cache_count: 1,
        database_count: 2,
        total_count: 3,
        cpu_tasks: [first],
        db_tasks: [second, first]
      })
    }))
})

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
