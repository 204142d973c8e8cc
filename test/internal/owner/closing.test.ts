/** A task that the service started ends with the service, whoever leaves first. */
import { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import {
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Layer,
  ManagedRuntime,
  Option,
  Scope,
  Stream,
  TestClock
} from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { endless, openStreams, running } from "../../support/program.js"
import * as wire from "../../support/wire.js"

/** What may be going on when a program ends. */
const activities: Readonly<
  Record<string, Effect.Effect<unknown, RWKVError.RWKVError, TaskService.TaskService | StreamService.StreamService>>
> = {
  "run by subscription": TaskService.run({ prompt: "a" }),
  "run by polling": TaskService.run({ prompt: "a" }, { by: "polling" }),
  "a stream": Stream.runDrain(StreamService.create({ prompt: "a" })),
  "a direct stream": Stream.runDrain(StreamService.create({ prompt: "a" }, { transport: "direct" }))
}

const begun = Effect.repeat(Effect.yieldNow(), { until: () => Effect.map(running, (tasks) => tasks > 0) }).pipe(
  Effect.zipRight(TestClock.adjust("200 millis"))
)

const turns = (count: number) => Effect.repeatN(Effect.yieldNow(), count)

describe("the end of a service", () => {
  for (const [name, activity] of Object.entries(activities)) {
    it.effect(`ends ${name} that goes on outside its layer`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const services = yield* Layer.buildWithScope(RWKV.layer(), scope)
        const fiber = yield* Effect.fork(Effect.exit(Effect.provide(activity, services)))
        yield* begun
        yield* Scope.close(scope, Exit.void)
        expect(Exit.isFailure(yield* Fiber.join(fiber))).toBe(true)
        yield* TestClock.adjust("200 millis")
        expect([yield* running, yield* openStreams]).toEqual([0, 0])
      }).pipe(Effect.provide(Emulator.layer(endless))))

    it.effect(`waits for ${name} that is being left, however long ago`, () =>
      Effect.gen(function*() {
        for (const ago of [0, 1, 2, 3, 5, 8]) {
          const scope = yield* Scope.make()
          const services = yield* Layer.buildWithScope(RWKV.layer(), scope)
          const fiber = yield* Effect.fork(Effect.provide(activity, services))
          yield* begun
          yield* Effect.fork(Fiber.interrupt(fiber))
          yield* turns(ago)
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.await(fiber)
          yield* TestClock.adjust("200 millis")
          expect([ago, yield* running, yield* openStreams]).toEqual([ago, 0, 0])
        }
      }).pipe(Effect.provide(Emulator.layer(endless))))
  }

  it.live("an abort and the disposal of a ManagedRuntime leave nothing", () =>
    Effect.gen(function*() {
      const { httpClient } = yield* Emulator.Emulator
      const runtime = ManagedRuntime.make(
        Layer.provide(RWKV.layer(), Layer.succeed(Platform.HttpClient, httpClient))
      )
      const controller = new AbortController()
      const done = runtime.runPromiseExit(TaskService.run({ prompt: "a" }), { signal: controller.signal })
      yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => Effect.map(running, (tasks) => tasks > 0) })
      controller.abort()
      yield* Effect.promise(() => runtime.dispose())
      yield* Effect.promise(() => done)
      expect(yield* Effect.delay(running, "100 millis")).toBe(0)
    }).pipe(Effect.provide(Emulator.layer(endless))))
})

it.effect("F56 a body that does not let go holds up no stop", () =>
  Effect.gen(function*() {
    const stopped = yield* Deferred.make<void>()
    const { client } = wire.platform(({ path }) =>
      path.includes("/stream")
        ? new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode("data: {\"data\":\"a\"}\n\n")),
            cancel: () => new Promise(() => {})
          }),
          { headers: { "content-type": "text/event-stream" } }
        )
        : Effect.as(Deferred.succeed(stopped, undefined), wire.json(wire.info))
    )
    const stream = StreamService.subscribe("TMP_1", { onInterrupt: "stop" })
    const first = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      Stream.runForEach(stream, () => Deferred.succeed(first, undefined)).pipe(
        Effect.provide(Layer.provide(RWKV.layer(), Layer.succeed(Platform.HttpClient, client)))
      )
    )
    yield* Deferred.await(first)
    const left = yield* Effect.fork(Fiber.interrupt(fiber))
    yield* TestClock.adjust("2 seconds")
    yield* Deferred.await(stopped)
    yield* TestClock.adjust("10 seconds")
    expect(Option.isSome(yield* Fiber.poll(left))).toBe(true)
  }))

it.scoped("F93 what middleware sets for a while is not handed back by a create that the end cuts short", () =>
  Effect.gen(function*() {
    const ref = yield* FiberRef.make("outside")
    const asked = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const client = Platform.make(() =>
      Effect.locally(Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never), ref, "inside")
    )
    const layer = Layer.provide(
      RWKV.layer({ requestTimeout: Duration.infinity }),
      Layer.succeed(Platform.HttpClient, client)
    )
    const services = yield* Layer.buildWithScope(layer, scope)
    const create = Effect.exit(TaskService.create({ prompt: "a" }))
    const fiber = yield* Effect.fork(Effect.provide(Effect.zipRight(create, FiberRef.get(ref)), services))
    yield* Deferred.await(asked)
    yield* Scope.close(scope, Exit.void)
    expect(yield* Fiber.join(fiber)).toBe("outside")
  }))
