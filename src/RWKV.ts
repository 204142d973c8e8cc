/**
 * Everything wired: one layer for all services.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type { HttpClient } from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Layer from "effect/Layer"
import * as RWKVHttpClient from "./HttpClient.js"
import * as RWKVConfig from "./RWKVConfig.js"
import type { RWKVValidationError } from "./RWKVError.js"
import * as StreamService from "./StreamService.js"
import * as TaskService from "./TaskService.js"

/**
 * The services that the layers of this module provide.
 *
 * @since 0.1.0
 * @category models
 */
export type RWKV =
  | TaskService.TaskService
  | StreamService.StreamService
  | RWKVHttpClient.RWKVHttpClient
  | RWKVConfig.RWKVConfig

/**
 * All services without their configuration, for programs that make their own. Fails with `RWKVValidationError` if its
 * `transformClient` throws, or returns no client.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { RWKV, RWKVConfig } from "effect-rwkv"
 *
 * const layer = RWKV.layerWithoutConfig.pipe(Layer.provide([RWKVConfig.layer(), FetchHttpClient.layer]))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutConfig: Layer.Layer<
  Exclude<RWKV, RWKVConfig.RWKVConfig>,
  RWKVValidationError,
  RWKVConfig.RWKVConfig | HttpClient
> = Layer.fresh(TaskService.layer.pipe(
  Layer.provideMerge(StreamService.layer),
  Layer.provideMerge(RWKVHttpClient.layer)
))

/**
 * All services, over whatever platform HttpClient is provided. Fails with `RWKVValidationError` if an option is
 * invalid.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer, Redacted } from "effect"
 * import { RWKV } from "effect-rwkv"
 *
 * const layer = RWKV.layer({
 *   baseUrl: "https://inference.example/rwkv",
 *   apiKey: Redacted.make("a key for the proxy"),
 *   defaults: { maxTokens: 500 }
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: RWKVConfig.Options): Layer.Layer<RWKV, RWKVValidationError, HttpClient> =>
  Layer.provideMerge(layerWithoutConfig, RWKVConfig.layer(options))

/**
 * All services, configured through `Config`: by default from `RWKV_BASE_URL`, `RWKV_API_KEY` and
 * `RWKV_REQUEST_TIMEOUT`. Fails with `ConfigError` if a variable cannot be read, and with `RWKVValidationError` if a
 * value is invalid.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { RWKV } from "effect-rwkv"
 *
 * const layer = RWKV.layerConfig().pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options?: RWKVConfig.ConfigOptions
): Layer.Layer<RWKV, ConfigError.ConfigError | RWKVValidationError, HttpClient> =>
  Layer.provideMerge(layerWithoutConfig, RWKVConfig.layerConfig(options))

/**
 * All services over the runtime's own fetch, with nothing left to provide. Fails with `RWKVValidationError` if an
 * option is invalid.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RWKV, TaskService } from "effect-rwkv"
 *
 * const program = TaskService.run({ prompt: "Hello" }).pipe(
 *   Effect.provide(RWKV.layerFetch({ baseUrl: "http://localhost:8000" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFetch = (options?: RWKVConfig.Options): Layer.Layer<RWKV, RWKVValidationError> =>
  Layer.provide(layer(options), FetchHttpClient.layer)
