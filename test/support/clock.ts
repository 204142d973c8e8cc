/**
 * Time that jumps to the next sleep as soon as nothing else is left to do: hours of virtual time pass in milliseconds, in
 * the order in which they would, and whoever waits for ever is found out at the limit.
 */
import { Clock, Duration, Effect } from "effect"

interface Sleep {
  readonly at: number
  readonly wake: () => void
}

export const make = (): Clock.Clock => {
  let now = 0
  let due = false
  const sleeps: Array<Sleep> = []
  const jump = () => {
    due = false
    const next = sleeps.shift()
    if (next === undefined) return
    now = next.at
    next.wake()
    plan()
  }
  const plan = () => {
    if (due || sleeps.length === 0) return
    due = true
    setImmediate(jump)
  }
  /** Behind those that are due at the same time. */
  const place = (at: number) => {
    let low = 0
    for (let high = sleeps.length; low < high;) {
      const middle = (low + high) >>> 1
      if ((sleeps[middle]?.at ?? Infinity) <= at) low = middle + 1
      else high = middle
    }
    return low
  }
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(Math.round(now * 1e6)),
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => clock.unsafeCurrentTimeNanos()),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const millis = Duration.toMillis(duration)
        if (millis === Infinity) return
        const sleep: Sleep = { at: now + Math.max(0, millis), wake: () => resume(Effect.void) }
        sleeps.splice(place(sleep.at), 0, sleep)
        plan()
        return Effect.sync(() => {
          const index = sleeps.indexOf(sleep)
          if (index >= 0) sleeps.splice(index, 1)
        })
      })
  }
  return clock
}

/** Runs a program on a clock of its own, for at most so much virtual time. */
export const run =
  (limit: Duration.DurationInput = "2 hours") => <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() =>
      Effect.raceFirst(
        program,
        Effect.zipRight(Effect.sleep(limit), Effect.dieMessage(`hangs: not done after ${Duration.format(limit)}`))
      ).pipe(Effect.withClock(make()))
    )
