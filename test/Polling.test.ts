import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  Clock,
  Duration,
  Effect,
  Fiber,
  Random,
  Schedule,
  ScheduleDecision,
  ScheduleIntervals,
  TestClock
} from "effect"
import { Polling, Protocol, TaskService } from "effect-rwkv"
import { connection, server, status } from "./support/errors.js"
import { against, calls, timed } from "./support/program.js"

const info = { taskId: Protocol.TaskId.make("TMP_1"), status: "Running" as const, generatedTokens: 5 }

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
      const { schedule, maxTokens } = { maxTokens: pulses * 32, ...options }
      const run = TaskService.run({ prompt: "Hello", maxTokens }, { by: "polling", schedule })
      const { millis } = yield* timed(run)
      return { late: millis - pulses * 50, requests: (yield* calls).length }
    }).pipe(steady, against({ reply: () => "0123456789abcdefghijklmnopqrstuv".repeat(pulses) }))
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
      // A create, the looks and a result.
      expect(told.map(({ requests }) => requests)).toEqual([12, 13, 14, 16, 19])
      expect(plain.map(({ requests }) => requests)).toEqual([12, 13, 14, 16, 19])
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
