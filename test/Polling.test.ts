import { describe, expect, it } from "@effect/vitest"
import { Chunk, Clock, Duration, Effect, Fiber, Random, Schedule, TestClock } from "effect"
import { Polling, Protocol, RWKVError } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as retry from "../src/internal/retry.js"
import * as wire from "./wire.js"

const operation = "TaskService.status"

const info = { taskId: Protocol.TaskId.make("TMP_1"), status: "Running" as const, generatedTokens: 5 }

const server = (status: number, retryAfter?: Duration.Duration) =>
  new RWKVError.RWKVServerError({ operation, status, description: "busy", retryAfter })

const connection = (requestSent: boolean, retryable = true) =>
  new RWKVError.RWKVConnectionError({ operation, description: "no answer", requestSent, retryable })

const status = (status: number, retryAfter?: Duration.Duration) =>
  new RWKVError.RWKVStatusError({ operation, status, description: "no", retryAfter })

/** Random in the middle: no jitter. */
const steady = Effect.withRandom(Random.fixed([0.5]))

const delays = <In>(schedule: Schedule.Schedule<unknown, In>, inputs: ReadonlyArray<In>) =>
  Effect.map(
    Schedule.run(Schedule.delays(schedule), 0, inputs),
    (delays) => Chunk.toReadonlyArray(delays).map((delay) => Math.round(Duration.toMillis(delay)))
  )

const times = <A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)

describe("waitSchedule", () => {
  it.effect("looks after 20 ms, then half as long again, up to every 500 ms, and never gives up", () =>
    Effect.gen(function*() {
      const all = yield* delays(Polling.waitSchedule, times(1000, info))
      expect(all.slice(0, 11)).toEqual([20, 30, 45, 68, 101, 152, 228, 342, 500, 500, 500])
      expect(all).toHaveLength(1000)
    }).pipe(steady))

  it.effect("its jitter is a fifth either way, and Random's", () =>
    Effect.gen(function*() {
      const [least] = yield* delays(Polling.waitSchedule, [info]).pipe(Effect.withRandom(Random.fixed([0])))
      const [most] = yield* delays(Polling.waitSchedule, [info]).pipe(Effect.withRandom(Random.fixed([0.999999])))
      expect([least, most]).toEqual([16, 24])
    }))
})

describe("retrySchedule", () => {
  it.effect("repeats five times, after 200 ms and twice as long each time", () =>
    Effect.gen(function*() {
      // The last is where the schedule ends.
      expect(yield* delays(Polling.retrySchedule, times(9, connection(true)))).toEqual([200, 400, 800, 1600, 3200, 0])
    }).pipe(steady))

  it.effect("gives up two minutes after it began", () =>
    Effect.gen(function*() {
      const driver = yield* Schedule.driver(Polling.respectRetryAfter(Polling.retrySchedule))
      const failed = server(503, Duration.seconds(50))
      const fiber = yield* Effect.fork(Effect.flip(Effect.forever(driver.next(failed))))
      yield* TestClock.adjust("149 seconds")
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      expect(yield* Clock.currentTimeMillis).toBe(150_000)
    }))

  it.effect("noRetry never repeats", () =>
    Effect.map(delays(Polling.noRetry, [connection(false)]), (delays) => expect(delays).toEqual([0])))
})

describe("respectRetryAfter", () => {
  const schedule = Polling.respectRetryAfter(Schedule.spaced("1 second"))

  it.effect("F16 waits as long as it is asked to, a minute at most, and never less than the schedule", () =>
    Effect.gen(function*() {
      expect(
        yield* delays(schedule, [
          server(503, Duration.seconds(2)),
          status(429, Duration.millis(70)),
          server(503, Duration.hours(9)),
          status(429, Duration.zero),
          status(429),
          server(500),
          connection(true)
        ])
      ).toEqual([2000, 1000, 60_000, 1000, 1000, 1000, 1000])
    }))
})

const running: wire.Respond = () => wire.json(wire.info)

/** How often, and when, an effect is tried that always fails like this. */
const tries = (policy: typeof retry.reads, error: RWKVError.RWKVError) =>
  Effect.gen(function*() {
    const at: Array<number> = []
    const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      at.push(now)
      return Effect.fail(error)
    })
    const fiber = yield* Effect.fork(Effect.flip(policy(Schedule.recurs(2))(attempt)))
    yield* TestClock.adjust("1 hour")
    expect(yield* Fiber.join(fiber)).toBe(error)
    return at.length
  })

const timeout = (kind: RWKVError.RWKVTimeoutError["kind"]) =>
  new RWKVError.RWKVTimeoutError({ operation, kind, limit: Duration.seconds(1) })

const failures: ReadonlyArray<
  readonly [name: string, error: RWKVError.RWKVError, reads: number, polls: number, creates: number]
> = [
  ["refused", connection(false), 3, 3, 3],
  ["refused for good", connection(false, false), 1, 1, 1],
  ["reset", connection(true), 3, 3, 1],
  ["not HTTP", connection(true, false), 1, 1, 1],
  ["429", status(429), 3, 3, 3],
  ["429 with Retry-After", status(429, Duration.seconds(1)), 3, 3, 3],
  ["408", status(408), 3, 3, 1],
  ["401", status(401), 1, 1, 1],
  ["500", server(500), 3, 3, 1],
  ["500 with Retry-After", server(500, Duration.seconds(1)), 3, 3, 1],
  ["502", server(502), 3, 3, 1],
  ["503", server(503), 3, 3, 1],
  ["503 with Retry-After", server(503, Duration.seconds(1)), 3, 3, 3],
  ["504", server(504), 3, 3, 1],
  ["a request's timeout", timeout("request"), 1, 3, 1],
  ["a wait's timeout", timeout("wait"), 1, 1, 1],
  ["another shape", new RWKVError.RWKVDecodeError({ operation, description: "x" }), 1, 1, 1],
  ["no such task", new RWKVError.TaskNotFoundError({ operation, taskId: "TMP_1" }), 1, 1, 1],
  ["invalid", new RWKVError.RWKVValidationError({ operation, source: "server", issues: [] }), 1, 1, 1]
]

describe("retries", () => {
  it.effect.each(failures)("F85 after %s reads, polls and creates are tried as often as is safe", (
    [, error, reads, polls, creates]
  ) =>
    Effect.gen(function*() {
      expect(yield* tries(retry.reads, error)).toBe(reads)
      expect(yield* tries(retry.polls, error)).toBe(polls)
      expect(yield* tries(retry.creates, error)).toBe(creates)
    }))

  it.effect("F16 a retry waits for Retry-After", () =>
    Effect.gen(function*() {
      let seen = 0
      const { http, sent } = yield* wire.make((one, request) => {
        seen++
        return seen < 3 ? wire.text("busy", 503, { "retry-after": "2" }) : running(one, request)
      })
      const fiber = yield* Effect.fork(retry.reads(Schedule.recurs(5))(http.status("TMP_1")))
      yield* TestClock.adjust(1999)
      expect(sent).toHaveLength(1)
      yield* TestClock.adjust(1)
      expect(sent).toHaveLength(2)
      yield* TestClock.adjust(2000)
      expect(sent).toHaveLength(3)
      expect((yield* Fiber.join(fiber)).status).toBe("Finished")
    }))
})

const faulty = (kind: Emulator.FaultKind, timesHit: number) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ reply: () => "Hello" })
    yield* emulator.inject({ on: { method: "POST", path: "/v1/tasks/tmp" }, times: timesHit, kind })
    const { http } = yield* wire.over(emulator.httpClient, { requestTimeout: "10 seconds" })
    const create = retry.creates(Polling.retrySchedule)(http.create({ prompt: "a", maxTokens: 5 }))
    const fiber = yield* Effect.fork(Effect.either(create))
    yield* TestClock.adjust("1 hour")
    const outcome = yield* Fiber.join(fiber)
    const requests = yield* emulator.requests
    const tasks = yield* emulator.tasks
    return { tag: outcome._tag === "Left" ? outcome.left._tag : "created", seen: requests.length, tasks: tasks.length }
  })

const { Cut, Hang, Refuse, Reset, Status } = Emulator.FaultKind

const creations: ReadonlyArray<readonly [name: string, kind: Emulator.FaultKind, outcome: object]> = [
  ["F01 refused", Refuse(), { tag: "created", seen: 1, tasks: 1 }],
  ["F03 reset before it was read", Reset({ executed: false }), { tag: "RWKVConnectionError", seen: 1, tasks: 0 }],
  ["F03 reset after it was done", Reset({ executed: true }), { tag: "RWKVConnectionError", seen: 1, tasks: 1 }],
  ["F16 429", Status({ status: 429 }), { tag: "created", seen: 2, tasks: 1 }],
  ["F16 503 with Retry-After", Status({ status: 503, headers: { "retry-after": "1" } }), {
    tag: "created",
    seen: 2,
    tasks: 1
  }],
  ["F85 503", Status({ status: 503, executed: true }), { tag: "RWKVServerError", seen: 1, tasks: 1 }],
  ["F85 500", Status({ status: 500, executed: true }), { tag: "RWKVServerError", seen: 1, tasks: 1 }],
  ["F20 cut", Cut({ afterBytes: 5, clean: false }), { tag: "RWKVConnectionError", seen: 1, tasks: 1 }],
  ["F85 slower than the timeout", Hang({ executed: true }), { tag: "RWKVTimeoutError", seen: 1, tasks: 1 }]
]

describe("creating once", () => {
  it.scoped.each(creations)(
    "%s: the server makes at most one task",
    ([, kind, outcome]) => Effect.map(faulty(kind, 1), (actual) => expect(actual).toEqual(outcome))
  )

  it.scoped("F01 a server that refuses for good is asked as often as the schedule says", () =>
    Effect.map(
      faulty(Refuse(), Infinity),
      (actual) => expect(actual).toEqual({ tag: "RWKVConnectionError", seen: 0, tasks: 0 })
    ))

  it.effect("F02 a host that does not resolve is asked once", () =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make((_, request) => wire.broken(request, "ENOTFOUND"))
      const calls: ReadonlyArray<Effect.Effect<unknown, RWKVError.RWKVError>> = [
        retry.creates(Polling.retrySchedule)(http.create({ prompt: "a" })),
        retry.reads(Polling.retrySchedule)(http.status("TMP_1"))
      ]
      for (const call of calls) {
        const error = yield* wire.failure(call)
        expect(error.message).toContain("localhost:8000")
      }
      expect(sent).toHaveLength(2)
    }))
})
