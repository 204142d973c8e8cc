/**
 * Tasks: create them, wait for them, stop, delete, continue and fork them.
 *
 * Reads ride out what is transient by the configuration's `retry`; a request that makes the server work is repeated only if
 * the server cannot have seen it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import { RWKVHttpClient } from "./HttpClient.js"
import * as Runs from "./internal/stream/runs.js"
import * as Tasks from "./internal/task/tasks.js"
import type * as Protocol from "./Protocol.js"
import { RWKVConfig } from "./RWKVConfig.js"
import type {
  AlreadyTemplateError,
  BranchFailure,
  CallFailure,
  RWKVValidationError,
  TaskFailure,
  TemplateProtectedError,
  UnsupportedByServerError,
  WaitFailure
} from "./RWKVError.js"
import { StreamService } from "./StreamService.js"
import type {
  BulkOptions,
  BulkResult,
  DeleteOptions,
  PlainRequest,
  Requests,
  StopOptions,
  Task,
  Verbs,
  WaitOptions
} from "./Task.js"

/**
 * What the service offers: see `Task.Verbs`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service extends Verbs {}

/**
 * The service that has the verbs of tasks.
 *
 * @since 0.1.0
 * @category tags
 */
export class TaskService extends Context.Tag("effect-rwkv/TaskService")<TaskService, Service>() {}

/**
 * The verbs of tasks, over the endpoints and streams that are provided.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TaskService, never, RWKVHttpClient | RWKVConfig | StreamService> = Layer.fresh(
  Layer.scoped(
    TaskService,
    Effect.gen(function*() {
      const http = yield* RWKVHttpClient
      const config = yield* RWKVConfig
      const streams = yield* StreamService
      return Tasks.make(http, config, streams, Runs.carriedBy(streams) ?? (yield* Runs.make(http, config)))
    })
  )
)

/**
 * Creates a task (`POST /v1/tasks/tmp`, or `/create` if persistent) and returns its handle when the prompt has been
 * read. If this is interrupted, the task is stopped.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RWKV, TaskService } from "effect-rwkv"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const program = Effect.gen(function*() {
 *   const task = yield* TaskService.create({ prompt: "Hello world", maxTokens: 50 })
 *   const result = yield* task.wait({ timeout: "10 seconds" })
 *   yield* Effect.log(result.text)
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(RWKV.layer()), Effect.provide(Emulator.layer())))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const create = (request: Generation.CreateRequest): Effect.Effect<Task, CallFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.create(request))

/**
 * Creates a task that lives in the server's memory only (`POST /v1/tasks/tmp`).
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const task = TaskService.createTemporary({ prompt: "Hello", maxTokens: 50 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const createTemporary = (request: PlainRequest): Effect.Effect<Task, CallFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.createTemporary(request))

/**
 * Creates a task that the server writes to its database when it evicts it or shuts down in good order (`POST
 * /v1/tasks/create`).
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const task = TaskService.createPersistent({ prompt: "Hello", maxTokens: 50 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const createPersistent = (request: PlainRequest): Effect.Effect<Task, CallFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.createPersistent(request))

/**
 * Fills in the middle (`POST /v1/tasks/fim`): the task's text is what belongs between prefix and suffix.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const task = TaskService.fim({ prefix: "def add(a, b):\n  ", suffix: "\n  return result", maxTokens: 30 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const fim = (request: Generation.FimRequest): Effect.Effect<Task, CallFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.fim(request))

/**
 * Creates a task, waits for its end and cleans up: a temporary task is deleted, and one that is not waited for to its
 * end (interrupt, timeout, failure) is stopped.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * const answer = TaskService.run({ prompt: "Question: why is the sky blue?\n\nAnswer:", maxTokens: 200 }, {
 *   timeout: "1 minute",
 *   onProgress: (info) => Effect.log(`${info.generatedTokens} tokens so far`)
 * })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const run = (
  request: Generation.CreateRequest | Generation.FimRequest,
  options?: WaitOptions
): Effect.Effect<Protocol.TaskResult, WaitFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.run(request, options))

/**
 * Runs many requests, 64 at a time by default, and delivers each result as it comes, with the place of its request. Requests
 * are taken as they are needed and results are not kept, so memory is constant. Failures are values unless `failures` is
 * `"fail"`; what else fails the stream is an invalid option.
 *
 * @example
 * ```ts
 * import { Effect, Either, Stream } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * const prompts = ["One", "Two", "Three"].map((prompt) => ({ prompt, maxTokens: 20 }))
 *
 * const texts = TaskService.runAll(prompts, { concurrency: 2, timeout: "1 minute" }).pipe(
 *   Stream.runForEach(({ index, result }) =>
 *     Effect.log(Either.isRight(result) ? `${index}: ${result.right.text}` : result.left.message)
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const runAll = <E = never, R = never>(
  requests: Requests<E, R>,
  options?: BulkOptions
): Stream.Stream<BulkResult, E | WaitFailure, TaskService | R> =>
  Stream.flatMap(TaskService, (tasks) => tasks.runAll(requests, options))

/**
 * The handle of a task whose id is known. The server is not asked.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * const status = TaskService.task("TASK_1").pipe(Effect.flatMap((task) => task.status))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const task = (id: string): Effect.Effect<Task, RWKVValidationError, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.task(id))

/**
 * Waits for the end of a task and reads its text. Fails with `RWKVTimeoutError` of kind `"wait"` at the timeout, and
 * with `TaskCancelledError` if this program stopped the task.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const result = TaskService.wait("TMP_1", { timeout: "30 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const wait = (id: string, options?: WaitOptions): Effect.Effect<Protocol.TaskResult, WaitFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.wait(id, options))

/**
 * Reads the text so far (`GET /v1/tasks/{id}/get_result`). While the last character is incomplete the text is empty and
 * `undecodedTail` is true.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const sofar = TaskService.result("TMP_1")
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const result = (
  id: string
): Effect.Effect<Protocol.TaskResult, TaskFailure | UnsupportedByServerError, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.result(id))

/**
 * Reads the state of a task and the number of tokens so far (`GET /v1/tasks/{id}/status`).
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const info = TaskService.status("TMP_1")
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const status = (id: string): Effect.Effect<Protocol.TaskInfo, TaskFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.status(id))

/**
 * Stops a task (`POST /v1/tasks/{id}/stop`) and waits until the server says that it has ended. Fails with
 * `RWKVTimeoutError` of kind `"stop"` if it runs on: stops may miss on this server.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const info = TaskService.stop("TMP_1", { within: "3 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const stop = (id: string, options?: StopOptions): Effect.Effect<Protocol.TaskInfo, TaskFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.stop(id, options))

const delete_ = (
  id: string,
  options?: DeleteOptions
): Effect.Effect<void, TaskFailure | TemplateProtectedError, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.delete(id, options))

export {
  /**
   * Deletes a task, stopping it if it runs (`POST /v1/tasks/{id}/delete`). A template is deleted only with `force: true`,
   * and fails with `TemplateProtectedError` otherwise.
   *
   * @example
   * ```ts
   * import { TaskService } from "effect-rwkv"
   *
   * const gone = TaskService.delete("TMP_1")
   * ```
   *
   * @since 0.1.0
   * @category accessors
   */
  delete_ as delete
}

const continue_ = (id: string, request: Generation.ContinueRequest): Effect.Effect<Task, BranchFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.continue(id, request))

export {
  /**
   * Starts a new run of a finished task with more prompt (`POST /v1/tasks/{id}/continue`): same id, new text. Fails with
   * `TaskBusyError` if the task is not finished.
   *
   * @example
   * ```ts
   * import { TaskService } from "effect-rwkv"
   *
   * const task = TaskService.continue("TASK_1", { prompt: "\n\nAnd then?", maxTokens: 100 })
   * ```
   *
   * @since 0.1.0
   * @category accessors
   */
  continue_ as continue
}

/**
 * Starts a run of a copy of a finished task (`POST /v1/tasks/{id}/fork`). Forks of one task may run at once, and the
 * source keeps its text for this program. Fails with `TaskBusyError` if the source is not finished.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const task = TaskService.fork("TASK_1", { prompt: " A happy end:", maxTokens: 100 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const fork = (id: string, request: Generation.ForkRequest): Effect.Effect<Task, BranchFailure, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.fork(id, request))

/**
 * Makes a template of a task (`POST /v1/tasks/{id}/as_template`). Fails with `UnsupportedByServerError` where the
 * server's templates do not work, before anything is lost.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const template = TaskService.asTemplate("TASK_1")
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const asTemplate = (
  id: string
): Effect.Effect<Task, TaskFailure | AlreadyTemplateError | UnsupportedByServerError, TaskService> =>
  Effect.flatMap(TaskService, (tasks) => tasks.asTemplate(id))

/**
 * What the server holds (`GET /v1/tasks/list`).
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const list = TaskService.list
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const list: Effect.Effect<Protocol.TaskList, CallFailure, TaskService> = Effect.flatMap(
  TaskService,
  (tasks) => tasks.list
)

/**
 * The server's models (`GET /v1/models`); also the way to ask whether it lives.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const models = TaskService.models
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const models: Effect.Effect<ReadonlyArray<Protocol.Model>, CallFailure, TaskService> = Effect.flatMap(
  TaskService,
  (tasks) => tasks.models
)
