/**
 * What operators see: the names of spans, attributes, events and metrics, the metrics themselves, and the layer that
 * turns all this on, with hooks for programs without a tracer.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import * as Records from "./internal/telemetry/begin.js"
import { Recorder } from "./internal/telemetry/recorder.js"
import type { RWKVError } from "./RWKVError.js"

/**
 * Every name that spans and metrics of this package bear, in one table: those of the GenAI conventions (`gen_ai.`),
 * whose names still change, those of OpenTelemetry, and our own (`rwkv.`).
 *
 * @example
 * ```ts
 * import { Telemetry } from "effect-rwkv"
 *
 * console.log(Telemetry.names.firstText) // rwkv.first_text
 * ```
 *
 * @since 0.2.0
 * @category names
 */
export const names = {
  // Spans; all others bear the name of their verb.
  completion: "text_completion",
  release: "rwkv.release",
  // Attributes.
  operationName: "gen_ai.operation.name",
  provider: "gen_ai.provider.name",
  model: "gen_ai.request.model",
  /** Before the name of a generation option, as in `gen_ai.request.max_tokens`. */
  request: "gen_ai.request.",
  stopSequences: "gen_ai.request.stop_sequences",
  stream: "gen_ai.request.stream",
  responseId: "gen_ai.response.id",
  finishReasons: "gen_ai.response.finish_reasons",
  timeToFirstChunk: "gen_ai.response.time_to_first_chunk",
  outputTokens: "gen_ai.usage.output_tokens",
  input: "gen_ai.input.messages",
  output: "gen_ai.output.messages",
  modality: "gen_ai.token.modality",
  address: "server.address",
  port: "server.port",
  errorType: "error.type",
  verb: "rwkv.operation",
  taskId: "rwkv.task.id",
  prefillTime: "rwkv.prefill_time",
  reconnects: "rwkv.reconnects",
  healed: "rwkv.healed_characters",
  forkSource: "rwkv.fork.source",
  // Events.
  firstText: "rwkv.first_text",
  retry: "rwkv.retry",
  reconnect: "rwkv.reconnect",
  reconcile: "rwkv.reconcile",
  stop: "rwkv.stop",
  stopMissed: "rwkv.stop_missed"
} as const

/** The conventions' buckets: twice, and four times, the one before. */
const seconds = /*#__PURE__*/ MetricBoundaries.exponential({ start: 0.01, factor: 2, count: 15 })
const tokens = /*#__PURE__*/ MetricBoundaries.exponential({ start: 1, factor: 4, count: 15 })

const inUnit = (unit: string) => MetricKey.taggedWithLabels([MetricLabel.make("unit", unit)])

/** From a key, as what `Metric.tagged` makes forgets its hooks. */
const histogram = (name: string, unit: string, boundaries: MetricBoundaries.MetricBoundaries) =>
  Metric.fromMetricKey(inUnit(unit)(MetricKey.histogram(name, boundaries)))

const counter = (name: string, unit: string, incremental = true) =>
  Metric.fromMetricKey(inUnit(unit)(incremental ? MetricKey.counter(name, { incremental }) : MetricKey.counter(name)))

/**
 * Seconds from the begin of an operation to the end of the run that it follows.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const largest = Effect.map(Metric.value(Telemetry.inferenceDuration), ({ max }) => max)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const inferenceDuration: Metric.Metric.Histogram<number> = /*#__PURE__*/ histogram(
  "gen_ai.client.inference.duration",
  "s",
  seconds
)

/**
 * Seconds from the begin of an operation to the first text of its run.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const largest = Effect.map(Metric.value(Telemetry.timeToFirstText), ({ max }) => max)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const timeToFirstText: Metric.Metric.Histogram<number> = /*#__PURE__*/ histogram(
  "gen_ai.client.inference.time_to_first_chunk",
  "s",
  seconds
)

/**
 * Seconds for each token after the first: one value for each run, the mean.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const largest = Effect.map(Metric.value(Telemetry.timePerOutputToken), ({ max }) => max)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const timePerOutputToken: Metric.Metric.Histogram<number> = /*#__PURE__*/ histogram(
  "gen_ai.client.inference.time_per_output_chunk",
  "s",
  seconds
)

/**
 * Tokens that were generated, by runs whose count is known.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.outputTokens), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const outputTokens: Metric.Metric.Counter<number> = /*#__PURE__*/ counter(
  "gen_ai.client.inference.usage.output_tokens",
  "{token}"
)

/**
 * Tokens of one run, where their count is known.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const largest = Effect.map(Metric.value(Telemetry.outputTokensByRun), ({ max }) => max)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const outputTokensByRun: Metric.Metric.Histogram<number> = /*#__PURE__*/ histogram(
  "gen_ai.client.inference.operation.output_tokens",
  "{token}",
  tokens
)

/**
 * Tasks whose runs this program follows now. It goes up and down.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.runningTasks), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const runningTasks: Metric.Metric.Counter<number> = /*#__PURE__*/ counter(
  "rwkv.client.tasks.running",
  "{task}",
  false
)

/**
 * Requests that were repeated after a failure.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.retries), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const retries: Metric.Metric.Counter<number> = /*#__PURE__*/ counter("rwkv.client.retries", "{request}")

/**
 * Connections of streams that were opened after one was lost.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.reconnects), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const reconnects: Metric.Metric.Counter<number> = /*#__PURE__*/ counter("rwkv.client.reconnects", "{connection}")

/**
 * UTF-16 units of text that no connection has told, and that were read from the server's result.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.healedCharacters), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const healedCharacters: Metric.Metric.Counter<number> = /*#__PURE__*/ counter(
  "rwkv.client.healed_characters",
  "{character}"
)

/**
 * Tasks that may run on though nobody follows them: two stops missed them, or a stop failed.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Telemetry from "effect-rwkv/Telemetry"
 *
 * const count = Effect.map(Metric.value(Telemetry.tasksRunningOn), (state) => state.count)
 * ```
 *
 * @since 0.2.0
 * @category metrics
 */
export const tasksRunningOn: Metric.Metric.Counter<number> = /*#__PURE__*/ counter(
  "rwkv.client.tasks.running_on",
  "{task}"
)

/**
 * A request that is about to be repeated.
 *
 * @since 0.2.0
 * @category models
 */
export interface Retry {
  /** The verb that asks, as in `TaskService.status`. */
  readonly operation: string
  /** What failed; the task is in it, if there is one. */
  readonly error: RWKVError
  /** The pause before the repetition. */
  readonly delay: Duration.Duration
}

/**
 * A stream that is about to open another connection.
 *
 * @since 0.2.0
 * @category models
 */
export interface Reconnect {
  /** The verb that streams, as in `StreamService.create`. */
  readonly operation: string
  readonly taskId: string
  /** What broke the last connection; nothing if the server ended it, or text was missing in it. */
  readonly error: RWKVError | undefined
}

/**
 * What a program wants to be told, and by which means. All of it needs {@link layer}, but for `propagation`.
 *
 * @since 0.2.0
 * @category options
 */
export interface Settings {
  /**
   * The model that the server runs, for the names of spans and an attribute; none by default, for requests of the Task
   * API do not name one.
   */
  readonly model?: string | undefined
  /** Whether spans have prompts and texts as attributes; `false` by default. */
  readonly content?: boolean | undefined
  /** Whether requests have the headers that carry a trace on to the server; `false` by default. */
  readonly propagation?: boolean | undefined
  /** Runs before the pause ahead of each repetition of a request. What it fails with is ignored. */
  readonly onRetry?: ((retry: Retry) => Effect.Effect<void>) | undefined
  /** Runs before each connection of a stream but the first. What it fails with is ignored. */
  readonly onReconnect?: ((reconnect: Reconnect) => Effect.Effect<void>) | undefined
}

/**
 * The {@link Settings} that hold where an operation begins. {@link layer} gives them for a whole program; a part of it
 * has its own by `Effect.provideService`, which turns nothing on.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskService, Telemetry } from "effect-rwkv"
 *
 * const small = TaskService.run({ prompt: "Hello" }).pipe(
 *   Effect.provideService(Telemetry.Telemetry, { model: "rwkv-7-g1-0.4b" })
 * )
 * ```
 *
 * @since 0.2.0
 * @category references
 */
export class Telemetry extends Context.Reference<Telemetry>()("effect-rwkv/Telemetry", {
  defaultValue: (): Settings => ({})
}) {}

/**
 * Turns telemetry on for the program that it is provided to: spans by the conventions with attributes and events,
 * metrics, and hooks. Without it each operation is a span by the name of its verb, and nothing is counted. It fails
 * with nothing, and needs nothing.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { RWKV, Telemetry } from "effect-rwkv"
 *
 * const layer = Layer.merge(
 *   RWKV.layer({ baseUrl: "http://localhost:8000" }),
 *   Telemetry.layer({
 *     model: "rwkv-7-g1",
 *     onRetry: ({ error }) => Effect.logInfo(`again: ${error.message}`)
 *   })
 * )
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (settings: Settings = {}): Layer.Layer<never> =>
  Layer.succeedContext(
    Context.make(Telemetry, settings).pipe(Context.add(
      Recorder,
      Records.make({
        names,
        inferenceDuration,
        timeToFirstText,
        timePerOutputToken,
        outputTokens,
        outputTokensByRun,
        runningTasks,
        retries,
        reconnects,
        healedCharacters,
        tasksRunningOn,
        settings: Telemetry
      })
    ))
  )
