/**
 * One fiber for each stream that notices silence.
 *
 * Time is counted in completed sleeps of the Clock: the fiber naps, and checks on waking what came meanwhile. Times of
 * day would jump when the date is set, and stand still under a test's fake timers.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Silence } from "./signals.js"

export type Watchdog = Effect.Effect.Success<ReturnType<typeof make>>

/** Naps in an idle timeout: silence is noticed late by one of them at most. */
const naps = 8

interface Limits {
  readonly idleTimeout: Duration.Duration
  readonly stallTimeout: Duration.Duration
  readonly queueTimeout: Duration.Duration
}

/** @param onIdle called after each idle timeout without new text while the consumer waits */
export const make = ({ idleTimeout, queueTimeout, stallTimeout }: Limits, onIdle: (silence: Silence) => void) =>
  Effect.suspend(() => {
    const stall = Duration.toMillis(stallTimeout)
    const queue = Duration.toMillis(queueTimeout)
    const idle = Math.max(1, Math.min(Duration.toMillis(idleTimeout), stall, queue))
    const nap = Math.max(1, idle / naps)
    let waits = true
    let fresh = false
    let repeated = false
    /**
     * Milliseconds slept. `silent`: since any text; `uncalled`: since new text or `onIdle`; `still`: since progress or
     * a status "queued"; `waited`: since progress.
     */
    let silent = 0
    let uncalled = 0
    let still = 0
    let waited = 0
    const silence = () => ({ silent: silent >= idle, late: still >= stall, overdue: waited >= queue })
    const onWake = () => {
      const counts = waits && !fresh
      silent = counts && !repeated ? silent + nap : 0
      uncalled = counts ? uncalled + nap : 0
      still = counts ? still + nap : 0
      waited = counts ? waited + nap : 0
      fresh = repeated = false
      if (uncalled < idle) return
      uncalled = 0
      onIdle(silence())
    }
    const watchdog = {
      silence,
      /** Whether the consumer waits for more: the time that it takes for itself is no silence. */
      waiting: (waiting: boolean) => {
        waits = waiting
      },
      /** Text came, new or known already. */
      heard: (isFresh: boolean) => {
        if (isFresh) fresh = true
        else repeated = true
      },
      /** The task moves, though no text came, or waits for its turn. */
      moved: (queued: boolean) => {
        still = 0
        if (!queued) waited = 0
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
