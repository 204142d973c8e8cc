import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  Clock,
  Duration,
  Effect,
  Fiber,
  Layer,
  Random,
  Schedule,
  ScheduleDecision,
  ScheduleIntervals,
  TestClock
} from "effect"
import { Polling, Protocol, RWKV, RWKVError, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as retry from "../src/internal/wire/retry.js"
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

/** The delays of a schedule that is shown, at each look, what the task is after so many milliseconds. */
const looks = <In>(schedule: Schedule.Schedule<unknown, In>, task: (millis: number) => In, until: number) =>
  Effect.gen(function*() {
    const delays: Array<number> = []
    let state: unknown = schedule.initial
    for (let now = 0; now < until;) {
      const [next, , decision] = yield* schedule.step(now, task(now), state)
      if (ScheduleDecision.isDone(decision)) break
      const at = ScheduleIntervals.start(decision.intervals)
      delays.push(Math.round(10 * (at - now)) / 10)
      state = next
      now = at
    }
    return delays
  })

describe("waitScheduleFor", () => {
  /** As the emulator generates: 32 tokens every 50 ms. */
  const generated = (millis: number) => 32 * Math.floor(millis / 50)

  for (
    const [what, task] of [
      ["has no tokens yet", { generatedTokens: 0 }],
      ["waits for its turn with the tokens of an earlier run", { status: "Ready" as const, generatedTokens: 640 }],
      ["is being read with the tokens of an earlier run", { status: "Prefill" as const, generatedTokens: 640 }]
    ] as const
  ) {
    it.effect(`looks like waitSchedule at a task that ${what}`, () =>
      Effect.gen(function*() {
        const plain = yield* looks(Polling.waitSchedule, () => ({ ...info, ...task }), 5000)
        expect(yield* looks(Polling.waitScheduleFor(640), () => ({ ...info, ...task }), 5000)).toEqual(plain)
        expect(plain.slice(0, 5)).toEqual([20, 30, 45, 67.5, 101.3])
      }).pipe(steady))
  }

  it.effect("looks at a task that stands still at its last token after 20 ms at least, and less and less often", () =>
    Effect.gen(function*() {
      for (const begin of [0, 1000, 60_000]) {
        const task = (look: number) => ({ ...info, generatedTokens: look < begin ? 0 : 640 })
        const all = (yield* looks(Polling.waitScheduleFor(640), task, begin + 60_000)).slice(0, -1)
        let sum = 0
        const still = all.filter((delay) => (sum += delay) - delay >= begin)
        expect(still.every((delay, index) => delay >= (still[index - 1] ?? 20) - 0.1)).toBe(true)
        expect(Math.max(...still)).toBe(250)
        // In a minute of looking at nothing: six times a second.
        expect(still.length).toBeLessThanOrEqual(370)
      }
    }).pipe(steady))

  it.effect("looks no later than waitSchedule, whatever the tokens say", () =>
    Effect.gen(function*() {
      const courses: ReadonlyArray<(look: number) => number> = [
        generated,
        (look) => look < 1000 ? 1 : generated(look),
        (look) => Math.max(1, 640 - generated(look)),
        () => Infinity,
        () => 1e-9,
        () => NaN,
        () => -5
      ]
      for (const maxTokens of [1, 640, 4096, 0, -1, NaN, Infinity]) {
        for (const course of courses) {
          const task = (look: number) => ({ ...info, generatedTokens: course(look) })
          const delays = yield* looks(Polling.waitScheduleFor(maxTokens), task, 5000)
          expect(Math.min(...delays)).toBeGreaterThanOrEqual(19.9)
          delays.forEach((delay, index) => expect(delay).toBeLessThanOrEqual(Math.min(500, 20.1 * 1.5 ** index)))
        }
      }
    }).pipe(steady))

  /** How long after its task a run ends that polls, and how many requests it costs. */
  const polled = (
    seconds: number,
    options: { readonly maxTokens?: number; readonly schedule?: Polling.WaitSchedule }
  ) => {
    const pulses = Math.round(seconds * 20)
    return Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const begun = yield* Clock.currentTimeMillis
      const { schedule, maxTokens } = { maxTokens: pulses * 32, ...options }
      const fiber = yield* Effect.fork(
        Effect.zipRight(
          TaskService.run({ prompt: "Hello", maxTokens }, { by: "polling", schedule }),
          Clock.currentTimeMillis
        )
      )
      yield* TestClock.adjust("8 seconds")
      const late = (yield* Fiber.join(fiber)) - begun - pulses * 50
      return { late, requests: (yield* emulator.requests).length }
    }).pipe(
      steady,
      Effect.provide(
        Layer.provideMerge(
          RWKV.layer(),
          Emulator.layer({ reply: () => "0123456789abcdefghijklmnopqrstuv".repeat(pulses) })
        )
      )
    )
  }

  const lengths = [1.1, 1.7, 2.3, 3.2, 4.9]
  const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

  it.effect("tells the end of a task 75 ms late at most, for the requests of waitSchedule, which is 300 ms late", () =>
    Effect.gen(function*() {
      const told = yield* Effect.forEach(lengths, (seconds) => polled(seconds, {}))
      const plain = yield* Effect.forEach(lengths, (seconds) => polled(seconds, { schedule: Polling.waitSchedule }))
      expect(Math.max(...told.map(({ late }) => late))).toBeLessThanOrEqual(75)
      expect(median(told.map(({ late }) => late))).toBeLessThanOrEqual(45)
      expect(median(plain.map(({ late }) => late))).toBeGreaterThan(250)
      // A create, the looks, a result and a delete.
      expect(told.map(({ requests }) => requests)).toEqual([13, 14, 15, 17, 20])
      expect(plain.map(({ requests }) => requests)).toEqual([13, 14, 15, 17, 20])
    }))

  it.effect("a text that ends before its tokens are used up costs what it costs without", () =>
    Effect.gen(function*() {
      for (const seconds of lengths) {
        const plain = yield* polled(seconds, { schedule: Polling.waitSchedule })
        for (const share of [1.2, 10]) {
          const early = yield* polled(seconds, { maxTokens: Math.round(seconds * 640 * share) })
          expect(early.late).toBeLessThanOrEqual(500)
          expect(early.requests).toBeLessThanOrEqual(plain.requests + 1)
        }
      }
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
