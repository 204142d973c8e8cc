/**
 * The Schedules behind waiting and retrying. All time is the Clock's and all jitter is Random's, so tests drive both.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { TaskInfo } from "./Protocol.js"
import type { RWKVError } from "./RWKVError.js"

/**
 * A Schedule that says when to look at a task again. It sees each {@link TaskInfo}, so it may go by the tokens so far.
 *
 * @since 0.1.0
 * @category models
 */
export type WaitSchedule = Schedule.Schedule<unknown, TaskInfo>

/**
 * A Schedule that says whether and when to repeat a request that failed. It only sees failures after which repeating is
 * safe.
 *
 * @since 0.1.0
 * @category models
 */
export type RetrySchedule = Schedule.Schedule<unknown, RWKVError>

/**
 * How `wait` polls, if it polls, unless told otherwise: after 20 ms, then half as long again each time, up to every 500 ms, with jitter
 * of a fifth either way. It never gives up: that is what `timeout` is for.
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
export const waitSchedule: WaitSchedule = Schedule.exponential("20 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("500 millis")),
  Schedule.jittered
)

/** No look sooner than this, nor than a fiftieth of the time it took so far: a task that stands still at its end is not besieged. */
const soonest = (elapsed: Duration.Duration) =>
  Duration.clamp(Duration.times(elapsed, 0.02), { minimum: "20 millis", maximum: "250 millis" })

/**
 * {@link waitSchedule} for a task that generates at most so many tokens: it looks again when, at the speed so far, they should
 * be there, if that is sooner.
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
    Schedule.intersect(Schedule.elapsed),
    Schedule.modifyDelay(([{ generatedTokens, status }, elapsed], delay) => {
      if (status !== "Running" || generatedTokens <= 0) return delay
      const left = Duration.times(elapsed, Math.max(0, maxTokens / generatedTokens - 1))
      return Duration.min(delay, Duration.max(left, soonest(elapsed)))
    })
  )

/**
 * How failed requests are repeated unless told otherwise: up to 5 times, after 200 ms and twice as long each time with
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

/** A server that asks for hours is asked again all the same: no caller should hang for that long without a word. */
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
export const respectRetryAfter = (schedule: RetrySchedule): RetrySchedule =>
  schedule.pipe(
    Schedule.passthrough,
    Schedule.modifyDelay((error, delay) =>
      "retryAfter" in error && error.retryAfter !== undefined
        ? Duration.max(delay, Duration.min(error.retryAfter, longestRetryAfter))
        : delay
    )
  )
