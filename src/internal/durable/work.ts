/**
 * One task in a workflow, in steps that are recorded: create it, wait for its end, delete it.
 */
import * as Activity from "@effect/workflow/Activity"
import * as Workflow from "@effect/workflow/Workflow"
import { type WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { unknownUsage } from "../../Finish.js"
import type { TaskResult } from "../../Protocol.js"
import { TaskCancelledError, type WaitFailure } from "../../RWKVError.js"
import type { WaitOptions } from "../../Task.js"
import { type Service, TaskService } from "../../TaskService.js"
import { isClosed } from "../wire/closed.js"
import { Failure, type Generated, type Request } from "./schemas.js"
import { until } from "./cancellation.js"

interface Asked {
  readonly operation: string
  readonly request: Request
  readonly wait: WaitOptions | undefined
  readonly isCancelled: Effect.Effect<boolean>
}

interface Work<A, I> extends Asked {
  /** Begins the names of the steps: two steps of one name in a workflow would share their record. */
  readonly name: string
  readonly recreate: number
  /** The Schema of what is recorded of the end. */
  readonly record: Schema.Schema<A, I>
  readonly finish: (generated: Generated) => Effect.Effect<A>
  /** Whether the deletion is recorded too: otherwise it is repeated when the workflow is run again. */
  readonly recordsDeletion: boolean
}

/** Repeats for so long: a server that is down for less fails no run. */
export const retriesFor = (limit: "10 minutes" | "1 hour") =>
  Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("30 seconds")), Schedule.upTo(limit))

/** Repeats what may be repeated. A closed client means that the process ends, which is not recorded as a failure. */
const retryIf = <E extends WaitFailure>(mayRepeat: (error: E) => boolean) => <A, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.catchIf(isClosed, () => Effect.never),
    Effect.retry({ while: mayRepeat, schedule: retriesFor("1 hour") })
  )

const cancelled = (operation: string, taskId: string) =>
  new TaskCancelledError({ operation, taskId, text: "", usage: unknownUsage })

/** If another process made the task, the client does not know its `maxTokens`, so the reason is completed here. */
const generatedOf = ({ finishReason, text, usage }: TaskResult, { maxTokens }: Request): Generated => {
  const tokens = usage.outputTokens
  const known = finishReason !== "unknown" || tokens === undefined || tokens > maxTokens
  return { text, usage, finishReason: known ? finishReason : tokens === maxTokens ? "length" : "stop" }
}

/** If the answer is lost, so is the id: another task is created, and `maxTokens` bounds the lost one. */
const create = (tasks: Service, asked: Asked, recreate: number) =>
  Effect.gen(function*() {
    const { isCancelled, operation, request } = asked
    if (yield* isCancelled) return yield* cancelled(operation, "")
    const task = yield* "prefix" in request ? tasks.fim(request) : tasks.create(request)
    return task.id
  }).pipe(
    retryIf((error) => error.isTransient && error.isSafeToRepeat),
    Effect.retry({
      while: (error) => error.isTransient && !error.isSafeToRepeat,
      schedule: Schedule.exponential("1 second"),
      times: recreate
    }),
    (created) => unlessCancelled(created, asked)
  )

/** Ends a wait for the server or for a place in a queue on cancellation; the client stops what was sent. */
const unlessCancelled = <A, E, R>(effect: Effect.Effect<A, E, R>, { isCancelled, operation }: Asked) =>
  Effect.raceFirst(effect, Effect.zipRight(until(isCancelled), cancelled(operation, "")))

/** Waits for the end. A cancellation stops the task, which ends the wait with the text so far, or fails it in 2 s. */
const end = (tasks: Service, id: string, { isCancelled, operation, wait }: Asked) =>
  Effect.raceFirst(
    tasks.wait(id, wait).pipe(retryIf((error) => error.isTransient || error._tag === "StreamTruncatedError")),
    until(isCancelled).pipe(
      Effect.zipRight(Effect.ignoreLogged(tasks.stop(id))),
      Effect.zipRight(Effect.sleep("2 seconds")),
      Effect.zipRight(cancelled(operation, id))
    )
  )

/** Whether only the process ends: the workflow goes on elsewhere and needs the task. */
const isShutdown = ({ interrupted }: WorkflowInstance["Type"], exit: Exit.Exit<unknown, unknown>) =>
  !interrupted && Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

export const run = <A, I>(
  work: Work<A, I>
): Effect.Effect<A, WaitFailure, TaskService | WorkflowEngine | WorkflowInstance> =>
  Effect.gen(function*() {
    const tasks = yield* TaskService
    const instance = yield* WorkflowInstance
    const { finish, name, recreate, record, request } = work
    for (let attempt = 0;; attempt++) {
      const id = yield* Activity.make({
        name: `${name}/create/${attempt}`,
        success: Schema.String,
        error: Failure,
        execute: create(tasks, work, recreate)
      })
      // A running task is stopped before. If the stop misses (H29) it is not deleted, so that it can be found.
      const stopped = Effect.tapErrorTag(
        tasks.stop(id),
        "RWKVTimeoutError",
        ({ message }) => Effect.logWarning(message)
      )
      const release = (running: boolean) =>
        Effect.ignore(Effect.zipRight(running ? stopped : Effect.void, tasks.delete(id)))
      let waiting = true
      yield* Workflow.addFinalizer((exit) => waiting && !isShutdown(instance, exit) ? release(true) : Effect.void)
      const ended = yield* Effect.either(Activity.make({
        name: `${name}/end/${attempt}`,
        success: record,
        error: Failure,
        execute: Effect.flatMap(end(tasks, id, work), (result) => finish(generatedOf(result, request)))
      }))
      waiting = false
      const isGone = Either.isLeft(ended) && ended.left._tag === "TaskNotFoundError"
      if (!isGone) {
        const deletion = release(Either.isLeft(ended))
        yield* work.recordsDeletion
          ? Activity.make({ name: `${name}/delete/${attempt}`, execute: deletion })
          : deletion
      }
      if (!isGone || attempt >= recreate) return yield* ended
    }
  })
