/**
 * The limit of a request, a wait or a question.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"

/** Hands back what a fiber that may go on wrote to FiberRefs: all but its context. */
export const inherit = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => Effect.inheritFiberRefs(FiberRefs.delete(fiber.getFiberRefs(), FiberRef.currentContext)))

/**
 * Interrupts an effect when its time is over, even where the caller cannot be interrupted, as in finalizers. A failure comes
 * as an exit through Effect's timeout, which hands back FiberRefs only of what succeeds: middleware of the program's own may
 * write there before a request fails.
 */
export const within = <A, E, R, B, E2>(
  effect: Effect.Effect<A, E, R>,
  { duration, onTimeout }: { readonly duration: Duration.DurationInput; readonly onTimeout: () => Effect.Effect<B, E2> }
): Effect.Effect<A | B, E | E2, R> =>
  Duration.isFinite(Duration.decode(duration))
    ? Effect.exit(effect).pipe(
      Effect.interruptible,
      Effect.timeoutTo({ duration, onSuccess: (exit): Effect.Effect<A | B, E | E2> => exit, onTimeout }),
      Effect.flatten
    )
    : effect
