/**
 * One at a time, in the order in which they came. A semaphore lets whoever comes just after a release go before those
 * that wait.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** Waits for its turn, and gives what ends it. The caller is uninterruptible, and hands over how to wait. */
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
        // Whoever waits for this one waits for those before it.
        Effect.onInterrupt(() => Effect.sync(() => Deferred.unsafeDone(over, before))),
        Effect.as(Effect.asVoid(Deferred.succeed(over, undefined)))
      )
    })
}
