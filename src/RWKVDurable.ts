/**
 * Runs that survive the process, as workflows of `@effect/workflow`: one generation, or a batch of up to a million.
 *
 * An entry of its own, `effect-rwkv/RWKVDurable`, for programs that have `@effect/workflow` and `@effect/cluster`. A
 * step that was recorded is not repeated, whichever process continues: a task that was created is waited for, and a
 * text that was read is kept. See docs/durable.md.
 *
 * @since 0.2.0
 */
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as Workflow from "@effect/workflow/Workflow"
import { type WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as cancellation from "./internal/durable/cancellation.js"
import * as schemas from "./internal/durable/schemas.js"
import * as work from "./internal/durable/work.js"
import type { RWKVValidationError, WaitFailure } from "./RWKVError.js"
import type { WaitOptions } from "./Task.js"
import type { TaskService } from "./TaskService.js"

export {
  /**
   * What a generation fails with, as a Schema for the errors of workflows: any `WaitFailure`.
   *
   * @example
   * ```ts
   * import * as Workflow from "@effect/workflow/Workflow"
   * import { Schema } from "effect"
   * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
   *
   * const Summarize = Workflow.make({
   *   name: "Summarize",
   *   payload: { document: Schema.String },
   *   idempotencyKey: ({ document }) => document,
   *   success: Schema.String,
   *   error: RWKVDurable.Failure
   * })
   * ```
   *
   * @since 0.2.0
   * @category schemas
   */
  Failure,
  /**
   * What is recorded of a generation, as a type and as a Schema: the text, what it cost, and why it ended.
   *
   * @example
   * ```ts
   * import { Schema } from "effect"
   * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
   *
   * const json = Schema.parseJson(RWKVDurable.Generated)
   *
   * const stored = Schema.encodeSync(json)({ text: "Hello", usage: { outputTokens: 5 }, finishReason: "stop" })
   * ```
   *
   * @since 0.2.0
   * @category schemas
   */
  Generated,
  /**
   * What to generate, as a type and as a Schema: a request of `create` or of `fim` whose `maxTokens` is given. It
   * bounds a task that nobody can find, because a process was killed before it had recorded the id.
   *
   * @example
   * ```ts
   * import { Schema } from "effect"
   * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
   *
   * const isRequest = Schema.is(RWKVDurable.Request)
   *
   * console.log(isRequest({ prompt: "Hello", maxTokens: 50 }), isRequest({ prompt: "Hello" })) // true false
   * ```
   *
   * @since 0.2.0
   * @category schemas
   */
  Request
} from "./internal/durable/schemas.js"

/**
 * Batches.
 *
 * @since 0.2.0
 */
export * from "./RWKVBatch.js"

/**
 * How one generation of a workflow is made.
 *
 * @since 0.2.0
 * @category models
 */
export interface GenerateOptions {
  /** Names the recorded steps: two generations of one name in one workflow would share their result. */
  readonly name: string
  /** What to generate. */
  readonly request: schemas.Request
  /** How often a task is created again if it is gone, or the answer to its create was lost: 0 to 100, 3 by default. */
  readonly recreate?: number | undefined
  /** How the end is waited for, as in `TaskService.wait`. A `timeout` begins anew with each process. */
  readonly wait?: WaitOptions | undefined
}

/**
 * Generates within a workflow, in steps that are recorded: a task is created, its end is waited for, and it is deleted.
 * A process that continues the workflow keeps the same task; one that is gone from the server is created again. A
 * server that cannot be reached is asked again for an hour. The end of the process leaves the task running; the end of
 * the workflow, and {@link cancel}, stop it. Fails with `WaitFailure`: with `TaskNotFoundError` once `recreate` is used
 * up, and with `TaskCancelledError` if it was cancelled.
 *
 * @example
 * ```ts
 * import * as Workflow from "@effect/workflow/Workflow"
 * import { Effect, Schema } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const Summarize = Workflow.make({
 *   name: "Summarize",
 *   payload: { document: Schema.String },
 *   idempotencyKey: ({ document }) => document,
 *   success: Schema.String,
 *   error: RWKVDurable.Failure
 * })
 *
 * const layer = Summarize.toLayer(({ document }) =>
 *   Effect.gen(function*() {
 *     const prompt = `${document}\n\nSummary:`
 *     const summary = yield* RWKVDurable.generate({ name: "summary", request: { prompt, maxTokens: 300 } })
 *     const title = yield* RWKVDurable.generate({
 *       name: "title",
 *       request: { prompt: `${summary.text}\n\nTitle:`, maxTokens: 20 }
 *     })
 *     return `${title.text}\n${summary.text}`
 *   })
 * )
 * ```
 *
 * @since 0.2.0
 * @category generating
 */
export const generate = (
  options: GenerateOptions
): Effect.Effect<schemas.Generated, WaitFailure, TaskService | WorkflowEngine | WorkflowInstance> =>
  Effect.gen(function*() {
    const operation = "RWKVDurable.generate"
    const { name, request, wait } = options
    yield* schemas.check(operation, request)
    const recreate = yield* schemas.recreateOf(operation, options.recreate)
    const instance = yield* WorkflowInstance
    const isAsked = yield* cancellation.looker(instance.executionId)
    return yield* work.run({
      operation,
      name,
      request,
      wait,
      recreate,
      isCancelled: Effect.suspend(() => instance.interrupted ? Effect.succeed(true) : isAsked),
      record: schemas.Generated,
      finish: Effect.succeed,
      recordsDeletion: true
    })
  })

/**
 * Cancels a workflow, by its execution id: within seconds its generations have stopped their tasks, and fail with
 * `TaskCancelledError`. It needs {@link layer} or {@link layerBatch} on some machine. (The engine's own `interrupt`
 * comes into effect only where a workflow suspends, and one that generates does not.)
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const stopped = Effect.gen(function*() {
 *   const id = yield* RWKVDurable.start({ key: "story 1", request: { prompt: "Tell me a story", maxTokens: 4000 } })
 *   yield* RWKVDurable.cancel(id)
 * })
 * ```
 *
 * @since 0.2.0
 * @category generating
 */
export const cancel: (executionId: string) => Effect.Effect<void, never, WorkflowEngine> = cancellation.cancel

/**
 * The workflow that {@link cancel} starts, to be offered to others by `WorkflowProxy`.
 *
 * @example
 * ```ts
 * import * as WorkflowProxy from "@effect/workflow/WorkflowProxy"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * // effect-rwkv/Generation waits for the result, its Discard starts it, and that of effect-rwkv/Cancellation cancels
 * const group = WorkflowProxy.toRpcGroup([RWKVDurable.Generation, RWKVDurable.Cancellation])
 * ```
 *
 * @since 0.2.0
 * @category workflows
 */
export const Cancellation = cancellation.Cancellation

/**
 * A workflow that is one {@link generate}: its `execute` starts it, or joins the one of the same key, and waits.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const text = RWKVDurable.Generation.execute({
 *   key: "story 1",
 *   request: { prompt: "Tell me a story", maxTokens: 400 }
 * }).pipe(Effect.map(({ text }) => text))
 * ```
 *
 * @since 0.2.0
 * @category workflows
 */
export const Generation = /*#__PURE__*/ (() =>
  Workflow.make({
    name: "effect-rwkv/Generation",
    payload: { key: Schema.String, request: schemas.Request },
    idempotencyKey: ({ key }) => key,
    success: schemas.Generated,
    error: schemas.Failure
  }))()

/**
 * Starts a {@link Generation} and returns its execution id. If one of this key was started before, by whichever
 * process, it is that one. Fails with `RWKVValidationError` if the request is invalid.
 *
 * @example
 * ```ts
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const id = RWKVDurable.start({ key: "story 1", request: { prompt: "Tell me a story", maxTokens: 400 } })
 * ```
 *
 * @since 0.2.0
 * @category generating
 */
export const start = (generation: {
  /** Names the generation. */
  readonly key: string
  /** What to generate. */
  readonly request: schemas.Request
}): Effect.Effect<string, RWKVValidationError, WorkflowEngine> =>
  Effect.zipRight(
    schemas.check("RWKVDurable.start", generation.request),
    Generation.execute(generation, { discard: true })
  )

/**
 * How a {@link Generation} ended; none as long as it has not, or if there is none of this execution id.
 *
 * @example
 * ```ts
 * import { Effect, Exit, Option } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const text = (id: string) =>
 *   Effect.map(RWKVDurable.poll(id), (end) =>
 *     Option.isSome(end) && Exit.isSuccess(end.value) ? end.value.value.text : "not yet")
 * ```
 *
 * @since 0.2.0
 * @category generating
 */
export const poll = (
  executionId: string
): Effect.Effect<Option.Option<Exit.Exit<schemas.Generated, WaitFailure>>, never, WorkflowEngine> =>
  Effect.map(
    Generation.poll(executionId),
    (result) => result?._tag === "Complete" ? Option.some(result.exit) : Option.none()
  )

/**
 * Runs {@link Generation} and {@link cancel}, on each machine that has it.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
 * import { Layer } from "effect"
 * import { RWKV } from "effect-rwkv"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * // nothing is kept: for tests
 * const live = RWKVDurable.layer.pipe(
 *   Layer.provideMerge(Layer.merge(RWKV.layer(), WorkflowEngine.layerMemory)),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<never, never, WorkflowEngine | TaskService> = /*#__PURE__*/ (() =>
  Layer.merge(
    Generation.toLayer(({ request }) => generate({ name: "generation", request })),
    cancellation.layer
  ))()

/**
 * The engine for one machine, over the SQL database that the program provides: SQLite is enough. After a kill the same
 * program, started again, goes on. For many machines provide `ClusterWorkflowEngine.layer` over runners that reach each
 * other instead; see docs/durable.md.
 *
 * Fails with `ConfigError` if a setting of the cluster in the environment is invalid.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { RWKV } from "effect-rwkv"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * // what is left to provide is a SqlClient, such as SqliteClient.layer({ filename: "runs.db" })
 * const live = RWKVDurable.layer.pipe(
 *   Layer.provideMerge(Layer.merge(RWKV.layer(), RWKVDurable.layerSingle())),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layerSingle = (
  options?: Parameters<typeof SingleRunner.layer>[0]
): Layer.Layer<WorkflowEngine, ConfigError, Layer.Layer.Context<ReturnType<typeof SingleRunner.layer>>> =>
  Layer.provide(ClusterWorkflowEngine.layer, SingleRunner.layer(options))
