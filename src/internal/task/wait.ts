/**
 * Waiting for the end of a task, and stopping one until it has ended.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as HttpClient from "../../HttpClient.js"
import * as Polling from "../../Polling.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import {
  isRWKVError,
  RWKVTimeoutError,
  TaskCancelledError,
  type TaskFailure,
  type WaitFailure
} from "../../RWKVError.js"
import type { StopOptions, WaitOptions } from "../../Task.js"
import { begun } from "../input/failure.js"
import * as Options from "../input/options.js"
import * as validate from "../input/validate.js"
import { halt, isFinished, looking } from "../owner/farewell.js"
import type * as Ledger from "../owner/ledger.js"
import { outcome } from "../stream/outcome.js"
import { counted } from "../stream/parting.js"
import { settled } from "../stream/settle.js"
import type { FollowFailure } from "../stream/signals.js"
import { limited, within } from "../wire/limit.js"
import { unwatched } from "../wire/trouble.js"
import * as retry from "../wire/retry.js"
import { note } from "../wire/telemetry.js"

/** Whoever waits for the end wants to know what prevented it, and not that a stream was cut by it. */
export const unwrap = (error: FollowFailure): WaitFailure => {
  // An end that could not be confirmed brings the text.
  if (error._tag !== "StreamTruncatedError" || error.unconfirmed || !isRWKVError(error.cause)) return error
  const { cause } = error
  // These say nothing of a wait.
  return cause._tag === "TaskBusyError" || cause._tag === "TemplateProtectedError" ||
      cause._tag === "AlreadyTemplateError" || cause._tag === "UnsupportedByServerError"
    ? error
    : cause
}

const isQueued = ({ status }: TaskInfo) => status === "Prefill" || status === "Ready"

/** Whether the status is asked for again and again, and not one stream listened to. */
export const looks = ({ by, onProgress, schedule }: Options.Waiting): boolean =>
  by === undefined ? schedule !== undefined || onProgress !== undefined : by === "polling"

/** Without end: the limit of the stop ends it. */
const pauses = Schedule.exponential("20 millis", 1.5).pipe(Schedule.union(Schedule.spaced("250 millis")))

/** About a second after a stop it is taken for lost. */
const untilLost = Schedule.intersect(pauses, Schedule.recurs(8))

export const make = (
  http: HttpClient.Service,
  ledger: Ledger.Service,
  schedule: retry.Source,
  listen: (
    operation: string,
    taskId: TaskId,
    options: Pick<WaitOptions, "queueTimeout">
  ) => Effect.Effect<TaskResult, FollowFailure>
) => {
  const creates = retry.creates(schedule)
  const polls = retry.polls(schedule)

  /** The server names the ancestor of a fork or a template (H18). */
  const look = (operation: string, taskId: TaskId) =>
    Effect.map(polls(http.status(taskId, { operation })), (info) => ({ ...info, taskId }))

  /** The end of a task that a look has seen to be finished: the look may predate the last tokens (H31). */
  const polled = (
    operation: string,
    taskId: TaskId,
    { generatedTokens }: TaskInfo
  ): Effect.Effect<TaskResult, FollowFailure> =>
    Effect.gen(function*() {
      const recording = ledger.recordings.get(taskId)
      if (recording !== undefined) return yield* Deferred.await(recording.result)
      const maxTokens = ledger.limits.get(taskId)
      const result = yield* settled(
        polls(http.result(taskId, { operation })),
        ledger.stopped.has(taskId) ? undefined : maxTokens,
        http.status(taskId, { operation })
      )
      const tokens = ledger.sharing.has(taskId)
        ? undefined
        : generatedTokens === maxTokens
        ? generatedTokens
        : Option.getOrUndefined(
          yield* Effect.option(
            within(counted(http.status(taskId, { operation })), "2 seconds", () => Effect.succeed(undefined))
          )
        )
      const ended = outcome(result, {
        tokens,
        maxTokens,
        stopped: ledger.stopped.has(taskId),
        sequence: undefined,
        requestId: ledger.requestIds.get(taskId)
      })
      yield* note(({ finished }) => finished(ended))
      return ended
    })

  /** Looks until the task has ended. */
  const poll = (
    operation: string,
    taskId: TaskId,
    { onProgress, queueTimeout: queue, schedule }: Options.Waiting
  ): Effect.Effect<TaskInfo, TaskFailure> =>
    Effect.gen(function*() {
      const queueTimeout = yield* validate.duration(operation, "queueTimeout", queue, "1 hour")
      const maxTokens = ledger.limits.get(taskId)
      const usual = maxTokens === undefined ? Polling.waitSchedule : Polling.waitScheduleFor(maxTokens)
      let limit = Duration.zero
      const counted = Schedule.modifyDelay(schedule ?? usual, (_, delay) => {
        limit = Duration.sum(limit, delay)
        return delay
      })
      const report = validate.callback(operation, "onProgress", onProgress)
      const state = Effect.tap(look(operation, taskId), (info) => unwatched(report(info)))
      const driver = yield* Schedule.driver(counted)
      const next = (info: TaskInfo) =>
        Effect.zipRight(
          driver.next(info).pipe(
            Effect.mapError(() => new RWKVTimeoutError({ operation, taskId, kind: "wait", limit })),
            Effect.catchAllDefect(() => Effect.fail(validate.invalid(operation, "schedule", "must not throw")))
          ),
          state
        )
      /** The next look, or the first one that sees the task out of the queue. */
      const onward = (info: TaskInfo) =>
        isQueued(info)
          ? limited(Effect.iterate(info, { while: isQueued, body: next }), queueTimeout, {
            operation,
            taskId,
            kind: "queue"
          })
          : next(info)
      return yield* Effect.iterate(yield* state, { while: (info) => !isFinished(info), body: onward })
    })

  /** Within the time that the options give it. */
  const inTime = <A, E>(
    effect: Effect.Effect<A, E>,
    timeout: Duration.DurationInput | undefined,
    about: { readonly operation: string; readonly taskId?: TaskId }
  ) =>
    Effect.flatMap(
      validate.duration(about.operation, "timeout", timeout, Duration.infinity),
      (limit) => limited(effect, limit, { ...about, kind: "wait" })
    )

  /** Fails if this program has stopped the task; a text that a stop sequence has ended is a success. */
  const uncancelled = (
    operation: string,
    taskId: TaskId,
    result: TaskResult
  ): Effect.Effect<TaskResult, TaskCancelledError> => {
    const { finishReason, text, usage } = result
    return finishReason === "stop-sequence" || !ledger.stopped.has(taskId)
      ? Effect.succeed(result)
      : new TaskCancelledError({ operation, taskId, text, usage })
  }

  const ending = (
    operation: string,
    taskId: TaskId,
    options: Options.Waiting
  ): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.gen(function*() {
      const ended = looks(options)
        ? Effect.flatMap(poll(operation, taskId, options), (seen) => polled(operation, taskId, seen))
        : listen(operation, taskId, options)
      return yield* uncancelled(operation, taskId, yield* Effect.mapError(ended, unwrap))
    })

  /**
   * Waits without a limit of its own: by one stream, which costs least and hears the end when it comes, or by polling
   * where a schedule, `onProgress` or `by` asks for that.
   */
  const end = (
    operation: string,
    taskId: TaskId,
    options: Options.Waiting
  ): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.acquireUseRelease(
      Effect.sync(() => ledger.wants(taskId)),
      () => ending(operation, taskId, options),
      (over) => Effect.sync(over)
    )

  const wait = (operation: string, id: string, options?: WaitOptions): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const given = yield* Options.ofWait(operation, options)
      return yield* inTime(end(operation, taskId, given), given.timeout, { operation, taskId })
    })

  /** Looks until a stopped task has ended; a stop that did not reach it is repeated once (H29, H30). */
  const stop = (operation: string, id: string, options?: StopOptions): Effect.Effect<TaskInfo, TaskFailure> =>
    Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const given = yield* Options.ofStop(operation, options)
      const limit = yield* validate.duration(operation, "within", given.within, "5 seconds")
      const state = look(operation, taskId)
      const forget = Effect.sync(() => ledger.stopped.delete(taskId))
      let sent = false
      const ended = Effect.gen(function*() {
        const before = yield* state
        if (isFinished(before)) return before
        ledger.stopped.set(taskId, true)
        // What may have been carried out is not repeated: it could hit another task.
        const ask = creates(http.stop(taskId, { operation })).pipe(
          Effect.tap(() => {
            sent = true
          }),
          Effect.map(Option.match({ onNone: () => before, onSome: (info) => ({ ...info, taskId }) })),
          // A stop that failed stopped nothing, as far as anyone knows.
          Effect.onError(() => forget)
        )
        return yield* looking(yield* halt(ask, state, untilLost), state, pauses)
      }).pipe(
        // Another stop after one that was sent may hit another task.
        Effect.mapError((error) => sent ? begun(error) : error)
      )
      return yield* Effect.tapError(
        limited(ended, limit, { operation, taskId, kind: "stop" }),
        (error) => error._tag === "RWKVTimeoutError" ? forget : Effect.void
      )
    })

  return { end, inTime, stop, uncancelled, wait }
}
