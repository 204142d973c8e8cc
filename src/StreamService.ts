/**
 * Text as it is generated: complete, each piece once, whatever the connection does on the way.
 *
 * Every stream either delivers the task's whole text and ends, or fails by type. Leaving a stream early (an interrupt,
 * `Stream.take`, a failure downstream) closes its connection, and stops the task if the stream created it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import { RWKVHttpClient } from "./HttpClient.js"
import * as Runs from "./internal/stream/runs.js"
import * as Verbs from "./internal/stream/verbs.js"
import type { StreamEvent } from "./Protocol.js"
import { RWKVConfig } from "./RWKVConfig.js"
import type { BranchFailure, RWKVError } from "./RWKVError.js"
import type { Opened, StreamOptions, SubscribeOptions } from "./Task.js"

/**
 * Each stream in two forms, as its text and as events with the task's id and figures, documented at the accessor of the
 * same name. Text that arrives together is delivered as one piece, so a slow consumer gets fewer and longer pieces.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** {@link create} */
  readonly create: (request: Generation.CreateRequest, options?: StreamOptions) => Stream.Stream<string, RWKVError>
  /** {@link createEvents} */
  readonly createEvents: (
    request: Generation.CreateRequest,
    options?: StreamOptions
  ) => Stream.Stream<StreamEvent, RWKVError>
  /** {@link fim} */
  readonly fim: (request: Generation.FimRequest, options?: StreamOptions) => Stream.Stream<string, RWKVError>
  /** {@link fimEvents} */
  readonly fimEvents: (request: Generation.FimRequest, options?: StreamOptions) => Stream.Stream<StreamEvent, RWKVError>
  /** {@link subscribe} */
  readonly subscribe: (id: string, options?: SubscribeOptions) => Stream.Stream<string, RWKVError>
  /** {@link subscribeEvents} */
  readonly subscribeEvents: (id: string, options?: SubscribeOptions) => Stream.Stream<StreamEvent, RWKVError>
  /** {@link continue} */
  readonly continue: (
    id: string,
    request: Generation.ContinueRequest,
    options?: StreamOptions
  ) => Stream.Stream<string, RWKVError>
  /** {@link continueEvents} */
  readonly continueEvents: (...run: Parameters<Service["continue"]>) => ReturnType<Service["createEvents"]>
  /** {@link fork} */
  readonly fork: (
    id: string,
    request: Generation.ForkRequest,
    options?: StreamOptions
  ) => Stream.Stream<string, RWKVError>
  /** {@link forkEvents} */
  readonly forkEvents: (...run: Parameters<Service["fork"]>) => ReturnType<Service["createEvents"]>
  /** {@link open} */
  readonly open: (
    request: Generation.CreateRequest | Generation.FimRequest,
    options?: StreamOptions
  ) => Effect.Effect<Opened, BranchFailure, Scope.Scope>
  /** {@link openContinue} */
  readonly openContinue: (...run: Parameters<Service["continue"]>) => ReturnType<Service["open"]>
  /** {@link openFork} */
  readonly openFork: (...run: Parameters<Service["fork"]>) => ReturnType<Service["open"]>
}

/**
 * The service that streams text.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamService } from "effect-rwkv"
 *
 * const text = Effect.flatMap(
 *   StreamService.StreamService,
 *   (streams) => Stream.mkString(streams.create({ prompt: "Hello" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class StreamService extends Context.Tag("effect-rwkv/StreamService")<StreamService, Service>() {}

const make: Effect.Effect<Service, never, RWKVHttpClient | RWKVConfig | Scope.Scope> = Effect.gen(function*() {
  const http = yield* RWKVHttpClient
  const runs = yield* Runs.make(http, yield* RWKVConfig)
  const verbs = yield* Verbs.make(Verbs.startsOf(http, runs), runs)
  return Runs.carry<Service>(verbs, runs)
})

/**
 * The streams, over the endpoints that are provided. When the layer is closed, open streams fail by type; after that
 * every stream fails with `RWKVConnectionError`, and nothing is sent.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpClient, RWKVConfig, StreamService } from "effect-rwkv"
 *
 * // streams alone; RWKV.layer has everything
 * const layer = StreamService.layer.pipe(
 *   Layer.provide(HttpClient.layer),
 *   Layer.provide([RWKVConfig.layer(), FetchHttpClient.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<StreamService, never, RWKVHttpClient | RWKVConfig> = Layer.fresh(
  Layer.scoped(StreamService, make)
)

/** Makes an accessor of a stream: it asks for the service when it is opened. */
const call = <Args extends ReadonlyArray<unknown>, A>(
  stream: (streams: Service) => (...args: Args) => Stream.Stream<A, RWKVError>
) =>
(...args: Args): Stream.Stream<A, RWKVError, StreamService> =>
  Stream.unwrap(Effect.map(StreamService, (streams) => stream(streams)(...args)))

/**
 * Creates a task and streams its text (`POST /v1/tasks/tmp` or `/create`). Leaving early stops the task, and a
 * temporary task is deleted in the background once it has ended. Fails with `RWKVError`: with `StreamTruncatedError` if
 * the rest of the text cannot be had, and with `RWKVTimeoutError` if the task does not move.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { RWKV, StreamService } from "effect-rwkv"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const program = StreamService.create({ prompt: "Tell me a story", maxTokens: 20 }).pipe(
 *   Stream.runForEach((text) => Effect.log(text))
 * )
 *
 * await Effect.runPromise(program.pipe(Effect.provide(RWKV.layer()), Effect.provide(Emulator.layer())))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const create = /*#__PURE__*/ call((streams) => streams.create)

/**
 * {@link create} as events: the task's id, its text and its figures. The answer to a temporary task's deletion says how
 * many tokens there were; with `cleanup: "keep"` one `status` is read for it. Fails with `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const events = StreamService.createEvents({ prompt: "Hello", maxTokens: 20 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const createEvents = /*#__PURE__*/ call((streams) => streams.createEvents)

/**
 * Fills in the middle (`POST /v1/tasks/fim`) and streams the text that belongs between prefix and suffix. Fails with
 * `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const gap = StreamService.fim({ prefix: "def add(a, b):\n  ", suffix: "\n  return result", maxTokens: 30 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const fim = /*#__PURE__*/ call((streams) => streams.fim)

/**
 * {@link fim} as events: the task's id, its text and its figures. The answer to the deletion of a temporary task says
 * how many tokens there were; with `cleanup: "keep"` one `status` is read for it. Fails with `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const events = StreamService.fimEvents({ prefix: "def add(a, b):\n  ", maxTokens: 30 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const fimEvents = /*#__PURE__*/ call((streams) => streams.fimEvents)

/**
 * Streams the text of a task that exists, from its beginning on (`GET /v1/tasks/{id}/stream`). Any number may listen,
 * and leaving early leaves the task alone. Fails with `RWKVError`: with `TaskNotFoundError` if there is no such task.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const text = StreamService.subscribe("TMP_4a27e546c5ad4b08af86a0321de5bc70")
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const subscribe = /*#__PURE__*/ call((streams) => streams.subscribe)

/**
 * {@link subscribe} as events: the task's id, its text and its figures. Fails with `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const events = StreamService.subscribeEvents("TMP_4a27e546c5ad4b08af86a0321de5bc70", { fromToken: 100 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const subscribeEvents = /*#__PURE__*/ call((streams) => streams.subscribeEvents)

const continue_ = /*#__PURE__*/ call((streams) => streams.continue)

export {
  /**
   * Continues a finished task (`POST /v1/tasks/{id}/continue`) and streams the new text. Fails with `RWKVError`: with
   * `TaskBusyError` if it is not finished, and with `RWKVValidationError` past a stop sequence, unless `allowPastStop`
   * is true.
   *
   * @example
   * ```ts
   * import { StreamService } from "effect-rwkv"
   *
   * const more = StreamService.continue("TASK_1", { prompt: " And then?", maxTokens: 100 })
   * ```
   *
   * @since 0.1.0
   * @category accessors
   */
  continue_ as continue
}

/**
 * {@link continue} as events: the task's id, its text and its figures. Fails with `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const events = StreamService.continueEvents("TASK_1", { prompt: " And then?", maxTokens: 100 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const continueEvents = /*#__PURE__*/ call((streams) => streams.continueEvents)

/**
 * Forks a finished task (`POST /v1/tasks/{id}/fork`) and streams the text of the fork. Any number of forks may run at
 * once, and this program can still read the text of the source. Fails with `RWKVError`: with `TaskBusyError` if the
 * source is not finished, and with `RWKVValidationError` past a stop sequence, unless `allowPastStop` is true.
 *
 * @example
 * ```ts
 * import { Stream } from "effect"
 * import { StreamService } from "effect-rwkv"
 *
 * const endings = Stream.mergeAll([
 *   StreamService.fork("TASK_1", { prompt: " A happy end:" }),
 *   StreamService.fork("TASK_1", { prompt: " A sad end:" })
 * ], { concurrency: 2 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const fork = /*#__PURE__*/ call((streams) => streams.fork)

/**
 * {@link fork} as events: the fork's id, its text and its figures. Fails with `RWKVError`.
 *
 * @example
 * ```ts
 * import { StreamService } from "effect-rwkv"
 *
 * const events = StreamService.forkEvents("TASK_1", { prompt: " A happy end:", maxTokens: 100 })
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const forkEvents = /*#__PURE__*/ call((streams) => streams.forkEvents)

/**
 * Creates a task, or fills in the middle where a `prefix` is given, and yields once the server has named the task,
 * before its text, so that a web handler can still choose its status. Fails with `BranchFailure` if the run does not
 * start; what comes later fails `text`, `events` and `finished`.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamService } from "effect-rwkv"
 *
 * const text = Stream.unwrapScoped(Effect.map(StreamService.open({ prompt: "Hello" }), ({ text }) => text))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const open = (...args: Parameters<Service["open"]>) =>
  Effect.flatMap(StreamService, (streams) => streams.open(...args))

/**
 * {@link open} of a continue. Fails with `BranchFailure`: with `TaskBusyError` if the task is not finished.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamService } from "effect-rwkv"
 *
 * const run = StreamService.openContinue("TASK_1", { prompt: " And then?" })
 * const text = Stream.unwrapScoped(Effect.map(run, ({ text }) => text))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const openContinue = (...args: Parameters<Service["openContinue"]>) =>
  Effect.flatMap(StreamService, (streams) => streams.openContinue(...args))

/**
 * {@link open} of a fork. Fails with `BranchFailure`: with `TaskBusyError` if the task is not finished.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamService } from "effect-rwkv"
 *
 * const run = StreamService.openFork("TASK_1", { prompt: " A happy end:" })
 * const text = Stream.unwrapScoped(Effect.map(run, ({ text }) => text))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const openFork = (...args: Parameters<Service["openFork"]>) =>
  Effect.flatMap(StreamService, (streams) => streams.openFork(...args))
