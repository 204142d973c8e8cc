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
import * as Runtime from "effect/Runtime"

interface Reminder {
  readonly at: number
  readonly ring: () => void
}

interface Alarm {
  readonly set: <R>(runtime: Runtime.Runtime<R>, reminder: Reminder) => void
  readonly unset: (reminder: Reminder) => void
}

const make = (clock: Clock.Clock): Alarm => {
  const reminders = new Set<Reminder>()
  let sleeper: Fiber.RuntimeFiber<void> | undefined
  let wakes = Infinity
  const rest = () => {
    sleeper?.unsafeInterruptAsFork(FiberId.none)
    sleeper = undefined
    wakes = Infinity
  }
  const ring = <R>(runtime: Runtime.Runtime<R>) => {
    sleeper = undefined
    wakes = Infinity
    const due = Array.from(reminders).filter(({ at }) => at <= clock.unsafeCurrentTimeMillis()).sort((a, b) =>
      a.at - b.at
    )
    for (const reminder of due) {
      if (reminders.delete(reminder)) reminder.ring()
    }
    // What rang may have set the next.
    sleep(runtime, Array.from(reminders).reduce((first, { at }) => Math.min(first, at), Infinity))
  }
  const sleep = <R>(runtime: Runtime.Runtime<R>, until: number) => {
    if (until >= wakes) return
    rest()
    wakes = until
    const fiber = Runtime.runFork(runtime)(
      Effect.map(
        clock.sleep(Duration.millis(Math.max(0, until - clock.unsafeCurrentTimeMillis()))),
        () => ring(runtime)
      )
    )
    // A clock may need no time for none: then what rang has seen to the rest.
    if (fiber.unsafePoll() === null) sleeper = fiber
  }
  return {
    set: (runtime, reminder) => {
      reminders.add(reminder)
      sleep(runtime, reminder.at)
    },
    unset: (reminder) => {
      if (reminders.delete(reminder) && reminders.size === 0) rest()
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
export const after = <R>(
  runtime: Runtime.Runtime<R>,
  clock: Clock.Clock,
  millis: number,
  ring: () => void
): () => void => {
  if (millis === Infinity) return () => {}
  const alarm = alarmOf(clock)
  const reminder = { at: clock.unsafeCurrentTimeMillis() + millis, ring }
  alarm.set(runtime, reminder)
  return () => alarm.unset(reminder)
}
