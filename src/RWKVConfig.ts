/**
 * Where the server is and how to speak to it.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { GenerationOptions } from "./Generation.js"
import { checkHeaders, isNames } from "./internal/input/headers.js"
import * as Override from "./internal/input/override.js"
import { encoder, withDefaults } from "./internal/input/request.js"
import * as rule from "./internal/input/rules.js"
import * as validate from "./internal/input/validate.js"
import * as Polling from "./Polling.js"
import type { RWKVError, RWKVValidationError } from "./RWKVError.js"

/**
 * The configuration as given: everything is optional.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Where the server is; `http://localhost:8000` by default. A path is kept as a prefix of every endpoint, and the
   * `/v1` or `/v1/tasks` that it may end in is not repeated.
   */
  readonly baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer ...` to a proxy before the server; the server itself asks for none. */
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /**
   * Headers sent with every request. Values are secrets: none appears in an error, a log or a span. Names that belong
   * to the connection, such as `host` and `content-length`, are refused.
   */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /**
   * The time for one request with its answer, or until the headers of a stream; 120 seconds by default. Creating a task
   * takes as long as its prefill. If the caller is interrupted the answer is awaited in the background that long, and
   * direct streams and forks of this client wait for it too, for the server may be reading the prompt.
   */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /**
   * How long closing the services may take, in real time whatever the Clock: to stop the tasks that they started, see
   * them finished and delete them. 5 seconds by default; tasks that are left then are logged as a warning.
   */
  readonly closeTimeout?: Duration.DurationInput | undefined
  /** Generation options sent with every create and FIM that does not give its own; none by default. */
  readonly defaults?: GenerationOptions | undefined
  /**
   * The headers of answers that may hold the id that a proxy gave the request; the first one that is there is used, and
   * errors and results have it as `requestId`. `x-request-id`, `x-correlation-id`, `x-amzn-requestid` and `cf-ray` by
   * default, at most 16; `[]` for none. No other header of an answer is ever shown.
   */
  readonly requestIdHeaders?: ReadonlyArray<string> | undefined
  /** When to repeat requests that may safely be repeated; `Polling.retrySchedule` by default. */
  readonly retry?: Schedule.Schedule<unknown, RWKVError> | undefined
  /** The most bytes to read of an answer; 32 MiB by default. */
  readonly maxResponseSize?: number | undefined
  /** The most UTF-16 units of one frame of a stream; 8 Mi by default. */
  readonly maxFrameSize?: number | undefined
  /** Changes the HttpClient that requests go through, to log, limit or trace them. It sees the headers in clear. */
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * The configuration as used: checked and complete.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Without a slash at the end. */
  readonly baseUrl: string
  readonly headers: Redacted.Redacted<Readonly<Record<string, string>>>
  readonly requestTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
  readonly defaults: GenerationOptions
  readonly retry: Schedule.Schedule<unknown, RWKVError>
  /** In lower case. */
  readonly requestIdHeaders: ReadonlyArray<string>
  readonly maxResponseSize: number
  readonly maxFrameSize: number
  readonly transformClient: (client: HttpClient.HttpClient) => HttpClient.HttpClient
}

/**
 * The service that has the configuration.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RWKVConfig } from "effect-rwkv"
 *
 * const baseUrl = Effect.map(RWKVConfig.RWKVConfig, (config) => config.baseUrl)
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class RWKVConfig extends Context.Tag("effect-rwkv/RWKVConfig")<RWKVConfig, Service>() {}

const operation = "RWKVConfig.make"

const checkUrl = (input: unknown): Effect.Effect<string, RWKVValidationError> => {
  const url = typeof input === "string" && URL.canParse(input) ? new URL(input) : undefined
  const broken = url === undefined
    ? "be an absolute URL, as in http://localhost:8000"
    : !/^https?:$/.test(url.protocol)
    ? "begin with http:// or https://"
    : /\s/.test(String(input))
    ? "not contain spaces"
    // URLs end up in logs and spans that this package does not write.
    : url.username + url.password !== ""
    ? "not contain a user or a password: use headers"
    : /[?#]/.test(url.href)
    ? "not contain a query or a fragment"
    : undefined
  return url === undefined || broken !== undefined
    ? Effect.fail(validate.invalid(operation, "baseUrl", `must ${broken}`))
    : Effect.succeed(url.href.replace(/\/+$/, "").replace(/\/+v1(\/+tasks)?$/, ""))
}

const checkRequestTimeout = (operation: string, input: unknown) =>
  Effect.filterOrFail(
    validate.duration(operation, "requestTimeout", input, "120 seconds"),
    (limit) => !Duration.equals(limit, Duration.zero),
    () => validate.invalid(operation, "requestTimeout", "must be longer than nothing")
  )

const usualRequestIds = ["x-request-id", "x-correlation-id", "x-amzn-requestid", "cf-ray"]

const positive = rule.option<number>((value) => typeof value === "number" && value > 0, "must be a positive number")

const fields = {
  headers: rule.anything<Options["headers"]>(),
  closeTimeout: rule.anything<Duration.DurationInput>(),
  defaults: rule.anything<GenerationOptions>(),
  retry: rule.aSchedule<Polling.RetrySchedule>(),
  requestIdHeaders: rule.option<ReadonlyArray<string>>(isNames, "must be at most 16 names of headers without secrets"),
  maxResponseSize: positive,
  maxFrameSize: positive,
  transformClient: rule.aFunction<Options["transformClient"]>()
}

const read = encoder(Schema.Struct({
  baseUrl: rule.anything<string>(),
  apiKey: rule.anything<Redacted.Redacted>(),
  requestTimeout: rule.anything<Duration.DurationInput>(),
  ...fields
}))

const checkDefaults = encoder(GenerationOptions)

/**
 * Checks options and fills in what is missing. Fails with `RWKVValidationError` if an option is invalid.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RWKVConfig } from "effect-rwkv"
 *
 * const config = Effect.runSync(RWKVConfig.make({ baseUrl: "http://gpu:8000/rwkv/" }))
 *
 * console.log(config.baseUrl) // http://gpu:8000/rwkv
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (input: Options = {}): Effect.Effect<Service, RWKVValidationError> =>
  Effect.gen(function*() {
    const options = yield* read(operation, input)
    const defaults = options.defaults ?? {}
    yield* checkDefaults(operation, defaults, "defaults")
    return {
      baseUrl: yield* checkUrl(options.baseUrl ?? "http://localhost:8000"),
      headers: yield* checkHeaders(operation, options),
      requestTimeout: yield* checkRequestTimeout(operation, options.requestTimeout),
      closeTimeout: yield* validate.duration(operation, "closeTimeout", options.closeTimeout, "5 seconds"),
      defaults,
      retry: options.retry ?? Polling.retrySchedule,
      requestIdHeaders: (options.requestIdHeaders ?? usualRequestIds).map((name) => name.toLowerCase()),
      maxResponseSize: options.maxResponseSize ?? 32 * 1024 * 1024,
      maxFrameSize: options.maxFrameSize ?? 8 * 1024 * 1024,
      transformClient: options.transformClient ?? identity
    }
  })

/**
 * The configuration as a layer. It fails with `RWKVValidationError` if an option is invalid: a bad URL, a header value
 * with a line break, a default out of range, an unknown name.
 *
 * @example
 * ```ts
 * import { RWKVConfig } from "effect-rwkv"
 *
 * const layer = RWKVConfig.layer({ baseUrl: "http://localhost:8000", requestTimeout: "5 minutes" })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<RWKVConfig, RWKVValidationError> =>
  Layer.effect(RWKVConfig, make(options))

/**
 * What `layerConfig` reads, and the options that cannot be read from strings.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConfigOptions extends Omit<Options, "apiKey" | "baseUrl" | "requestTimeout"> {
  /** `RWKV_BASE_URL` by default. */
  readonly baseUrl?: Config.Config<string> | undefined
  /** `RWKV_API_KEY` by default. */
  readonly apiKey?: Config.Config<Redacted.Redacted<string>> | undefined
  /** `RWKV_REQUEST_TIMEOUT` by default, as in `30 seconds`. */
  readonly requestTimeout?: Config.Config<Duration.Duration> | undefined
}

const aConfig = <A>() => rule.option<Config.Config<A>>(Config.isConfig, "must be a Config")

const isBlank = (value: unknown) => {
  const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
  return typeof text === "string" && text.trim() === ""
}

/** Takes a blank variable for one that is not set, for not every environment can unset one. */
const withoutBlanks = ({ flattened }: ConfigProvider.ConfigProvider) =>
  ConfigProvider.fromFlat({
    ...flattened,
    load: (path, config, split) =>
      Effect.filterOrFail(
        flattened.load(path, config, split),
        (values) => !values.every(isBlank),
        () => ConfigError.MissingData(Array.from(path), "is blank")
      )
  })

const optional = <A>(config: Config.Config<A>) => Config.map(Config.option(config), Option.getOrUndefined)

/**
 * The configuration read through `Config`: by default from `RWKV_BASE_URL`, `RWKV_API_KEY` and `RWKV_REQUEST_TIMEOUT`.
 * What is not set, or blank, has its usual default. Fails with `ConfigError` if a variable cannot be read, and with
 * `RWKVValidationError` if a value is invalid.
 *
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { RWKVConfig } from "effect-rwkv"
 *
 * const layer = RWKVConfig.layerConfig({ baseUrl: Config.string("INFERENCE_URL") })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: ConfigOptions = {}
): Layer.Layer<RWKVConfig, ConfigError.ConfigError | RWKVValidationError> =>
  Layer.effect(
    RWKVConfig,
    Effect.gen(function*() {
      const given = yield* encoder(Schema.Struct({
        baseUrl: aConfig<string>(),
        apiKey: aConfig<Redacted.Redacted>(),
        requestTimeout: aConfig<Duration.Duration>(),
        ...fields
      }))(operation, options)
      const wanted = Config.all({
        baseUrl: optional(given.baseUrl ?? Config.string("RWKV_BASE_URL")),
        apiKey: optional(given.apiKey ?? Config.redacted("RWKV_API_KEY")),
        requestTimeout: optional(given.requestTimeout ?? Config.duration("RWKV_REQUEST_TIMEOUT"))
      })
      const found = yield* Effect.configProviderWith((provider) => withoutBlanks(provider).load(wanted))
      return yield* make({ ...given, ...found })
    })
  )

/**
 * What `withConfigOverride` sets. Options that are not given stay as they are outside.
 *
 * @since 0.2.0
 * @category models
 */
export interface OverrideOptions extends Pick<Options, "requestTimeout" | "retry"> {
  /** Sent beside the configuration's headers, or instead of one of the same name. Values are secrets, as there. */
  readonly headers?: Options["headers"]
  /**
   * Generation options for every create and FIM that does not give its own, merged into the configuration's by name.
   */
  readonly defaults?: GenerationOptions | undefined
}

/**
 * An Effect or a Stream that may fail because the options of an override are invalid.
 *
 * @since 0.2.0
 * @category models
 */
export type Overridden<X> = X extends Effect.Effect<infer A, infer E, infer R>
  ? Effect.Effect<A, E | RWKVValidationError, R>
  : X extends Stream.Stream<infer A, infer E, infer R> ? Stream.Stream<A, E | RWKVValidationError, R>
  : never

const checkOverride = encoder(Schema.Struct({
  requestTimeout: rule.anything<Duration.DurationInput>(),
  headers: rule.anything<Options["headers"]>(),
  retry: rule.aSchedule<Polling.RetrySchedule>(),
  defaults: rule.anything<GenerationOptions>()
}))

/** Checks the options, at each run of the Effect or Stream. */
const overriding = (options: OverrideOptions) =>
  Effect.gen(function*() {
    const operation = "RWKVConfig.withConfigOverride"
    const { defaults, headers, requestTimeout, retry } = yield* checkOverride(operation, options)
    if (defaults !== undefined) yield* checkDefaults(operation, defaults, "defaults")
    return yield* Override.within({
      ...(requestTimeout !== undefined && { requestTimeout: yield* checkRequestTimeout(operation, requestTimeout) }),
      ...(headers !== undefined && { headers: yield* checkHeaders(operation, { headers }) }),
      ...(retry !== undefined && { retry }),
      ...(defaults !== undefined && { defaults: yield* withDefaults(operation, {}, defaults) })
    })
  })

/**
 * Overrides a part of the configuration for a part of a program: for the requests of the Effect, or of the Stream, that
 * it is piped from. Overrides nest; the inner one wins, headers and defaults by name. It holds for the Effect or Stream
 * and the fibers that it forks, not for what is downstream of the Stream. What the services do later for a task in the
 * background, its stop and its deletion, uses the override that the task was started under. An option of a verb, as
 * `retry` of a stream, wins over both.
 *
 * It fails with `RWKVValidationError` if an option is invalid, by the rules of {@link make}, and before anything runs.
 *
 * @example
 * ```ts
 * import { Redacted } from "effect"
 * import { RWKVConfig, StreamService, TaskService } from "effect-rwkv"
 *
 * // a tenant's key for one call, and less time than usual
 * const result = TaskService.run({ prompt: "Hello" }).pipe(
 *   RWKVConfig.withConfigOverride({ headers: { "x-tenant-key": Redacted.make("...") }, requestTimeout: "20 seconds" })
 * )
 *
 * const text = StreamService.create({ prompt: "Hello" }).pipe(
 *   RWKVConfig.withConfigOverride({ defaults: { maxTokens: 200 } })
 * )
 * ```
 *
 * @since 0.2.0
 * @category combinators
 */
export const withConfigOverride = (
  options: OverrideOptions
): <X extends Stream.Stream<unknown, unknown, unknown>>(self: X) => Overridden<X> => {
  function override<X extends Stream.Stream<unknown, unknown, unknown>>(self: X): Overridden<X>
  function override(self: Stream.Stream<unknown, unknown, unknown>): Stream.Stream<unknown, unknown, unknown> {
    // By its type every Effect is a Stream too.
    return Effect.isEffect(self)
      ? Effect.flatMap(overriding(options), (locally) => locally(self))
      // Set for each pull by itself: a FiberRef that is set for a whole Stream holds downstream as well.
      : Stream.unwrap(
        Effect.map(overriding(options), (locally) => Stream.fromPull(Effect.map(locally(Stream.toPull(self)), locally)))
      )
  }
  return override
}
