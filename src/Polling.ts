/**
 * The Schedules behind waiting and retrying. All time is the Clock's and all jitter is Random's, so tests drive both.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import type { TaskInfo } from "./Protocol.js"
import { isSafeToRepeat, isTransient, type RWKVError } from "./RWKVError.js"

/**
 * A Schedule that says when to look at a task again. It sees each {@link TaskInfo}, so it may go by the tokens so far.
 *
 * @since 0.1.0
 * @category models
 */
export type WaitSchedule = Schedule.Schedule<unknown, TaskInfo>

/**
 * A Schedule that says whether and when to repeat a request that failed. It only sees failures that are safe to repeat.
 *
 * @since 0.1.0
 * @category models
 */
export type RetrySchedule = Schedule.Schedule<unknown, RWKVError>

/**
 * How `wait` polls by default: after 20 ms, then 1.5 times as long each time, up to every 500 ms, with a jitter of 20
 * %. It never ends: limit a wait by its `timeout`.
 *
 * @example
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * // a schedule of one's own: every second
 * const program = TaskService.create({ prompt: "Hello" }).pipe(
 *   Effect.flatMap((task) => task.wait({ schedule: Schedule.spaced("1 second") }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category schedules
 */
export const waitSchedule: WaitSchedule = /*#__PURE__*/ Schedule.jittered(
  /*#__PURE__*/ Schedule.union(
    /*#__PURE__*/ Schedule.exponential("20 millis", 1.5),
    /*#__PURE__*/ Schedule.spaced("500 millis")
  )
)

/** Before effect 3.22.4 `Duration.times` refuses fractions for durations such as those of `Schedule.elapsed`. */
const scaled = (duration: Duration.Duration, factor: number) => Duration.millis(Duration.toMillis(duration) * factor)

/** The least pause between two looks, 2 % of the time so far: the task may stand still just before its end. */
const leastPause = (elapsed: Duration.Duration) =>
  Duration.clamp(scaled(elapsed, 0.02), { minimum: "20 millis", maximum: "250 millis" })

/** The time so far, which does not shrink when somebody sets the wall clock back. */
const elapsed: Schedule.Schedule<Duration.Duration> = /*#__PURE__*/ Schedule.makeWithState(
  { last: Infinity, total: 0 },
  (now, _, { last, total }) => {
    const sum = total + Math.max(0, now - last)
    return Effect.succeed([
      { last: now, total: sum },
      Duration.millis(sum),
      ScheduleDecision.continueWith(ScheduleInterval.after(now))
    ])
  }
)

/**
 * {@link waitSchedule} for a task that generates at most `maxTokens`. It looks sooner if, at the speed so far, the last
 * token should be there before the next look.
 *
 * @example
 * ```ts
 * import { TaskService, Polling } from "effect-rwkv"
 *
 * const result = TaskService.wait("TMP_1", { schedule: Polling.waitScheduleFor(500) })
 * ```
 *
 * @since 0.1.0
 * @category schedules
 */
export const waitScheduleFor = (maxTokens: number): WaitSchedule =>
  Schedule.passthrough(waitSchedule).pipe(
    Schedule.intersect(elapsed),
    Schedule.modifyDelay(([{ generatedTokens, status }, elapsed], delay) => {
      if (status !== "Running" || generatedTokens <= 0) return delay
      const left = scaled(elapsed, Math.max(0, maxTokens / generatedTokens - 1))
      return Duration.min(delay, Duration.max(left, leastPause(elapsed)))
    })
  )

/**
 * How failed requests are repeated by default: up to 5 times, after 200 ms and twice as long each time with
 * jitter, for at most 2 minutes in all.
 *
 * @example
 * ```ts
 * import { Schedule } from "effect"
 * import { Polling, RWKV } from "effect-rwkv"
 *
 * // the default, but for at most ten seconds
 * const layer = RWKV.layer({ retry: Polling.retrySchedule.pipe(Schedule.upTo("10 seconds")) })
 * ```
 *
 * @since 0.1.0
 * @category schedules
 */
export const retrySchedule: RetrySchedule = Schedule.exponential("200 millis").pipe(
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(5)),
  Schedule.upTo("2 minutes")
)

/**
 * Never repeats a failed request.
 *
 * @example
 * ```ts
 * import { Polling, RWKV } from "effect-rwkv"
 *
 * const layer = RWKV.layer({ retry: Polling.noRetry })
 * ```
 *
 * @since 0.1.0
 * @category schedules
 */
export const noRetry: RetrySchedule = Schedule.stop

/** A server may ask for a pause of hours, and a caller should not hang for that long. */
const longestRetryAfter = Duration.minutes(1)

/**
 * Makes a schedule wait at least as long as the failure's `Retry-After` asks for, up to a minute.
 *
 * @example
 * ```ts
 * import { Schedule } from "effect"
 * import { Polling } from "effect-rwkv"
 *
 * const schedule = Polling.respectRetryAfter(Schedule.spaced("1 second"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const respectRetryAfter = <In, R = never>(
  schedule: Schedule.Schedule<unknown, In, R>
): Schedule.Schedule<In, In, R> =>
  schedule.pipe(
    Schedule.passthrough,
    Schedule.modifyDelay((error, delay) =>
      hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter)
        ? Duration.max(delay, Duration.min(error.retryAfter, longestRetryAfter))
        : delay
    )
  )

/**
 * Makes a schedule for `Effect.retry` of anything, requests that make the server work included: it repeats only what
 * failed with a transient error (`isTransient`) and was surely not carried out (`isSafeToRepeat`), and waits at least
 * as long as `Retry-After` asks for, up to a minute. Errors that are not of this package end it.
 *
 * @example
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Polling, TaskService } from "effect-rwkv"
 *
 * // survives a restart of the server, and never makes it generate twice
 * const result = TaskService.run({ prompt: "Hello" }).pipe(
 *   Effect.retry(Polling.whileSafe(Schedule.exponential("1 second")))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const whileSafe = <In, R = never>(
  schedule: Schedule.Schedule<unknown, In, R>
): Schedule.Schedule<In, In, R> =>
  Schedule.whileInput(
    respectRetryAfter(schedule),
    (error) => isTransient(error) && isSafeToRepeat(error)
  )
