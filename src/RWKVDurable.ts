/**
 * Runs that survive the process, as workflows of `@effect/workflow`: one generation, or a batch of up to a million.
 *
 * An entry of its own, `effect-rwkv/RWKVDurable`, for programs that have `@effect/workflow` and `@effect/cluster`. What
 * has been recorded is not done again, by whichever process goes on: a task that was made is waited for, a text that
 * came is kept. See docs/durable.md.
 *
 * @since 0.2.0
 */
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as Workflow from "@effect/workflow/Workflow"
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as batches from "./internal/durable/batch.js"
import * as cancellation from "./internal/durable/cancellation.js"
import * as handle from "./internal/durable/handle.js"
import * as schemas from "./internal/durable/schemas.js"
import * as work from "./internal/durable/work.js"
import { invalid } from "./internal/input/validate.js"
import type { RWKVValidationError, WaitFailure } from "./RWKVError.js"
import type { WaitOptions } from "./Task.js"
import type { TaskService } from "./TaskService.js"

/**
 * What is generated: a request of `create`, or of `fim`, whose `maxTokens` is given. It bounds what runs on if a process
 * is killed before it has recorded the id of a task.
 *
 * @since 0.2.0
 * @category models
 */
export type Request = schemas.Request

/**
 * The Schema of {@link Request}, for payloads of workflows.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Request = schemas.Request

/**
 * What is recorded of a generation: the text, what it cost, and why it ended.
 *
 * @since 0.2.0
 * @category models
 */
export interface Generated extends schemas.Generated {}

/**
 * The Schema of {@link Generated}, for results of workflows.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Generated = schemas.Generated

/**
 * What a generation fails with, as a Schema for the errors of workflows: that of `WaitFailure`.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Failure = schemas.Failure

/**
 * How one generation of a workflow is made.
 *
 * @since 0.2.0
 * @category models
 */
export interface GenerateOptions {
  /** Names what is recorded. Two of one name in one workflow would share their result. */
  readonly name: string
  /** What to generate. */
  readonly request: Request
  /** How often a task that is gone from the server is made anew: 0 to 100, 3 by default. */
  readonly recreate?: number | undefined
  /** How the end is waited for, as in `TaskService.wait`. A timeout begins anew with each process. */
  readonly wait?: WaitOptions | undefined
}

const recreateOf = (operation: string, recreate = 3): Effect.Effect<number, RWKVValidationError> =>
  Number.isInteger(recreate) && recreate >= 0 && recreate <= 100
    ? Effect.succeed(recreate)
    : Effect.fail(invalid(operation, "recreate", "must be an integer from 0 to 100"))

/**
 * Generates within a workflow, in steps that are recorded: the task is created and its id kept, its end is waited for
 * and kept, and it is deleted. A process that is started again goes on with the same task. One that is gone from the
 * server is made anew, `recreate` times at most.
 *
 * @since 0.2.0
 * @category generating
 */
export const generate = (
  options: GenerateOptions
): Effect.Effect<Generated, WaitFailure, TaskService | WorkflowEngine | WorkflowInstance> =>
  Effect.gen(function*() {
    const operation = "RWKVDurable.generate"
    const { name, request, wait } = options
    yield* schemas.check(operation, request)
    const recreate = yield* recreateOf(operation, options.recreate)
    const engine = yield* WorkflowEngine
    const instance = yield* WorkflowInstance
    const isAsked = Effect.provideService(cancellation.isAsked(instance.executionId), WorkflowEngine, engine)
    return yield* work.run({
      operation,
      name,
      request,
      wait,
      recreate,
      isCancelled: Effect.suspend(() => instance.interrupted ? Effect.succeed(true) : isAsked),
      record: Generated,
      finish: Effect.succeed
    })
  })

/**
 * Cancels a workflow by its execution id: its generations stop their tasks and fail with `TaskCancelledError`.
 *
 * @since 0.2.0
 * @category cancelling
 */
export const cancel: (executionId: string) => Effect.Effect<void, never, WorkflowEngine> = cancellation.cancel

/**
 * The workflow that {@link cancel} starts, for `WorkflowProxy`.
 *
 * @since 0.2.0
 * @category workflows
 */
export const Cancellation = cancellation.Cancellation

/**
 * A workflow of one generation.
 *
 * @since 0.2.0
 * @category workflows
 */
export const Generation = /*#__PURE__*/ Workflow.make({
  name: "effect-rwkv/Generation",
  payload: { key: Schema.String, request: Request },
  idempotencyKey: ({ key }) => key,
  success: Generated,
  error: Failure
})

/**
 * Starts a {@link Generation}, unless one of this key was started before, and returns its execution id.
 *
 * @since 0.2.0
 * @category generating
 */
export const start = (
  options: typeof Generation.payloadSchema.Type
): Effect.Effect<string, RWKVValidationError, WorkflowEngine> =>
  Effect.zipRight(schemas.check("RWKVDurable.start", options.request), Generation.execute(options, { discard: true }))

/**
 * How a {@link Generation} ended; none while it has not, or if there is none.
 *
 * @since 0.2.0
 * @category generating
 */
export const poll = (
  executionId: string
): Effect.Effect<Option.Option<Exit.Exit<Generated, WaitFailure>>, never, WorkflowEngine> =>
  Effect.map(
    Generation.poll(executionId),
    (result) => result?._tag === "Complete" ? Option.some(result.exit) : Option.none()
  )

/**
 * Runs {@link Generation}, and lets {@link cancel} work.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<never, never, WorkflowEngine | TaskService> = /*#__PURE__*/ Layer.merge(
  Generation.toLayer(({ request }) => generate({ name: "generation", request })),
  cancellation.layer
)

/**
 * Where the prompts of batches come from: a service of the program.
 *
 * @since 0.2.0
 * @category tags
 */
export const Source = batches.Source

/**
 * Where the results of batches go to: a service of the program.
 *
 * @since 0.2.0
 * @category tags
 */
export const Sink = batches.Sink

/**
 * What to run as a batch.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions {
  /** Names the batch: what was started under it is joined. */
  readonly key: string
  /** What `Source` finds the prompts by. */
  readonly source: string
  /** How many prompts there are: 1 to 1000000. */
  readonly size: number
  /** How many tasks run at once, over all machines: 1 to 4096, 64 by default. */
  readonly inFlight?: number | undefined
  /** How often a task that is gone from the server is made anew: 0 to 100, 3 by default. */
  readonly recreate?: number | undefined
}

/**
 * Starts a batch, unless one of this key was started before, and returns its handle.
 *
 * @since 0.2.0
 * @category batches
 */
export const batch = (options: BatchOptions): Effect.Effect<Batch, RWKVValidationError, WorkflowEngine> =>
  Effect.gen(function*() {
    const operation = "RWKVDurable.batch"
    const { inFlight = 64, key, size, source } = options
    const integer = (path: string, value: number, most: number) =>
      Number.isInteger(value) && value > 0 && value <= most
        ? Effect.void
        : Effect.fail(invalid(operation, path, `must be an integer from 1 to ${most}`))
    yield* integer("size", size, 1_000_000)
    yield* integer("inFlight", inFlight, 4096)
    const recreate = yield* recreateOf(operation, options.recreate)
    return yield* handle.start({ key, source, size, inFlight, recreate, round: 0 })
  })

/**
 * A batch that was started.
 *
 * @since 0.2.0
 * @category models
 */
export interface Batch extends handle.Handle {}

/**
 * Runs batches.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerBatch: Layer.Layer<
  never,
  never,
  WorkflowEngine | TaskService | batches.Source | batches.Sink
> = batches.layer

/**
 * The engine for one machine, over the SQL database that is provided.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerSingle = (
  options?: Parameters<typeof SingleRunner.layer>[0]
): Layer.Layer<WorkflowEngine, ConfigError, Layer.Layer.Context<ReturnType<typeof SingleRunner.layer>>> =>
  Layer.provide(ClusterWorkflowEngine.layer, SingleRunner.layer(options))
