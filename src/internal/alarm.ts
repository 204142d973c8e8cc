/**
 * Times to be reminded of, any number of them for one sleeping fiber: a fiber for each request and each stream would cost more
 * than what it watches.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

interface Reminder {
  readonly at: number
  readonly ring: () => void
}

interface Alarm {
  readonly set: (millis: number, ring: () => void) => () => void
}

/** A sleeper that is so late will never come: the timers of its runtime were exchanged, as tests do. */
const lost = 100

/** Milliseconds that sums of fractions may be off by: to sleep for less would be to sleep for ever. */
const blur = 0.01

const make = (clock: Clock.Clock): Alarm => {
  const reminders = new Set<Reminder>()
  let sleeper: Fiber.RuntimeFiber<void> | undefined
  let wakes = Infinity
  /** Milliseconds that no change of the date moves. */
  const now = () => Number(clock.unsafeCurrentTimeNanos() / 1000n) / 1000
  const rest = () => {
    const fiber = sleeper
    sleeper = undefined
    wakes = Infinity
    fiber?.unsafeInterruptAsFork(FiberId.none)
  }
  const ring = () => {
    sleeper = undefined
    wakes = Infinity
    const time = now()
    const due = Array.from(reminders).filter(({ at }) => at <= time + blur).sort((a, b) => a.at - b.at)
    for (const reminder of due) {
      if (reminders.delete(reminder)) reminder.ring()
    }
    // What rang may have set the next.
    sleepOn()
  }
  const sleepOn = () => sleep(Array.from(reminders).reduce((first, { at }) => Math.min(first, at), Infinity))
  const sleep = (until: number) => {
    if (until >= wakes && now() < wakes + lost) return
    rest()
    if (until === Infinity) return
    wakes = until
    // Nobody's: whoever set the first reminder may end, and take its fibers along.
    const fiber = Effect.runFork(Effect.map(clock.sleep(Duration.millis(Math.max(0, until - now()))), ring))
    // A clock may need no time for none: then what rang has seen to the rest.
    if (fiber.unsafePoll() === null) sleeper = fiber
  }
  return {
    set: (millis, ring) => {
      const reminder = { at: now() + millis, ring }
      reminders.add(reminder)
      sleep(reminder.at)
      return () => {
        if (reminders.delete(reminder) && reminders.size === 0) rest()
      }
    }
  }
}

const alarms = new WeakMap<Clock.Clock, Alarm>()

const alarmOf = (clock: Clock.Clock): Alarm => {
  const known = alarms.get(clock)
  if (known !== undefined) return known
  const alarm = make(clock)
  alarms.set(clock, alarm)
  return alarm
}

/**
 * Calls back after so many milliseconds, in no fiber of the caller's; what is returned takes that back.
 *
 * @internal
 */
export const after = (clock: Clock.Clock, millis: number, ring: () => void): () => void =>
  millis === Infinity ? () => {} : alarmOf(clock).set(millis, ring)
