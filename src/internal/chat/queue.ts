/**
 * Lets one caller in at a time, in order of arrival. A semaphore would let a caller that comes just after a release
 * overtake those that wait.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** Waits for its turn and returns the effect that ends it. Run it uninterruptibly: `restore` is for the wait alone. */
type Enter = (
  restore: <A, E>(wait: Effect.Effect<A, E>) => Effect.Effect<A, E>
) => Effect.Effect<Effect.Effect<void>>

export const make = (): Enter => {
  let last: Effect.Effect<void> = Effect.void
  return (restore) =>
    Effect.suspend(() => {
      const before = last
      const over = Deferred.unsafeMake<void>(FiberId.none)
      last = Deferred.await(over)
      return restore(before).pipe(
        // If interrupted, those behind this one wait for the one before it.
        Effect.onInterrupt(() => Effect.sync(() => Deferred.unsafeDone(over, before))),
        Effect.as(Effect.asVoid(Deferred.succeed(over, undefined)))
      )
    })
}
