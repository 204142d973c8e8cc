/**
 * Where the server is and how to speak to it.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { GenerationOptions } from "./Generation.js"
import { excerpt } from "./internal/failure.js"
import * as validate from "./internal/validate.js"
import * as Polling from "./Polling.js"
import type { RWKVError, RWKVValidationError } from "./RWKVError.js"

/**
 * The configuration as given: everything is optional.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Where the server is; `http://localhost:8000` by default. A path is kept as a prefix of every endpoint. */
  readonly baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer ...` to a proxy before the server; the server itself asks for none. */
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /** Headers sent with every request. Values are secrets: none appears in an error, a log or a span. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /** The time for one request, answer included, or until a stream's headers; 120 seconds by default. Creating a task waits for its prefill. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** Generation options sent with every create and FIM that does not give its own; none by default. */
  readonly defaults?: GenerationOptions | undefined
  /** When to repeat requests that may safely be repeated; `Polling.retrySchedule` by default. */
  readonly retry?: Schedule.Schedule<unknown, RWKVError> | undefined
  /** The most bytes to read of an answer; 32 MiB by default. */
  readonly maxResponseSize?: number | undefined
  /** The most UTF-16 units of one frame of a stream; 8 Mi by default. */
  readonly maxFrameSize?: number | undefined
  /** Changes the HttpClient that requests go through: to log, to limit, to trace. It sees the headers in clear. */
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
  readonly defaults: GenerationOptions
  readonly retry: Schedule.Schedule<unknown, RWKVError>
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

const checkUrl = (input: unknown): Effect.Effect<string, RWKVValidationError> =>
  Effect.suspend(() => {
    const refuse = (message: string) => Effect.fail(validate.invalid(operation, "baseUrl", message))
    if (typeof input !== "string" || !URL.canParse(input)) {
      return refuse("must be an absolute URL, as in http://localhost:8000")
    }
    const url = new URL(input)
    if (url.protocol !== "http:" && url.protocol !== "https:") return refuse("must begin with http:// or https://")
    if (/\s/.test(input)) return refuse("must not contain spaces")
    // A secret in a URL ends up in logs and spans that this package does not write.
    if (url.username !== "" || url.password !== "") return refuse("must not contain a user or a password: use headers")
    if (/[?#]/.test(url.href)) return refuse("must not contain a query or a fragment")
    return Effect.succeed(url.href.replace(/\/+$/, ""))
  })

/** Code that is not ours may run, and fail, whenever a value is read: getters, proxies, wiped secrets. */
const attempt = <A>(path: string, read: () => A): Effect.Effect<A, RWKVValidationError> =>
  Effect.try({ try: read, catch: () => validate.invalid(operation, path, "cannot be read") })

const reveal = (path: string, value: unknown): Effect.Effect<unknown, RWKVValidationError> =>
  attempt(path, () => Redacted.isRedacted(value) ? Redacted.value(value) : value)

const known = new Set<string>(
  [
    "baseUrl",
    "apiKey",
    "headers",
    "requestTimeout",
    "defaults",
    "retry",
    "maxResponseSize",
    "maxFrameSize",
    "transformClient"
  ] satisfies ReadonlyArray<keyof Options>
)

/** A copy whose fields are safe to read. An unknown name is a misspelt one: leaving it out would go unnoticed. */
const readOptions = <A extends object>(options: A): Effect.Effect<A, RWKVValidationError> =>
  Effect.gen(function*() {
    if (typeof options !== "object" || options === null || Array.isArray(options)) {
      return yield* validate.invalid(operation, "", "must be an object of options")
    }
    for (const key of yield* attempt("", () => Object.keys(options))) {
      if (!known.has(key)) return yield* validate.invalid(operation, excerpt(key), "is unexpected")
      yield* attempt(key, () => Reflect.get(options, key))
    }
    return yield* attempt("", () => ({ ...options }))
  })

const checkHeader = (
  path: string,
  name: string,
  value: unknown
): Effect.Effect<[string, string], RWKVValidationError> => {
  const refuse = (message: string) => Effect.fail(validate.invalid(operation, path, message))
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return refuse("must have a header name made of token characters")
  if (typeof value !== "string") return refuse("must be a string, Redacted or not")
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    return refuse("must not contain line breaks or characters beyond Latin-1")
  }
  return Effect.succeed([name.toLowerCase(), value])
}

const checkHeaders = (options: Options) =>
  Effect.gen(function*() {
    const given = options.headers ?? {}
    const entries = yield* attempt(
      "headers",
      () => typeof given !== "object" || Symbol.iterator in given ? undefined : Object.entries(given)
    )
    if (entries === undefined) {
      return yield* validate.invalid(operation, "headers", "must be an object of names and values")
    }
    const headers: Array<[string, string]> = []
    for (const [name, value] of entries) {
      // A bad name is not repeated: it may be a value in the wrong place.
      headers.push(yield* checkHeader("headers", name, yield* reveal("headers", value)))
    }
    if (options.apiKey !== undefined) {
      const [, key] = yield* checkHeader("apiKey", "authorization", yield* reveal("apiKey", options.apiKey))
      headers.push(["authorization", `Bearer ${key}`])
    }
    return Redacted.make(Object.fromEntries(headers))
  })

const checkTimeout = (input: unknown): Effect.Effect<Duration.Duration, RWKVValidationError> =>
  Effect.filterOrFail(
    validate.duration(operation, "requestTimeout", input, "120 seconds"),
    Duration.greaterThan(Duration.zero),
    () => validate.invalid(operation, "requestTimeout", "must be longer than nothing")
  )

const checkLimit = (path: string, limit: unknown): Effect.Effect<number, RWKVValidationError> =>
  typeof limit === "number" && limit > 0
    ? Effect.succeed(limit)
    : Effect.fail(validate.invalid(operation, path, "must be a positive number"))

const checkRetry = (retry: Service["retry"]): Effect.Effect<Service["retry"], RWKVValidationError> =>
  Schedule.isSchedule(retry)
    ? Effect.succeed(retry)
    : Effect.fail(validate.invalid(operation, "retry", "must be a Schedule"))

const checkTransform = (
  transform: Service["transformClient"]
): Effect.Effect<Service["transformClient"], RWKVValidationError> =>
  typeof transform === "function"
    ? Effect.succeed(transform)
    : Effect.fail(validate.invalid(operation, "transformClient", "must be a function"))

const checkDefaults = validate.encoder(GenerationOptions)

/**
 * Checks options and fills in what is missing.
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
    const options = yield* readOptions(input)
    const defaults = options.defaults ?? {}
    yield* checkDefaults(operation, defaults)
    return {
      baseUrl: yield* checkUrl(options.baseUrl ?? "http://localhost:8000"),
      headers: yield* checkHeaders(options),
      requestTimeout: yield* checkTimeout(options.requestTimeout),
      defaults,
      retry: yield* checkRetry(options.retry ?? Polling.retrySchedule),
      maxResponseSize: yield* checkLimit("maxResponseSize", options.maxResponseSize ?? 32 * 1024 * 1024),
      maxFrameSize: yield* checkLimit("maxFrameSize", options.maxFrameSize ?? 8 * 1024 * 1024),
      transformClient: yield* checkTransform(options.transformClient ?? ((client) => client))
    }
  })

/**
 * The configuration as a layer. It fails with `RWKVValidationError` if an option is invalid: a bad URL, a header value with
 * a line break, a default out of range, an unknown name.
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

const optional = <A>(
  path: string,
  config: Config.Config<A>
): Effect.Effect<A | undefined, ConfigError.ConfigError | RWKVValidationError> =>
  Config.isConfig(config)
    ? Config.map(Config.option(config), Option.getOrUndefined)
    : Effect.fail(validate.invalid(operation, path, "must be a Config"))

/**
 * The configuration read through `Config`: by default from `RWKV_BASE_URL`, `RWKV_API_KEY` and `RWKV_REQUEST_TIMEOUT`. What
 * is not set has its usual default, and an empty key is none.
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
      const given = yield* readOptions(options)
      const baseUrl = yield* optional("baseUrl", given.baseUrl ?? Config.string("RWKV_BASE_URL"))
      const apiKey = yield* optional("apiKey", given.apiKey ?? Config.redacted("RWKV_API_KEY"))
      const timeout = given.requestTimeout ?? Config.duration("RWKV_REQUEST_TIMEOUT")
      const requestTimeout = yield* optional("requestTimeout", timeout)
      // Environments cannot always unset a variable: an empty key is none.
      const noKey = (yield* reveal("apiKey", apiKey)) === ""
      return yield* make({ ...given, baseUrl, requestTimeout, apiKey: noKey ? undefined : apiKey })
    })
  )
