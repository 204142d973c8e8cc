/**
 * Which failures may be repeated: of reads, whatever is transient; of what makes the server work, only what it never
 * saw.
 */
import * as Effect from "effect/Effect"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import * as Polling from "../../Polling.js"
import type { RWKVError } from "../../RWKVError.js"
import { effective } from "../input/override.js"
import * as telemetry from "./telemetry.js"
import { attempt, unwatched } from "./trouble.js"

/** A schedule that a caller chose for one verb, or the settings whose schedule may be overridden. */
export type Source = Polling.RetrySchedule | { readonly retry: Polling.RetrySchedule }

/** A schedule of the program's own may throw: then it has ended, and the failure that it was asked about is told. */
export const tame = (schedule: Polling.RetrySchedule): Polling.RetrySchedule =>
  Schedule.makeWithState(schedule.initial, (now, error: RWKVError, state) =>
    Effect.catchAllDefect(
      Effect.suspend(() => schedule.step(now, error, state)),
      (cause) => Effect.as(Effect.logWarning("a schedule failed", cause), [state, error, ScheduleDecision.done])
    ))

/** Tells of each repetition, before its pause. */
const telling = (policy: Schedule.Schedule<RWKVError, RWKVError>): Polling.RetrySchedule =>
  Schedule.onDecision(policy, (error, decision) =>
    ScheduleDecision.isContinue(decision)
      ? Effect.flatMap(Effect.zip(telemetry.current, Clock.currentTimeMillis), ([observed, now]) =>
        observed === undefined ? Effect.void : unwatched(
          observed.retried(error, Duration.millis(Math.max(0, ScheduleIntervals.start(decision.intervals) - now)))
        ))
      : Effect.void)

const repeat =
  (policyOf: (schedule: Polling.RetrySchedule) => Schedule.Schedule<RWKVError, RWKVError>, works: boolean) =>
  (source: Source) => {
    const schedule = Schedule.isSchedule(source)
      ? Effect.succeed(source)
      : Effect.map(effective(source), ({ retry }) => retry)
    return <A, E extends RWKVError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.flatMap(
        schedule,
        (schedule) => Effect.retry(attempt(effect, works), telling(policyOf(tame(schedule))))
      )
  }

const where = (may: (error: RWKVError) => boolean) =>
  repeat((schedule) => Schedule.whileInput(Polling.respectRetryAfter(schedule), may), false)

/** For reads. A request that took its whole time is not repeated: the caller has waited long enough. */
export const reads = where((error) => error.isTransient && error._tag !== "RWKVTimeoutError")

/** For polls of a longer wait, which has a limit of its own. */
export const polls = where((error) => error.isTransient)

/**
 * For requests that make the server work: it has no way to recognise a repetition, and would do the work twice. A 503
 * without `Retry-After` may come from a proxy that lost the server's answer.
 */
export const creates = repeat(Polling.whileSafe, true)
