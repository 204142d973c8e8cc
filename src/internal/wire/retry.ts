/**
 * Which failures may be repeated: of reads, whatever is transient; of what makes the server work, only what it never
 * saw.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Polling from "../../Polling.js"
import type { RWKVError } from "../../RWKVError.js"

const repeat = (schedule: Polling.RetrySchedule, may: (error: RWKVError) => boolean) => {
  const policy = Schedule.whileInput(Polling.respectRetryAfter(schedule), may)
  return <A, E extends RWKVError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.retry(effect, policy)
}

/** For reads. A request that took its whole time is not repeated: the caller has waited long enough. */
export const reads = (schedule: Polling.RetrySchedule) =>
  repeat(schedule, (error) => error.isTransient && error._tag !== "RWKVTimeoutError")

/** For polls of a longer wait, which has a limit of its own. */
export const polls = (schedule: Polling.RetrySchedule) => repeat(schedule, (error) => error.isTransient)

/**
 * For requests that make the server work: it has no way to recognise a repetition, and would do the work twice. A 503
 * without `Retry-After` may come from a proxy that lost the server's answer.
 */
export const creates = (schedule: Polling.RetrySchedule) => {
  const policy = Polling.whileSafe(schedule)
  return <A, E extends RWKVError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.retry(effect, policy)
}
