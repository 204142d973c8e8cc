/** A queue behind a proxy that cuts what is silent for a minute. */
import { HttpClient, HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, Schedule, Stream } from "effect"
import { Polling, type RWKVConfig, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import {
  against,
  count,
  type Env,
  FaultKind,
  inject,
  long,
  onStream,
  says,
  textOf,
  timed,
  transports
} from "../support/program.js"

/** What is silent for a minute, before its headers or after, is reset. */
const impatient: RWKVConfig.Options = {
  transformClient: HttpClient.transform((response, request) => {
    const cause = Object.assign(new Error("reset"), { code: "ECONNRESET" })
    const late = () => new HttpClientError.RequestError({ request, reason: "Transport", cause })
    return Effect.map(
      Effect.timeoutFail(response, { duration: "1 minute", onTimeout: late }),
      (response) =>
        new Proxy(response, {
          get: (target, key) =>
            key === "stream"
              ? Stream.timeoutFail(
                target.stream,
                () => new HttpClientError.ResponseError({ request, response, reason: "Decode", cause }),
                "1 minute"
              )
              : Reflect.get(target, key, target)
        })
    )
  })
}

const queued: Emulator.Options = {
  reply: ({ text }) => text === "first" ? { tokens: ["x"], end: "loop" } : long,
  pulse: "1 second",
  pollInterval: "1 second",
  maxBatchSize: 1
}

/** The only slot is taken for 625 seconds. */
const first = TaskService.create({ prompt: "first", maxTokens: 625 * 32 })
const request = { prompt: "second", maxTokens: 320 }
const textOfRun = Effect.map(({ text }: { readonly text: string }) => text)

type Program = Effect.Effect<string, RWKVError.RWKVError, Env>

const ways: Readonly<Record<string, Program>> = {
  "a wait": textOfRun(Effect.flatMap(TaskService.create(request), (task) => task.wait())),
  "a wait by polling": textOfRun(Effect.flatMap(TaskService.create(request), (task) => task.wait({ by: "polling" }))),
  "a run": textOfRun(TaskService.run(request)),
  runAll: Effect.flatMap(
    Stream.runCollect(TaskService.runAll([request])),
    (all) => textOfRun(Chunk.unsafeHead(all).result)
  ),
  "a stream": Stream.mkString(StreamService.create(request)),
  "a stream that seldom asks": Stream.mkString(StreamService.create(request, { idleTimeout: "5 minutes" })),
  "a direct stream": Stream.mkString(StreamService.create(request, { transport: "direct" })),
  "a subscription": Stream.unwrap(Effect.map(TaskService.create(request), (task) => task.stream())).pipe(
    Stream.mkString
  )
}

describe("F91 a queue of 625 seconds behind a proxy that cuts silence after 60", () => {
  for (const [what, way] of Object.entries(ways)) {
    it.effect(`${what} succeeds`, () =>
      Effect.gen(function*() {
        yield* first
        const { millis, outcome } = yield* timed(way)
        expect(outcome).toEqual(Either.right(long))
        expect(millis).toBeGreaterThan(625_000)
        expect(millis).toBeLessThan(660_000)
      }).pipe(against(queued, impatient)))
  }

  it.effect("a slow task that moves in each minute, and whose streams are all cut before that, succeeds", () =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Stall({ afterBytes: 0 }) })
      expect(yield* textOf("subscribe", { idleTimeout: "5 minutes" })).toBe(long)
    }).pipe(against({ ...says(long), pulse: "55 seconds" }, impatient)))

  it.effect("costs one question for each connection that was cut without news", () =>
    Effect.gen(function*() {
      yield* first
      yield* Stream.runDrain(StreamService.create(request, { idleTimeout: "5 minutes" }))
      const [streams, asked] = [yield* count("GET stream"), yield* count("GET status")]
      expect(asked).toBeLessThanOrEqual(streams + 2)
    }).pipe(against(queued, impatient)))

  for (const pulse of ["4 minutes", "8 minutes"] as const) {
    for (const transport of transports) {
      it.effect(`a task that moves every ${pulse} only succeeds (${transport})`, () =>
        Effect.gen(function*() {
          expect(yield* textOf(transport)).toBe(long)
          expect(yield* count("GET stream")).toBeLessThan(120)
        }).pipe(against({ ...says(long), pulse }, impatient)))
    }
  }

  for (const idleTimeout of ["30 seconds", "5 minutes", "2 hours"] as const) {
    it.effect(`a task that runs and does not move is cut a few times, and fails as stalled (${idleTimeout})`, () =>
      Effect.gen(function*() {
        const { millis, outcome } = yield* timed(textOf("subscribe", { idleTimeout }))
        expect(outcome).toMatchObject({ left: { _tag: "RWKVTimeoutError", kind: "stalled" } })
        expect(millis).toBeGreaterThanOrEqual(10 * 60_000)
        expect(millis).toBeLessThan(12 * 60_000)
        expect(yield* count("GET stream")).toBeLessThan(15)
      }).pipe(against({ ...says(long), pulse: "10 hours" }, impatient)))
  }

  it.effect("a task that stands still in the queue fails at its limit though each connection is cut", () =>
    Effect.gen(function*() {
      yield* first
      const { millis, outcome } = yield* timed(
        Stream.mkString(StreamService.create(request, { idleTimeout: "2 hours" }))
      )
      expect(outcome).toMatchObject({ left: { _tag: "RWKVTimeoutError", kind: "queue" } })
      expect(millis).toBeGreaterThanOrEqual(60 * 60_000)
      expect(millis).toBeLessThan(70 * 60_000)
    }).pipe(against({ ...queued, pulse: "1 minute", pollInterval: "1 minute" }, impatient)))

  const cutAtOnce = FaultKind.Cut({ afterBytes: 0, clean: false })

  it.effect("a server that cuts each connection at once is asked as often as the schedule says", () =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, times: Infinity, kind: cutAtOnce })
      const { millis, outcome } = yield* timed(textOf("subscribe"))
      expect(outcome).toMatchObject({ left: { _tag: "RWKVConnectionError" } })
      expect(millis).toBeLessThan(60_000)
      expect(yield* count("GET stream")).toBe(6)
    }).pipe(against({ ...says(long), pulse: "10 hours" })))

  it.effect("and makes no busy loop of a task that is queued, even without pauses", () =>
    Effect.gen(function*() {
      yield* first
      yield* inject({ on: onStream, times: Infinity, kind: cutAtOnce })
      const retry = Schedule.recurs(3)
      const queueTimeout = "5 minutes"
      const { outcome } = yield* timed(
        Effect.flatMap(TaskService.create(request), (task) => task.wait({ queueTimeout }))
      )
      expect(outcome).toMatchObject({ left: { _tag: "RWKVTimeoutError", kind: "queue" } })
      const text = Stream.mkString(StreamService.create(request, { retry }))
      const before = yield* count("GET stream")
      yield* Effect.timeoutOption(text, "1 minute")
      expect((yield* count("GET stream")) - before).toBeLessThan(300)
    }).pipe(against(queued)))

  it.effect("a schedule that repeats nothing repeats nothing", () =>
    Effect.gen(function*() {
      const { millis, outcome } = yield* timed(textOf("subscribe", { retry: Polling.noRetry }))
      expect(outcome).toMatchObject({ left: { _tag: "RWKVConnectionError" } })
      expect(millis).toBeLessThan(90_000)
    }).pipe(against({ ...says(long), pulse: "4 minutes" }, impatient)))
})

describe("the time in the queue has a limit of its own (H32)", () => {
  const stuck: Emulator.Options = { ...queued, pulse: "1 minute", pollInterval: "1 minute" }
  const timeout = { left: { _tag: "RWKVTimeoutError", kind: "queue" } }

  for (const transport of transports) {
    it.effect(`for streams, an hour (${transport})`, () =>
      Effect.gen(function*() {
        yield* first
        const { millis, outcome } = yield* timed(textOf(transport))
        expect(outcome).toMatchObject(timeout)
        expect(millis).toBeGreaterThanOrEqual(3_600_000)
        expect(millis).toBeLessThanOrEqual(3_600_000 + 40_000)
      }).pipe(against(stuck)))
  }

  for (const by of ["polling", "subscription"] as const) {
    it.effect(`for waits, as it is given (${by})`, () =>
      Effect.gen(function*() {
        yield* first
        const wait = Effect.flatMap(TaskService.create(request), (task) => task.wait({ by, queueTimeout: "5 minutes" }))
        const { millis, outcome } = yield* timed(wait)
        expect(outcome).toMatchObject({ left: { ...timeout.left, operation: "TaskService.wait" } })
        expect(millis).toBeGreaterThanOrEqual(300_000 - 1)
        expect(millis).toBeLessThanOrEqual(311_000)
        const bad = Effect.either(TaskService.run(request, { by, queueTimeout: -1 }))
        expect(yield* bad).toMatchObject({ left: { _tag: "RWKVValidationError" } })
      }).pipe(against(stuck)))
  }

  it.effect("of which slow answers to a wait that polls are a part", () =>
    Effect.gen(function*() {
      yield* first
      const task = yield* TaskService.create(request)
      yield* inject({
        on: { path: "/status" },
        times: Infinity,
        kind: FaultKind.Delay({ duration: "20 seconds", executed: true })
      })
      const { millis, outcome } = yield* timed(task.wait({ by: "polling", queueTimeout: "1 minute" }))
      expect(outcome).toMatchObject(timeout)
      expect(millis).toBeGreaterThanOrEqual(60_000)
      expect(millis).toBeLessThanOrEqual(81_000)
    }).pipe(against(stuck)))

  it.effect("and which does not hold for a wait that polls a task that runs, however seldom", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", maxTokens: 320 })
      const options = { queueTimeout: "1 minute", schedule: Schedule.spaced("5 minutes") } as const
      expect(yield* task.wait(options)).toMatchObject({ text: long })
    }).pipe(against({ ...says(long), pulse: "4 minutes" })))

  it.effect("which does not hold for a task that runs", () =>
    Effect.gen(function*() {
      const options = { queueTimeout: "1 minute", idleTimeout: "10 seconds" } as const
      expect(yield* textOf("subscribe", options)).toBe(long)
    }).pipe(against({ ...says(long), pulse: "5 minutes" })))
})
