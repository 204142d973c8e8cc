import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schedule, TestClock } from "effect"
import { Protocol, RWKVError } from "effect-rwkv"
import * as retry from "../../src/internal/wire/retry.js"
import { settled } from "../../src/internal/stream/settle.js"

const result = (finished: boolean, generationTime: number): Protocol.TaskResult => ({
  taskId: Protocol.TaskId.make("TMP_1"),
  text: "text",
  finished,
  speed: 0,
  prefillTime: Duration.zero,
  generationTime: Duration.seconds(generationTime),
  undecodedTail: false
})

const about = { operation: "test", taskId: undefined }

const connection = (requestSent: boolean, retryable = true) =>
  new RWKVError.RWKVConnectionError({ ...about, description: "reset", requestSent, retryable })

const status = (status: number, retryAfter?: Duration.Duration) =>
  new RWKVError.RWKVServerError({ ...about, status, description: "busy", ...(retryAfter && { retryAfter }) })

const limited = new RWKVError.RWKVStatusError({ ...about, status: 429, description: "limited" })

const timeout = new RWKVError.RWKVTimeoutError({ ...about, kind: "request", limit: Duration.seconds(1) })

const wrong = new RWKVError.RWKVDecodeError({ ...about, description: "not JSON" })

const schedule = Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(3)))

/** How often it was tried, if it fails like this each time. */
const attempts = <E extends RWKVError.RWKVError>(
  policy: (effect: Effect.Effect<never, E>) => Effect.Effect<never, E>,
  error: E
) =>
  Effect.gen(function*() {
    let count = 0
    const fiber = yield* Effect.fork(Effect.flip(policy(Effect.suspend(() => {
      count++
      return Effect.fail(error)
    }))))
    yield* TestClock.adjust("1 hour")
    expect(yield* Fiber.join(fiber)).toBe(error)
    return count
  })

const secondLater = Duration.seconds(1)

/** Whether a read, a poll and a create are tried again. */
const cases: ReadonlyArray<readonly [RWKVError.RWKVError, read: boolean, poll: boolean, create: boolean]> = [
  [connection(false), true, true, true],
  [connection(true), true, true, false],
  [connection(false, false), false, false, false],
  [timeout, false, true, false],
  [limited, true, true, true],
  [status(500), true, true, false],
  [status(503), true, true, false],
  [status(503, secondLater), true, true, true],
  [status(500, secondLater), true, true, false],
  [wrong, false, false, false]
]

describe("retry", () => {
  it.effect.each(cases)(
    "%s is repeated by reads: %s, by polls: %s, by creates: %s",
    ([error, read, poll, create]) =>
      Effect.gen(function*() {
        expect(yield* attempts(retry.reads(schedule), error)).toBe(read ? 4 : 1)
        expect(yield* attempts(retry.polls(schedule), error)).toBe(poll ? 4 : 1)
        expect(yield* attempts(retry.creates(schedule), error)).toBe(create ? 4 : 1)
      })
  )

  it.effect("stops at the first failure that may not be repeated, and at the first success", () =>
    Effect.gen(function*() {
      const lasts: ReadonlyArray<Effect.Effect<string, RWKVError.RWKVError>> = [
        Effect.fail(wrong),
        Effect.succeed("text")
      ]
      for (const last of lasts) {
        let count = 0
        const read = Effect.suspend(() => count++ === 0 ? Effect.fail(connection(true)) : last)
        const fiber = yield* Effect.fork(Effect.exit(retry.reads(schedule)(read)))
        yield* TestClock.adjust("999 millis")
        expect(count).toBe(1)
        yield* TestClock.adjust("1 hour")
        expect(yield* Fiber.join(fiber)).toEqual(yield* Effect.exit(last))
        expect(count).toBe(2)
      }
    }))

  it.effect("a success at once is read once", () =>
    Effect.gen(function*() {
      let count = 0
      const read = Effect.sync(() => ++count)
      expect([yield* retry.reads(schedule)(read), yield* retry.creates(schedule)(read)]).toEqual([1, 2])
    }))
})

describe("a result is settled", () => {
  const reads = (finished: boolean, generationTimes: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      let count = 0
      const read = Effect.sync(() => result(finished, generationTimes[count++] ?? 0))
      const fiber = yield* Effect.fork(settled(read))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      return count
    })

  it.effect("once its time of generation is there, or never, after four reads", () =>
    Effect.gen(function*() {
      expect(yield* reads(true, [0, 0, 0, 0])).toBe(4)
      expect(yield* reads(true, [0, 0, 5])).toBe(3)
      expect(yield* reads(true, [0, 5])).toBe(2)
    }))

  it.effect("at once if its time is there, or the task goes on", () =>
    Effect.gen(function*() {
      expect(yield* reads(true, [5])).toBe(1)
      expect(yield* reads(false, [0])).toBe(1)
    }))

  it.effect("a failure of any reading is told", () =>
    Effect.gen(function*() {
      let count = 0
      const fiber = yield* Effect.fork(
        Effect.flip(
          settled(Effect.suspend(() => count++ === 0 ? Effect.succeed(result(true, 0)) : Effect.fail("lost")))
        )
      )
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toBe("lost")
    }))
})
