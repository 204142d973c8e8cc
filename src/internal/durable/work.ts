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
  /** Begins the names of the steps: two of one name in a workflow would share what they record. */
  readonly name: string
  readonly recreate: number
  /** What is recorded of the end. */
  readonly record: Schema.Schema<A, I>
  readonly finish: (generated: Generated) => Effect.Effect<A>
  /** Whether the deletion is recorded too: otherwise it is repeated when the workflow is run again. */
  readonly recordsDeletion: boolean
}

/** A server that is down for less than this time costs no run. */
export const patience = (limit: "10 minutes" | "1 hour") =>
  Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("30 seconds")), Schedule.upTo(limit))

/** Repeats what may be repeated. The client is closed only when the process ends: nothing of that may be recorded. */
const patiently = <E extends WaitFailure>(mayRepeat: (error: E) => boolean) => <A, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.catchIf(isClosed, () => Effect.never),
    Effect.retry({ while: mayRepeat, schedule: patience("1 hour") })
  )

const cancelled = (operation: string, taskId: string) =>
  new TaskCancelledError({ operation, taskId, text: "", usage: unknownUsage })

/** Another process may have made the task, so the client does not know what bounds it: the request does. */
const generatedOf = ({ finishReason, text, usage }: TaskResult, { maxTokens }: Request): Generated => {
  const tokens = usage.outputTokens
  const known = finishReason !== "unknown" || tokens === undefined || tokens > maxTokens
  return { text, usage, finishReason: known ? finishReason : tokens === maxTokens ? "length" : "stop" }
}

/** An answer that is lost is as an id that dies with its process: the task is made anew, and `maxTokens` bounds it. */
const create = (tasks: Service, asked: Asked, recreate: number) =>
  Effect.gen(function*() {
    const { isCancelled, operation, request } = asked
    if (yield* isCancelled) return yield* cancelled(operation, "")
    const task = yield* "prefix" in request ? tasks.fim(request) : tasks.create(request)
    return task.id
  }).pipe(
    patiently((error) => error.isTransient && error.isSafeToRepeat),
    Effect.retry({
      while: (error) => error.isTransient && !error.isSafeToRepeat,
      schedule: Schedule.exponential("1 second"),
      times: recreate
    }),
    (created) => unlessCancelled(created, asked)
  )

/** What waits for the server, or for a place in a queue, ends once it is cancelled; what was sent is stopped then. */
const unlessCancelled = <A, E, R>(effect: Effect.Effect<A, E, R>, { isCancelled, operation }: Asked) =>
  Effect.raceFirst(effect, Effect.zipRight(until(isCancelled), cancelled(operation, "")))

/** Waits; a cancellation stops the task, and so ends the wait with what there is of the text. */
const end = (tasks: Service, id: string, { isCancelled, operation, wait }: Asked) =>
  Effect.raceFirst(
    tasks.wait(id, wait).pipe(patiently((error) => error.isTransient || error._tag === "StreamTruncatedError")),
    until(isCancelled).pipe(
      Effect.zipRight(Effect.ignoreLogged(tasks.stop(id))),
      Effect.zipRight(Effect.sleep("2 seconds")),
      Effect.zipRight(cancelled(operation, id))
    )
  )

/** Whether the process ends and not the workflow, which goes on elsewhere, with the task. */
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
      // What still runs is stopped first. If the stop misses (H29) it is not deleted, or nobody could find it.
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
