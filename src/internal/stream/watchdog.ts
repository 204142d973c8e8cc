/**
 * One fiber for each stream that notices silence.
 *
 * A completed sleep of the Clock is what counts as elapsed: the fiber lies down, and looks at what came meanwhile when
 * it wakes. Stamps of a clock would be moved by whoever sets the date, and stand still under a test's fake timers.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export type Watchdog = Effect.Effect.Success<ReturnType<typeof make>>

/** Naps in an idle timeout: silence is noticed late by one of them at most. */
const naps = 8

/**
 * @param onIdle called after each idle timeout without new text while the consumer waits. `silent`: no known text came
 * either. `late`: there was no progress for the stall timeout.
 */
export const make = (
  { idleTimeout, stallTimeout }: { readonly idleTimeout: Duration.Duration; readonly stallTimeout: Duration.Duration },
  onIdle: (silent: boolean, late: boolean) => void
) =>
  Effect.suspend(() => {
    const stall = Duration.toMillis(stallTimeout)
    const idle = Math.max(1, Math.min(Duration.toMillis(idleTimeout), stall))
    const nap = Math.max(1, idle / naps)
    let waits = true
    let fresh = false
    let repeated = false
    /**
     * Milliseconds slept since the last text of any kind, since the last new text or call, and since the last progress.
     */
    let silent = 0
    let uncalled = 0
    let still = 0
    const onWake = () => {
      const counts = waits && !fresh
      silent = counts && !repeated ? silent + nap : 0
      uncalled = counts ? uncalled + nap : 0
      still = counts ? still + nap : 0
      fresh = repeated = false
      if (uncalled < idle) return
      uncalled = 0
      onIdle(silent >= idle, still >= stall)
    }
    const watchdog = {
      /** Whether the consumer waits for more: the time that it takes for itself is no silence. */
      waiting: (waiting: boolean) => {
        waits = waiting
      },
      /** Text came, new or known already. */
      heard: (isFresh: boolean) => {
        if (isFresh) fresh = true
        else repeated = true
      },
      /** The task moves, though no text came. */
      moved: () => {
        still = 0
      },
      /** Milliseconds that are left of the time without progress. */
      left: () => stall - still
    }
    return Effect.delay(Effect.sync(onWake), nap).pipe(
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped,
      Effect.as(watchdog)
    )
  })
