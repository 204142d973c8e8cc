/**
 * Waiting for the end of a task, and stopping one until it has ended.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as HttpClient from "../../HttpClient.js"
import * as Polling from "../../Polling.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import {
  isRWKVError,
  RWKVTimeoutError,
  type StreamTruncatedError,
  TaskCancelledError,
  type TaskFailure,
  type WaitFailure
} from "../../RWKVError.js"
import type { StopOptions, WaitOptions } from "../../Task.js"
import type * as Ledger from "../owner/ledger.js"
import * as Options from "../input/options.js"
import { within } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import { settled } from "../stream/settle.js"
import type { FollowFailure } from "../stream/signals.js"
import * as validate from "../input/validate.js"

/** Whoever waits for the end wants to know what prevented it, and not that a stream was cut by it. */
const unwrap = (error: FollowFailure): WaitFailure => {
  if (error._tag !== "StreamTruncatedError" || !isRWKVError(error.cause)) return error
  switch (error.cause._tag) {
    case "TaskBusyError":
    case "TemplateProtectedError":
    case "AlreadyTemplateError":
    case "UnsupportedByServerError":
      return error
    default:
      return error.cause
  }
}

export const make = (
  http: HttpClient.Service,
  ledger: Ledger.Service,
  schedule: Polling.RetrySchedule,
  listen: (operation: string, taskId: TaskId) => Effect.Effect<TaskResult, FollowFailure>
) => {
  const reads = retry.reads(schedule)
  const polls = retry.polls(schedule)

  const limited = <A, E>(
    operation: string,
    taskId: TaskId | undefined,
    kind: "wait" | "stop",
    limit: Duration.Duration,
    effect: Effect.Effect<A, E>
  ): Effect.Effect<A, E | RWKVTimeoutError> =>
    within(effect, { duration: limit, onTimeout: () => new RWKVTimeoutError({ operation, taskId, kind, limit }) })

  /** The whole text of a task that the server calls finished. */
  const whole = (operation: string, taskId: TaskId): Effect.Effect<TaskResult, TaskFailure | StreamTruncatedError> =>
    Effect.suspend(() => {
      const recording = ledger.recordings.get(taskId)
      return recording === undefined
        ? settled(polls(http.result(taskId, { operation })))
        : Deferred.await(recording.result)
    })

  const poll = (
    operation: string,
    taskId: TaskId,
    look: Polling.WaitSchedule,
    onProgress: (info: TaskInfo) => Effect.Effect<void>
  ): Effect.Effect<void, TaskFailure> =>
    Effect.gen(function*() {
      const driver = yield* Schedule.driver(Schedule.reduce(Schedule.delays(look), Duration.zero, Duration.sum))
      while (true) {
        const info = { ...(yield* polls(http.status(taskId, { operation }))), taskId }
        yield* onProgress(info)
        if (info.status === "Finished") return
        yield* Effect.catchAll(driver.next(info), () =>
          Effect.flatMap(
            Effect.orElseSucceed(driver.last, () => Duration.zero),
            (limit) => new RWKVTimeoutError({ operation, taskId, kind: "wait", limit })
          ))
      }
    })

  const limitOf = (operation: string, options: WaitOptions | undefined) =>
    Effect.flatMap(
      Options.ofWait(operation, options),
      ({ timeout }) => validate.duration(operation, "timeout", timeout, Duration.infinity)
    )

  /**
   * Waits without a limit of its own. One stream costs less than many looks, and tells the end when it comes; whoever wants to
   * look, or says when, gets looks.
   */
  const end = (
    operation: string,
    taskId: TaskId,
    options?: WaitOptions,
    maxTokens?: number
  ): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.gen(function*() {
      const { by, onProgress, schedule } = yield* Options.ofWait(operation, options)
      const usual = maxTokens === undefined ? Polling.waitSchedule : Polling.waitScheduleFor(maxTokens)
      const looks = by === undefined ? schedule !== undefined || onProgress !== undefined : by === "polling"
      const result = !looks
        ? yield* Effect.mapError(listen(operation, taskId), unwrap)
        : yield* Effect.zipRight(
          poll(operation, taskId, schedule ?? usual, onProgress ?? (() => Effect.void)),
          whole(operation, taskId)
        )
      if (ledger.stopped.get(taskId) !== true) return result
      return yield* new TaskCancelledError({ operation, taskId, text: result.text })
    })

  const wait = (
    operation: string,
    id: string,
    options?: WaitOptions,
    maxTokens?: number
  ): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const limit = yield* limitOf(operation, options)
      return yield* limited(operation, taskId, "wait", limit, end(operation, taskId, options, maxTokens))
    })

  /** Looks until a stopped task has ended; a stop that did not reach it is repeated once. */
  const stop = (operation: string, id: string, options?: StopOptions): Effect.Effect<TaskInfo, TaskFailure> =>
    Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const given = yield* Options.ofStop(operation, options)
      const limit = yield* validate.duration(operation, "within", given.within, "5 seconds")
      const look = Effect.map(polls(http.status(taskId, { operation })), (info) => ({ ...info, taskId }))
      const ask = reads(http.stop(taskId, { operation }))
      const ended = Effect.gen(function*() {
        const before = yield* look
        if (before.status === "Finished") return before
        ledger.stopped.set(taskId, true)
        // A stop that failed stopped nothing, as far as anyone knows.
        yield* Effect.onError(ask, () => Effect.sync(() => ledger.stopped.delete(taskId)))
        const driver = yield* Schedule.driver(pauses)
        let looks = 0
        while (true) {
          const info = yield* look
          if (info.status === "Finished") return info
          looks++
          if (looks === patience) yield* Effect.zipRight(ask, driver.reset)
          yield* Effect.ignore(driver.next(undefined))
        }
      })
      return yield* Effect.tapError(limited(operation, taskId, "stop", limit, ended), (error) =>
        Effect.sync(() => {
          if (error._tag === "RWKVTimeoutError") ledger.stopped.delete(taskId)
        }))
    })

  return { end, limitOf, limited, stop, wait }
}

/** Without end: the limit of the stop ends it. */
const pauses = Schedule.exponential("20 millis", 1.5).pipe(Schedule.union(Schedule.spaced("250 millis")))

/** After so many looks, about a second, a stop is taken for lost. */
const patience = 9
