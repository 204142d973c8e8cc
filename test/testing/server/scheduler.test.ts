import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import {
  act,
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

/** All that is asked of an idle server begins in one pulse. */
const together = { idleDelay: 500 }

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

  it.scoped("pulses end whose steps are no whole number of milliseconds", () =>
    Effect.gen(function*() {
      for (const tokensPerPulse of [3, 7, 11, 13]) {
        const emulator = yield* start({ tokensPerPulse })
        const id = yield* create(emulator, 0, 80)
        yield* tick(5000)
        expect((yield* status(emulator, id)).status).toBe(3)
      }
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

  it.scoped("H29 when others have ended a stop hits whoever has moved into the slot, or nobody", () =>
    Effect.gen(function*() {
      const emulator = yield* start(together)
      yield* create(emulator, 0, 5)
      const second = yield* create(emulator, 0, 320)
      const third = yield* create(emulator, 0, 320)
      const counts = Effect.map(
        Effect.all([status(emulator, second), status(emulator, third)]),
        (tasks) => tasks.map((task) => task.generated_buf)
      )
      yield* tick(500 + 110)
      yield* act(emulator, third, "stop")
      yield* tick(50)
      expect(yield* counts).toEqual([96, 96])
      yield* act(emulator, second, "stop")
      yield* tick(50)
      expect(yield* counts).toEqual([128, 103])
      // Alone now, it has moved to the front: nothing that its client can do stops it.
      yield* act(emulator, second, "stop")
      yield* tick(1000)
      expect(yield* counts).toEqual([320, 103])
    }))

  it.scoped("H29 a stop of one that waits again hits whoever is in its old slot", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ maxBatchSize: 1 })
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const other = yield* create(emulator, 0, 64)
      yield* tick(10)
      yield* act(emulator, id, "continue", prompt(1, 7))
      yield* act(emulator, id, "stop")
      yield* tick(1000)
      expect((yield* status(emulator, other)).generated_buf).toBe(7)
    }))

  it.scoped("H29 of 96 long tasks among 96 short ones a third runs on after two stops, and more help none", () =>
    Effect.gen(function*() {
      const emulator = yield* start(together)
      const long: Array<string> = []
      for (let i = 0; i < 96; i++) {
        yield* create(emulator, 0, 5)
        long.push(yield* create(emulator, 0, 4000))
      }
      const stopAll = Effect.zipRight(
        Effect.forEach(long, (id) => act(emulator, id, "stop"), { discard: true }),
        tick(500)
      )
      yield* tick(500 + 75)
      yield* stopAll
      expect(yield* emulator.running).toBe(48)
      yield* stopAll
      expect(yield* emulator.running).toBe(36)
    }))

  it.scoped("H29 the documented server stops whom it is told to", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ ...together, profile: "documented" })
      yield* create(emulator, 0, 5)
      const second = yield* create(emulator, 0, 320)
      const third = yield* create(emulator, 0, 320)
      yield* tick(500 + 110)
      yield* act(emulator, second, "stop")
      yield* tick(1000)
      expect((yield* status(emulator, second)).generated_buf).toBeLessThan(96)
      expect((yield* status(emulator, third)).generated_buf).toBe(320)
    }))

  it.scoped("H30 a stop between the last step of a pulse and its end is erased, and its repeat works", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ ...together, lateTokens: 10 })
      const id = yield* create(emulator, 0, 320)
      yield* create(emulator, 0, 32)
      yield* tick(500 + 55)
      yield* act(emulator, id, "stop")
      yield* tick(50)
      expect(yield* status(emulator, id)).toMatchObject({ status: 2, generated_buf: 32 })
      yield* act(emulator, id, "stop")
      yield* tick(100)
      expect((yield* status(emulator, id)).status).toBe(3)
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
