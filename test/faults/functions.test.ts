/** What a program gives as functions, which may throw and may return anything: a typed failure, never a defect. */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Schedule, Stream } from "effect"
import { HttpClient as Endpoints, RWKV, RWKVConfig, StreamService, TaskService, Telemetry } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { against, created, FaultKind, inject, live, long, onStream, request, says } from "../support/program.js"
import * as Clock from "../support/clock.js"

const throws = (): never => {
  throw new Error("mine")
}

const nonsense: ReadonlyArray<unknown> = [undefined, null, 5, "x", {}, [], Promise.resolve(), Effect.fail("no")]

/** Whatever a function of this type may be in a program without types. */
const bad = <F extends (...args: ReadonlyArray<never>) => unknown>(): ReadonlyArray<F> =>
  [throws, ...nonsense.map((value) => () => value)] as unknown as ReadonlyArray<F>

const hostile = new Proxy({}, { has: throws, get: throws })

type Transform = NonNullable<RWKVConfig.Options["transformClient"]>

/** Fails if there is a defect. */
const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    expect(Exit.isFailure(exit) && Option.isNone(Cause.dieOption(exit.cause))).toBe(true)
    return Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  })

describe("transformClient", () => {
  const platform = Emulator.layer()
  const layers = (transformClient: Transform) => {
    const config = RWKVConfig.layer({ transformClient })
    return {
      "RWKV.layer": RWKV.layer({ transformClient }),
      "RWKV.layerConfig": RWKV.layerConfig({ transformClient }),
      "RWKV.layerWithoutConfig": Layer.provide(RWKV.layerWithoutConfig, config),
      "HttpClient.layer": Layer.provide(Endpoints.layer, config),
      "HttpClient.make": Layer.provide(Layer.effect(Endpoints.RWKVHttpClient, Endpoints.make), config),
      "RWKVPool.layer": RWKVPool.layer({ servers: [{ name: "a", baseUrl: "http://a" }], transformClient })
    }
  }

  for (const name of Object.keys(layers((client) => client))) {
    it.effect(`that throws, or returns no client, is refused by ${name}`, () =>
      Effect.gen(function*() {
        const all = [...bad<Transform>(), (() => hostile) as unknown as Transform]
        for (const [index, transformClient] of all.entries()) {
          const layer: Layer.Layer<never, unknown, HttpClient.HttpClient> | undefined = new Map(
            Object.entries(layers(transformClient))
          ).get(name)
          if (layer === undefined) return expect.fail("no such layer")
          expect(yield* failure(Effect.scoped(Layer.build(Layer.provide(layer, platform))))).toMatchObject({
            _tag: "RWKVValidationError",
            source: "client",
            issues: [{
              path: "transformClient",
              message: index === 0 || index === all.length - 1 ? "must not throw" : "must return an HttpClient"
            }]
          })
        }
      }).pipe(Clock.run()))
  }

  it.effect("whose client throws or answers with anything is a broken connection", () =>
    Effect.gen(function*() {
      const answers = [...nonsense.map((answer) => () => Effect.succeed(answer)), ...bad()]
      for (const answer of answers as unknown as ReadonlyArray<Parameters<typeof HttpClient.transform>[1]>) {
        for (
          const verb of [TaskService.list, TaskService.run(request), Stream.runDrain(StreamService.create(request))]
        ) {
          const options = {
            transformClient: HttpClient.transform(answer) as unknown as Transform,
            retry: Schedule.stop
          }
          const error = yield* failure(
            Effect.provide(Effect.asVoid<unknown, unknown, RWKV.RWKV>(verb), live({}, options))
          )
          expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true, isSafeToRepeat: false })
        }
      }
    }).pipe(Clock.run()))

  it.effect("that fails in its own way after the answer repeats no work", () =>
    Effect.gen(function*() {
      let attempts = 0
      const transformClient: unknown = HttpClient.transform((answer) =>
        Effect.flatMap(answer, () => {
          attempts++
          return Effect.fail("no")
        })
      )
      yield* Effect.flip(created).pipe(against({}, { transformClient: transformClient as Transform }))
      expect(attempts).toBe(1)
    }))
})

describe("schedules", () => {
  const broken: Readonly<Record<string, Schedule.Schedule<unknown, unknown>>> = {
    throws: Schedule.spaced("1 second").pipe(Schedule.modifyDelay(throws)),
    "throws at what it is asked about": Schedule.spaced("1 second").pipe(Schedule.whileInput(throws)),
    dies: Schedule.forever.pipe(Schedule.tapInput(() => Effect.dieMessage("mine")))
  }
  for (const [how, schedule] of Object.entries(broken)) {
    it.effect(`a retry that ${how} ends, and the failure is told that it was asked about`, () =>
      Effect.gen(function*() {
        yield* inject({ kind: FaultKind.Refuse() })
        expect(yield* failure(TaskService.list)).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
        yield* inject({ kind: FaultKind.Refuse() })
        expect(yield* failure(created)).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
        const task = yield* created
        yield* inject({ on: onStream, times: 2, kind: FaultKind.Refuse() })
        expect(yield* failure(Stream.runDrain(task.stream({ retry: schedule })))).toMatchObject({
          _tag: "RWKVConnectionError"
        })
      }).pipe(against(says(long), { retry: schedule })))

    it.effect(`a wait's schedule that ${how} is refused`, () =>
      Effect.gen(function*() {
        const task = yield* created
        expect(yield* failure(task.wait({ schedule }))).toMatchObject({
          _tag: "RWKVValidationError",
          issues: [{ path: "schedule", message: "must not throw" }]
        })
      }).pipe(against({ ...says(long), pulse: "1 second" })))
  }
})

describe("callbacks", () => {
  it.effect("an onProgress that throws, fails or returns no Effect is refused", () =>
    Effect.gen(function*() {
      const task = yield* created
      for (const onProgress of bad<() => Effect.Effect<void>>()) {
        expect(yield* failure(task.wait({ onProgress }))).toMatchObject({
          _tag: "RWKVValidationError",
          issues: [{
            path: "onProgress",
            message: expect.stringMatching(/^must (not throw|not fail|return an Effect)$/)
          }]
        })
      }
    }).pipe(against({ ...says(long), pulse: "10 minutes" })))

  it.effect("hooks of telemetry hold nothing up", () =>
    Effect.gen(function*() {
      for (const hook of bad<() => Effect.Effect<void>>()) {
        const list = Effect.zipRight(inject({ kind: FaultKind.Refuse() }), TaskService.list)
        yield* Effect.provide(list, Telemetry.layer({ onRetry: hook, onReconnect: hook }))
      }
    }).pipe(against()))
})

describe("a reply of the emulator", () => {
  it.effect("that throws, or is none, is told, and the next one is served", () =>
    Effect.gen(function*() {
      const replies = [...bad<() => string>(), () => ({ tokens: [5, null] }) as unknown as string]
      const reply = () => (replies.shift() ?? (() => long))()
      yield* Effect.gen(function*() {
        for (let left = replies.length; left > 0; left--) {
          const exit = yield* Effect.exit(TaskService.run(request))
          expect(Exit.isFailure(exit) && Option.isSome(Cause.dieOption(exit.cause))).toBe(false)
        }
        expect((yield* TaskService.run(request)).text).toBe(long)
      }).pipe(against({ reply }, { retry: Schedule.stop }))
    }))
})
