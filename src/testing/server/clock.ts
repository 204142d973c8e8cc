/**
 * Time as the server measures it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * Seconds of the Clock. Its effectful reading throws in a TestClock whose time has a fraction of a nanosecond.
 *
 * @internal
 */
export const seconds: Effect.Effect<number> = Effect.map(
  Effect.clock,
  (clock) => Number(clock.unsafeCurrentTimeNanos()) / 1e9
)

/**
 * Seconds from one time to another, free of the noise of subtracting large floats.
 *
 * @internal
 */
export const between = (from: number, to: number): number => Math.round((to - from) * 1e9) / 1e9

/**
 * Sleeps until the time is over or the latch is opened; true if it was the time. Do not compute the rest by the Clock
 * instead: a rest that is rounded to nothing would be slept for ever.
 *
 * @internal
 */
export const sleepUnless = (latch: Effect.Latch, millis: number): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    let over = false
    const end = Effect.sync(() => {
      over = true
      latch.unsafeOpen()
    })
    return Effect.flatMap(
      Effect.fork(Effect.zipRight(Effect.sleep(millis), end)),
      (timer) => Effect.map(Effect.ensuring(latch.await, timer.interruptAsFork(timer.id())), () => over)
    )
  })
