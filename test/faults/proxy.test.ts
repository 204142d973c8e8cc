/** A queue behind a proxy that cuts what is silent for a minute. */
import { HttpClient, HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, Stream } from "effect"
import { type RWKVConfig, type RWKVError, StreamService, TaskService } from "effect-rwkv"
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

  it.effect("a task that runs and does not move is cut a few times, and fails", () =>
    Effect.gen(function*() {
      const { millis, outcome } = yield* timed(textOf("subscribe", { idleTimeout: "5 minutes" }))
      expect(outcome).toMatchObject({ left: { _tag: "RWKVConnectionError" } })
      expect(millis).toBeLessThan(10 * 60_000)
    }).pipe(against({ ...says(long), pulse: "10 hours" }, impatient)))
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

  it.effect("which does not hold for a task that runs", () =>
    Effect.gen(function*() {
      const options = { queueTimeout: "1 minute", idleTimeout: "10 seconds" } as const
      expect(yield* textOf("subscribe", options)).toBe(long)
    }).pipe(against({ ...says(long), pulse: "5 minutes" })))
})
