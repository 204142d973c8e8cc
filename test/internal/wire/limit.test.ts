import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberRef, Layer, TestClock } from "effect"
import { RWKV, TaskService } from "effect-rwkv"
import { within } from "../../../src/internal/wire/limit.js"

const limited = <A, E>(effect: Effect.Effect<A, E>) => within(effect, "1 second", () => Effect.fail("late" as const))

describe("a limit", () => {
  it.effect("ends an effect at its time, and not before", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(limited(Effect.never)))
      yield* TestClock.adjust("999 millis")
      expect((yield* Fiber.poll(fiber))._tag).toBe("None")
      yield* TestClock.adjust("1 milli")
      expect(yield* Fiber.join(fiber)).toEqual(Exit.fail("late"))
    }))

  it.effect("holds where the caller cannot be interrupted, as in finalizers", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(Effect.uninterruptible(limited(Effect.never))))
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toEqual(Exit.fail("late"))
    }))

  it.effect("interrupts the effect with its caller", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const effect = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      const fiber = yield* Effect.fork(limited(effect))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
    }))

  it.scoped("hands back what was written to FiberRefs, however it ends", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("before")
      const write = FiberRef.set(ref, "after")
      for (const effect of [write, Effect.zipRight(write, Effect.fail("no")), Effect.zipRight(write, Effect.never)]) {
        yield* FiberRef.set(ref, "before")
        const time = yield* Effect.fork(TestClock.adjust("1 second"))
        yield* Effect.exit(limited(effect))
        yield* Fiber.join(time)
        expect(yield* FiberRef.get(ref)).toBe("after")
      }
    }))
})

it.effect("F04 a request in a finalizer has its limit too", () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(
      Effect.scoped(Effect.addFinalizer(() => Effect.ignore(TaskService.status("TMP_1"))))
    )
    yield* TestClock.adjust("3 minutes")
    expect(Exit.isSuccess(yield* Fiber.await(fiber))).toBe(true)
  }).pipe(
    Effect.provide(Layer.provide(
      RWKV.layer(),
      Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.never))
    ))
  ))
