/**
 * Batches of up to a million prompts that survive the process. `effect-rwkv/RWKVDurable` has all of it.
 *
 * @since 0.2.0
 */
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as batches from "./internal/durable/batch.js"
import * as handle from "./internal/durable/handle.js"
import * as schemas from "./internal/durable/schemas.js"
import { invalid } from "./internal/input/validate.js"
import type { RWKVValidationError } from "./RWKVError.js"
import type { TaskService } from "./TaskService.js"

export {
  /**
   * Where the results of batches go: a service of the program. `write` is handed each result at least once, and more
   * than once after a kill, but with the same `key`. Only when it has succeeded is the task deleted and the result
   * counted as done. If it fails it is called again for 10 minutes, then the prompt is listed as failed.
   *
   * @example
   * ```ts
   * import { Effect, Layer } from "effect"
   * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
   *
   * const texts = new Map<string, string>()
   *
   * const sink = Layer.succeed(RWKVDurable.Sink, {
   *   write: ({ key, text }) => Effect.sync(() => texts.set(key, text))
   * })
   * ```
   *
   * @since 0.2.0
   * @category tags
   */
  Sink,
  /**
   * Where the prompts of batches come from: a service of the program. `page` gives the requests of a source from
   * `offset` on, as many as `limit` says, the same ones whenever it is asked. If it fails it is called again for 10
   * minutes, then the prompts of the page are listed as failed.
   *
   * @example
   * ```ts
   * import { Effect, Layer } from "effect"
   * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
   *
   * const titles = ["The sea", "The night", "The city"]
   *
   * const source = Layer.succeed(RWKVDurable.Source, {
   *   page: (source, { limit, offset }) =>
   *     Effect.succeed(
   *       titles.slice(offset, offset + limit).map((title) => ({ prompt: `${source}: ${title}\n\n`, maxTokens: 400 }))
   *     )
   * })
   * ```
   *
   * @since 0.2.0
   * @category tags
   */
  Source
} from "./internal/durable/batch.js"

/**
 * What a `Source` is asked for.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchPage = batches.Page

/**
 * What a `Sink` is handed.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchResult = batches.Result

/**
 * A prompt of a batch that failed.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchFailure = batches.Failed

/**
 * How a round of a batch ended.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchSummary = batches.Summary

/**
 * How far a batch is.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchProgress = handle.Progress

/**
 * A batch that was started, as a value: it holds no state, and every process may have one.
 *
 * @since 0.2.0
 * @category models
 */
export type Batch = handle.Handle

/**
 * What to run as a batch.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions {
  /** Names the batch: one that was started under the same key, with the same options, is joined. */
  readonly key: string
  /** The name by which `Source` finds the prompts. */
  readonly source: string
  /** How many prompts there are: 1 to 1000000. */
  readonly size: number
  /** How many tasks run at once, over all machines: 1 to 4096, 64 by default. */
  readonly inFlight?: number | undefined
  /** How often a task is created again if it is gone, or the answer to its create was lost: 0 to 100, 3 by default. */
  readonly recreate?: number | undefined
}

/**
 * Starts a batch and returns its handle. If one of this key was started before, by whichever process, it is that one.
 * The prompts come from {@link Source}, the results go to {@link Sink}, and what is stored of each prompt does not grow
 * with its text. Fails with `RWKVValidationError` if an option is invalid.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const program = Effect.gen(function*() {
 *   const batch = yield* RWKVDurable.batch({ key: "stories 2026-11", source: "titles", size: 100_000 })
 *   yield* Stream.runForEach(batch.progress(), ({ done, failed }) => Effect.log(`${done} done, ${failed} failed`))
 *   yield* Stream.runForEach(batch.failures, ({ index, message }) => Effect.log(`${index}: ${message}`))
 *   // another round, for these alone
 *   const again = yield* batch.retry
 *   yield* Effect.log(yield* again.wait)
 * })
 * ```
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
    const recreate = yield* schemas.recreateOf(operation, options.recreate)
    return yield* handle.start({ key, source, size, inFlight, recreate, round: 0 })
  })

/**
 * Runs batches, and `RWKVDurable.cancel`, on each machine that has it.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as RWKVDurable from "effect-rwkv/RWKVDurable"
 *
 * const live = RWKVDurable.layerBatch.pipe(
 *   Layer.provide([
 *     Layer.succeed(RWKVDurable.Source, {
 *       page: (_source, { limit }) =>
 *         Effect.succeed(Array.from({ length: limit }, () => ({ prompt: "Hi", maxTokens: 9 })))
 *     }),
 *     Layer.succeed(RWKVDurable.Sink, { write: ({ key, text }) => Effect.log(`${key}: ${text}`) })
 *   ])
 * )
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layerBatch: Layer.Layer<
  never,
  never,
  WorkflowEngine | TaskService | batches.Source | batches.Sink
> = batches.layer
