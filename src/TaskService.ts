/**
 * Tasks: create them, wait for them, stop, delete, continue and fork them.
 *
 * Reads are repeated by the configuration's `retry` schedule when a failure is transient. A request that makes the
 * server work is repeated only if the server cannot have seen it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import { RWKVHttpClient } from "./HttpClient.js"
import * as Ledger from "./internal/owner/ledger.js"
import * as Runs from "./internal/stream/runs.js"
import * as Tasks from "./internal/task/tasks.js"
import type * as Protocol from "./Protocol.js"
import { RWKVConfig } from "./RWKVConfig.js"
import type { CallFailure, RWKVValidationError, WaitFailure } from "./RWKVError.js"
import { StreamService } from "./StreamService.js"
import type { BulkOptions, BulkResult, DeleteOptions, PlainRequest, Requests, RunOptions, Task } from "./Task.js"

/**
 * The verbs of tasks. Each is documented at the accessor of the same name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** {@link create} */
  readonly create: (request: Generation.CreateRequest) => Effect.Effect<Task, CallFailure>
  /** {@link createTemporary} */
  readonly createTemporary: (request: PlainRequest) => Effect.Effect<Task, CallFailure>
  /** {@link createPersistent} */
  readonly createPersistent: (request: PlainRequest) => Effect.Effect<Task, CallFailure>
  /** {@link fim} */
  readonly fim: (request: Generation.FimRequest) => Effect.Effect<Task, CallFailure>
  /** {@link run} */
  readonly run: (
    request: Generation.CreateRequest | Generation.FimRequest,
    options?: RunOptions
  ) => Effect.Effect<Protocol.TaskResult, WaitFailure>
  /** {@link runAll} */
  readonly runAll: <E = never, R = never>(
    requests: Requests<E, R>,
    options?: BulkOptions
  ) => Stream.Stream<BulkResult, E | WaitFailure, R>
  /** {@link task} */
  readonly task: (id: string) => Effect.Effect<Task, RWKVValidationError>
  /** {@link wait} */
  readonly wait: (id: string, ...options: Parameters<Task["wait"]>) => ReturnType<Task["wait"]>
  /** {@link result} */
  readonly result: (id: string) => Task["result"]
  /** {@link status} */
  readonly status: (id: string) => Task["status"]
  /** {@link stop} */
  readonly stop: (id: string, ...options: Parameters<Task["stop"]>) => ReturnType<Task["stop"]>
  /** {@link delete} */
  readonly delete: (id: string, options?: DeleteOptions) => ReturnType<Task["delete"]>
  /** {@link continue} */
  readonly continue: (id: string, ...options: Parameters<Task["continue"]>) => ReturnType<Task["continue"]>
  /** {@link fork} */
  readonly fork: (id: string, ...options: Parameters<Task["fork"]>) => ReturnType<Task["fork"]>
  /** {@link asTemplate} */
  readonly asTemplate: (id: string) => Task["asTemplate"]
  /** {@link list} */
  readonly list: Effect.Effect<Protocol.TaskList, CallFailure>
  /** {@link models} */
  readonly models: Effect.Effect<ReadonlyArray<Protocol.Model>, CallFailure>
}

/**
 * The service that has the verbs of tasks.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * // a service of your own that is given the verbs
 * const make = Effect.map(TaskService.TaskService, (tasks) => ({
 *   summarize: (text: string) => tasks.run({ prompt: `${text}\n\nSummary:`, maxTokens: 60 })
 * }))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class TaskService extends Context.Tag("effect-rwkv/TaskService")<TaskService, Service>() {}

/**
 * The verbs of tasks, over the endpoints and streams that are provided. Once the layer is closed they fail and send
 * nothing.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpClient, RWKVConfig, StreamService, TaskService } from "effect-rwkv"
 *
 * // what RWKV.layer puts together
 * const layer = TaskService.layer.pipe(
 *   Layer.provideMerge(StreamService.layer),
 *   Layer.provide(HttpClient.layer),
 *   Layer.provide([RWKVConfig.layer(), FetchHttpClient.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TaskService, never, RWKVHttpClient | RWKVConfig | StreamService> = Layer.fresh(
  Layer.scoped(
    TaskService,
    Effect.gen(function*() {
      const [http, config, streams] = yield* Effect.all([RWKVHttpClient, RWKVConfig, StreamService])
      const runs = Runs.carriedBy(streams) ?? (yield* Runs.make(http, config))
      return Tasks.make(http, config, streams, runs, yield* Ledger.gate(runs.ledger))
    })
  )
)

/** Makes an accessor of a verb: it asks for the service when it is run. */
const call =
  <Args extends ReadonlyArray<unknown>, A, E>(verb: (tasks: Service) => (...args: Args) => Effect.Effect<A, E>) =>
  (...args: Args): Effect.Effect<A, E, TaskService> => Effect.flatMap(TaskService, (tasks) => verb(tasks)(...args))

/**
 * Creates a task (`POST /v1/tasks/tmp`, or `/create` if persistent) and returns its handle once the server has read the
 * prompt. If this is interrupted, the task is stopped. Fails with `CallFailure`.
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
export const create = /*#__PURE__*/ call((tasks) => tasks.create)

/**
 * {@link create} with `persistence: "temporary"`: the task is kept in the server's memory only (`POST /v1/tasks/tmp`).
 * Fails with `CallFailure`.
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
export const createTemporary = /*#__PURE__*/ call((tasks) => tasks.createTemporary)

/**
 * {@link create} with `persistence: "persistent"`: the task survives an orderly shutdown (`POST /v1/tasks/create`,
 * H36). Fails with `CallFailure`.
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
export const createPersistent = /*#__PURE__*/ call((tasks) => tasks.createPersistent)

/**
 * Fills in the middle (`POST /v1/tasks/fim`): the text of the temporary task is what belongs between prefix and suffix.
 * Fails with `CallFailure`.
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
export const fim = /*#__PURE__*/ call((tasks) => tasks.fim)

/**
 * Creates a task (or fills in, given a `prefix`), waits for its end and returns its text. Leaving early stops the task,
 * within 2 seconds or else in the background (see `onInterrupt`). A temporary task is deleted once it has ended. The
 * result says how many tokens there were, and why the text ended: by itself, by `maxTokens`, or by a `stop` sequence.
 * Fails with `WaitFailure`: with `RWKVTimeoutError` of kind `"wait"` at the timeout, and with `TaskCancelledError` if
 * this program stopped the task.
 *
 * @example
 * ```ts
 * import { TaskService } from "effect-rwkv"
 *
 * const answer = TaskService.run({ prompt: "Question: why is the sky blue?\n\nAnswer:" }, { timeout: "1 minute" })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const run = /*#__PURE__*/ call((tasks) => tasks.run)

/**
 * Runs many requests, 64 at a time by default, and delivers each result as it comes, with the index of its request.
 * Requests are taken as they are needed and results are not kept, so memory is constant. Failures (`WaitFailure`) are
 * values unless `failures` is `"fail"`; otherwise only invalid options and the stream of requests fail it. Leaving it
 * stops all runs.
 *
 * @example
 * ```ts
 * import { Either, Stream } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * const prompts = ["One", "Two", "Three"].map((prompt) => ({ prompt, maxTokens: 20 }))
 *
 * const texts = TaskService.runAll(prompts, { concurrency: 2, timeout: "1 minute" }).pipe(
 *   Stream.map(({ index, result }) => Either.isRight(result) ? `${index}: ${result.right.text}` : result.left.message)
 * )
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const runAll = <E = never, R = never>(requests: Requests<E, R>, options?: BulkOptions) =>
  Stream.flatMap(TaskService, (tasks) => tasks.runAll(requests, options))

/**
 * Makes the handle of a task from its id, without asking the server. Fails with `RWKVValidationError` if the id is
 * malformed, and with nothing else.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskService } from "effect-rwkv"
 *
 * const status = Effect.flatMap(TaskService.task("TASK_1"), (task) => task.status)
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const task = /*#__PURE__*/ call((tasks) => tasks.task)

/**
 * Waits for the end of a task and reads its text. Fails with `WaitFailure`: with `RWKVTimeoutError` of kind `"wait"` at
 * the timeout, and with `TaskCancelledError` if this program stopped the task. Interrupting the wait leaves the task
 * alone. If no status has said how many tokens there are, one is read after the end.
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
export const wait = /*#__PURE__*/ call((tasks) => tasks.wait)

/**
 * Reads the text so far (`GET /v1/tasks/{id}/get_result`), which is empty while its last character is incomplete
 * (`undecodedTail`, H11). Fails with `TaskFailure`, and with `UnsupportedByServerError` for a template that the server
 * cannot use.
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
export const result = /*#__PURE__*/ call((tasks) => tasks.result)

/**
 * Reads the state of a task and the number of tokens so far (`GET /v1/tasks/{id}/status`). Fails with `TaskFailure`:
 * with `TaskNotFoundError` if there is no such task.
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
export const status = /*#__PURE__*/ call((tasks) => tasks.status)

/**
 * Stops a task (`POST /v1/tasks/{id}/stop`) and waits until the server says that it has ended, for 5 seconds by
 * default. Fails with `TaskFailure`: with `RWKVTimeoutError` of kind `"stop"` if it runs on: this server misses some
 * stops (H29).
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
export const stop = /*#__PURE__*/ call((tasks) => tasks.stop)

const delete_ = /*#__PURE__*/ call((tasks) => tasks.delete)

export {
  /**
   * Deletes a task, stopping it if it runs (`POST /v1/tasks/{id}/delete`). Fails with `TaskFailure`, and with
   * `TemplateProtectedError` for a template, which is deleted only with `force: true`.
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

const continue_ = /*#__PURE__*/ call((tasks) => tasks.continue)

export {
  /**
   * Starts a new run of a finished task with more prompt (`POST /v1/tasks/{id}/continue`): the id stays, and the text
   * begins anew. Fails with `BranchFailure`: with `TaskBusyError` if the task is not finished, and with
   * `RWKVValidationError` if a stop sequence of this program ended its text, unless `allowPastStop` is true: the
   * server's state is past that end.
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
 * Starts a run of a copy of a finished task (`POST /v1/tasks/{id}/fork`). Forks of one task may run at once, and this
 * program can still read the text of the source. Fails with `BranchFailure`: with `TaskBusyError` if the source is not
 * finished, and past a stop sequence as {@link continue} does, unless `allowPastStop` is true.
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
export const fork = /*#__PURE__*/ call((tasks) => tasks.fork)

/**
 * Makes a template of a task (`POST /v1/tasks/{id}/as_template`). Fails with `TaskFailure`, with
 * `UnsupportedByServerError` if the server's templates do not work, before anything is lost (H16), and with
 * `AlreadyTemplateError` for a template.
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
export const asTemplate = /*#__PURE__*/ call((tasks) => tasks.asTemplate)

/**
 * Reads how many tasks the server holds, and their ids (`GET /v1/tasks/list`). Fails with `CallFailure`.
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
export const list = /*#__PURE__*/ Effect.flatMap(TaskService, (tasks) => tasks.list)

/**
 * Reads the server's models (`GET /v1/models`); also the way to ask whether the server is up. Fails with `CallFailure`.
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
export const models = /*#__PURE__*/ Effect.flatMap(TaskService, (tasks) => tasks.models)
