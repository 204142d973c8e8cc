/**
 * The limit of a request, a wait or a question: a sleep of its own on the Clock.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"

/** Hands back what a fiber that may go on wrote to FiberRefs: all but its context. */
export const inherit = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => Effect.inheritFiberRefs(FiberRefs.delete(fiber.getFiberRefs(), FiberRef.currentContext)))

/**
 * Interrupts an effect when its time is over, whether or not the caller may be interrupted. Effect's own timeouts hand back
 * FiberRefs only of an effect that succeeds; middleware of the program's own may write there before a request fails.
 */
export const within = <A, E, R, B, E2>(
  effect: Effect.Effect<A, E, R>,
  { duration, onTimeout }: { readonly duration: Duration.DurationInput; readonly onTimeout: () => Effect.Effect<B, E2> }
): Effect.Effect<A | B, E | E2, R> =>
  Duration.isFinite(Duration.decode(duration))
    ? Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        let late = false
        const child = yield* Effect.fork(Effect.interruptible(effect))
        const expire = Effect.suspend(() => {
          late = true
          return child.interruptAsFork(FiberId.none)
        })
        const sleeper = yield* Effect.fork(Effect.interruptible(Effect.delay(expire, duration)))
        const exit = yield* restore(Fiber.await(child)).pipe(
          Effect.onInterrupt(() => Fiber.interrupt(child)),
          Effect.ensuring(Effect.zipRight(sleeper.interruptAsFork(FiberId.none), Fiber.inheritAll(child)))
        )
        return yield* late && Exit.isFailure(exit) && Cause.isInterrupted(exit.cause) ? onTimeout() : exit
      })
    )
    : effect
