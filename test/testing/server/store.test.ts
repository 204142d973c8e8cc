import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  act,
  codeOf,
  create,
  data,
  frames,
  get,
  isOpen,
  json,
  prompt,
  result,
  start,
  status,
  tick
} from "../../support/emulator.js"

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
