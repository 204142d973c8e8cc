/** Limits that are over while requests fail and are repeated: they tell what failed, and not that a server is slow. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Schema, Stream } from "effect"
import { Polling, RWKVError, StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import {
  against,
  count,
  created,
  endless,
  FaultKind,
  inject,
  long,
  onCreate,
  onStream,
  request,
  says,
  timed
} from "../support/program.js"
import { eitherWay, watches } from "../support/waits.js"

const retry = Schedule.spaced("1 second")
const config = { retry, requestTimeout: "20 seconds" } as const
const forever = (on: Emulator.Fault["on"], kind: Emulator.FaultKind) => inject({ on, times: Infinity, kind })

interface Trouble {
  readonly kind: Emulator.FaultKind
  readonly cause: object
  readonly words: string
  /** Whether it is repeated for a create. */
  readonly safe: boolean
}

const troubles = {
  "refused connections": {
    kind: FaultKind.Refuse(),
    cause: { _tag: "RWKVConnectionError", code: "ECONNREFUSED", requestSent: false },
    words: "cannot connect to",
    safe: true
  },
  "a 503 that says when": {
    kind: FaultKind.Status({ status: 503, headers: { "retry-after": "1" }, body: "later" }),
    cause: { _tag: "RWKVServerError", status: 503 },
    words: "the server failed with 503: later",
    safe: true
  },
  "a 429": {
    kind: FaultKind.Status({ status: 429, body: "too many" }),
    cause: { _tag: "RWKVStatusError", status: 429 },
    words: "unexpected status 429: too many",
    safe: true
  },
  "a 503": {
    kind: FaultKind.Status({ status: 503, body: "down" }),
    cause: { _tag: "RWKVServerError", status: 503 },
    words: "the server failed with 503: down",
    safe: false
  },
  resets: {
    kind: FaultKind.Reset({ executed: false }),
    cause: { _tag: "RWKVConnectionError", code: "ECONNRESET" },
    words: "no answer from",
    safe: false
  },
  silence: {
    kind: FaultKind.Hang({ executed: false }),
    cause: { _tag: "RWKVTimeoutError", kind: "request" },
    words: "no complete answer within 20s",
    safe: false
  }
} satisfies Readonly<Record<string, Trouble>>

const told = (error: unknown, kind: RWKVError.RWKVTimeoutError["kind"], { cause, words }: Trouble) => {
  expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind, cause, isTransient: true })
  expect(error).toMatchObject({ message: expect.stringContaining(words) })
  expect(error).not.toMatchObject({ message: expect.stringMatching(/\n|Tell me/) })
  // The operation is named once.
  expect(error).not.toMatchObject({ message: expect.stringMatching(/Service.*Service/) })
}

const untold = (error: unknown, kind: RWKVError.RWKVTimeoutError["kind"]) => {
  expect(error).not.toHaveProperty("cause")
  expect(error).toMatchObject({
    _tag: "RWKVTimeoutError",
    kind,
    isTransient: false,
    isSafeToRepeat: false,
    message: expect.stringMatching(/ within [\dhms ]+(\(task \w+\))?$/)
  })
}

describe("a limit that is over while requests are repeated", () => {
  for (const [what, trouble] of Object.entries(troubles)) {
    eitherWay(`wait tells of ${what}`, (by) =>
      Effect.gen(function*() {
        const task = yield* created
        yield* forever({}, trouble.kind)
        const { millis, outcome } = yield* timed(Effect.flip(task.wait({ by, timeout: "70 seconds" })))
        expect(millis).toBe(70_000)
        told(outcome._tag === "Right" && outcome.right, "wait", trouble)
      }).pipe(against(endless, config)))

    eitherWay(
      `run tells of ${what} after its task was made, and is not safe to repeat`,
      (by) =>
        Effect.gen(function*() {
          yield* forever({ path: watches[by] }, trouble.kind)
          yield* forever({ path: "/status" }, trouble.kind)
          const error = yield* Effect.flip(TaskService.run(request, { by, timeout: "70 seconds" }))
          told(error, "wait", trouble)
          expect(error).toMatchObject({ isSafeToRepeat: false, workBegun: true })
        }).pipe(against(endless, config))
    )

    it.effect(`stop tells of ${what}`, () =>
      Effect.gen(function*() {
        const task = yield* created
        yield* forever({ path: "/status" }, trouble.kind)
        told(yield* Effect.flip(task.stop({ within: "70 seconds" })), "stop", trouble)
      }).pipe(against(endless, config)))

    it.effect(`a polled queue tells of ${what}`, () =>
      Effect.gen(function*() {
        yield* created
        const task = yield* created
        const options = { schedule: Polling.waitSchedule, queueTimeout: "90 seconds", timeout: "1 hour" } as const
        const fiber = yield* Effect.fork(Effect.flip(task.wait(options)))
        yield* Effect.sleep("10 seconds")
        yield* forever({ path: "/status" }, trouble.kind)
        told(yield* Fiber.join(fiber), "queue", trouble)
      }).pipe(against({ ...endless, pulse: "10 seconds", maxBatchSize: 1 }, config)))

    it.effect(`a silent stream tells of ${what}`, () =>
      Effect.gen(function*() {
        const task = yield* created
        yield* inject({ on: onStream, kind: FaultKind.Stall({ afterBytes: 200 }) })
        yield* forever({ path: "/status" }, trouble.kind)
        const text = Stream.runDrain(task.stream({ idleTimeout: "10 seconds", stallTimeout: "2 minutes" }))
        told(yield* Effect.flip(text), "stalled", trouble)
      }).pipe(against(endless, config)))

    it.effect(`a create that meets ${what} is as safe to repeat as that`, () =>
      Effect.gen(function*() {
        yield* forever(onCreate, trouble.kind)
        const error = yield* Effect.flip(TaskService.run(request, { timeout: "70 seconds" }))
        if (!trouble.safe) return expect(error).toMatchObject({ ...trouble.cause, isSafeToRepeat: false })
        told(error, "wait", trouble)
        expect(error).toMatchObject({ isSafeToRepeat: true })
      }).pipe(against(endless, config)))
  }

  it.effect("whoever repeats what is safe outlasts a server that is not there for longer than the limit", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, times: 20, kind: FaultKind.Refuse() })
      const result = yield* TaskService.run(request, { timeout: "5 seconds" }).pipe(
        Effect.retry(Polling.whileSafe(Schedule.spaced("1 second")))
      )
      expect(result.text).toBe(long)
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(against(says(long), config)))

  it.effect("an attempt that is under way may have begun the work: it is not safe to repeat, and tells what was before", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Refuse() })
      yield* forever(onCreate, FaultKind.Delay({ duration: "10 seconds", executed: true }))
      const error = yield* Effect.flip(TaskService.run(request, { timeout: "5 seconds" }))
      told(error, "wait", { ...troubles["refused connections"], safe: false })
      expect(error).toMatchObject({ isSafeToRepeat: false, workBegun: true })
    }).pipe(against(endless, config)))

  it.effect("crosses a wire with its cause", () =>
    Effect.gen(function*() {
      yield* forever({}, FaultKind.Refuse())
      const error = yield* Effect.flip(TaskService.run(request, { timeout: "5 seconds" }))
      const json = Schema.parseJson(RWKVError.RWKVError)
      const back = yield* Effect.flatMap(Schema.encode(json)(error), Schema.decode(json))
      expect(back).toMatchObject({
        _tag: "RWKVTimeoutError",
        cause: { _tag: "RWKVConnectionError" },
        isSafeToRepeat: true
      })
      expect(back.message).toBe(error.message)
    }).pipe(against(endless, config)))
})

describe("a limit tells of no failure that is over", () => {
  eitherWay("after a create was refused and then went well", (by) =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, times: 2, kind: FaultKind.Refuse() })
      untold(yield* Effect.flip(TaskService.run(request, { by, timeout: "30 seconds" })), "wait")
    }).pipe(against({ ...endless, pulse: "5 seconds" }, config)))

  eitherWay("after a watch was cut and the text came on", (by) =>
    Effect.gen(function*() {
      const kind = by === "polling" ? FaultKind.Refuse() : FaultKind.Cut({ afterBytes: 200, clean: false })
      yield* inject({ on: { path: watches[by] }, times: 2, kind })
      untold(yield* Effect.flip(TaskService.run(request, { by, timeout: "30 seconds" })), "wait")
    }).pipe(against({ ...endless, pulse: "5 seconds" }, config)))

  it.effect("where a proxy cuts the silent stream of a task that waits for its turn", () =>
    Effect.gen(function*() {
      yield* created
      yield* forever(onStream, FaultKind.Cut({ afterBytes: 0, clean: true }))
      untold(yield* Effect.flip(TaskService.run(request, { timeout: "30 seconds" })), "wait")
    }).pipe(against({ ...endless, pulse: "5 seconds", maxBatchSize: 1 }, config)))

  it.effect("of another run that is repeated at the same time", () =>
    Effect.gen(function*() {
      yield* forever({ when: ({ body }) => body.includes("unlucky") }, FaultKind.Refuse())
      const of = (prompt: string) =>
        Effect.flip(TaskService.run({ prompt, maxTokens: 2000 }, { timeout: "30 seconds" }))
      const [lucky, unlucky] = yield* Effect.all([of("lucky"), of("unlucky")], { concurrency: 2 })
      untold(lucky, "wait")
      told(unlucky, "wait", troubles["refused connections"])
    }).pipe(against({ ...endless, pulse: "5 seconds" }, config)))

  it.effect("of a stream that goes on elsewhere", () =>
    Effect.gen(function*() {
      yield* forever(onStream, FaultKind.Refuse())
      const fiber = yield* Effect.fork(Stream.runDrain(StreamService.create(request)))
      const task = yield* created
      untold(yield* Effect.flip(task.wait({ by: "polling", timeout: "30 seconds" })), "wait")
      yield* Fiber.interrupt(fiber)
    }).pipe(against({ ...endless, pulse: "5 seconds" }, config)))
})
