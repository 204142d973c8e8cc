/**
 * RWKV-7 G1 as the language model of `@effect/ai`: text, streams, objects, tools and `Chat`, by swapping one layer.
 *
 * An entry of its own, `effect-rwkv/RWKVLanguageModel`, for programs that have `@effect/ai`. See
 * docs/language-model.md.
 *
 * @since 0.2.0
 */
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as Model from "@effect/ai/Model"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Simplify } from "effect/Types"
import type { FinishReason as Reason } from "./Finish.js"
import * as provider from "./internal/ai/provider.js"
import type * as settings from "./internal/ai/settings.js"
import { RWKVConfig } from "./RWKVConfig.js"
import { StreamService } from "./StreamService.js"

/**
 * The options that a program overrides for a part of itself, see {@link withConfigOverride}.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
 *
 * const config = Effect.serviceOption(RWKVLanguageModel.Config)
 * ```
 *
 * @since 0.2.0
 * @category tags
 */
export class Config extends Context.Tag("effect-rwkv/RWKVLanguageModel/Config")<Config, Config.Service>() {}

/**
 * @since 0.2.0
 */
export declare namespace Config {
  /**
   * How the model answers: sampling and limits as in `Generation.GenerationOptions`, and the model's own options. What
   * is invalid fails the call with `MalformedInput`.
   *
   * @since 0.2.0
   * @category models
   */
  export interface Service extends settings.Settings {}
}

declare module "@effect/ai/Prompt" {
  /** Options for the answer, read from the last message of the user; they win over all others. */
  interface UserMessageOptions extends ProviderOptions {
    readonly rwkv?: Simplify<settings.Settings> | undefined
  }
}

declare module "@effect/ai/Response" {
  /** What RWKV-Server tells of the end beyond the reason and the usage of `@effect/ai`. */
  interface FinishPartMetadata extends ProviderMetadata {
    readonly rwkv?: {
      readonly finishReason: Reason
      readonly stopSequence?: string | undefined
      readonly tokensPerSecond?: number | undefined
    } | undefined
  }
}

/**
 * The language model over the streams that are provided, as a service.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
 *
 * const text = Effect.map(RWKVLanguageModel.make({ maxTokens: 500 }), (model) => model.streamText({ prompt: "Hi" }))
 *
 * const parts = Stream.unwrap(text)
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (
  config: Config.Service = {}
): Effect.Effect<LanguageModel.Service, never, StreamService | RWKVConfig> =>
  Effect.flatMap(Effect.all([StreamService, RWKVConfig]), ([streams, { baseUrl }]) => {
    const settings = Effect.map(overridden, (inner) => ({ ...config, ...inner }))
    return provider.make({ streams, baseUrl, settings })
  })

/** The override that is in force for the caller, if any. */
const overridden = Effect.map(Effect.serviceOption(Config), Option.getOrUndefined)

/**
 * The language model as a layer. It cannot fail: what is wrong in the options fails the calls with `MalformedInput`.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { RWKV } from "effect-rwkv"
 * import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
 *
 * const live = RWKVLanguageModel.layer({ think: "on" }).pipe(
 *   Layer.provide(RWKV.layerConfig()),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (
  config?: Config.Service
): Layer.Layer<LanguageModel.LanguageModel, never, StreamService | RWKVConfig> =>
  Layer.effect(LanguageModel.LanguageModel, make(config))

/**
 * {@link layer} as a `Model` of `@effect/ai`, which also provides the provider's name, `"rwkv"`.
 *
 * @example
 * ```ts
 * import { LanguageModel } from "@effect/ai"
 * import { Effect } from "effect"
 * import { RWKV } from "effect-rwkv"
 * import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
 *
 * const program = LanguageModel.generateText({ prompt: "Why is the sky blue?" }).pipe(
 *   Effect.map(({ text }) => text),
 *   Effect.provide(RWKVLanguageModel.model({ think: "short", maxTokens: 1000 })),
 *   Effect.provide(RWKV.layerFetch({ baseUrl: "http://localhost:8000" }))
 * )
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const model = (
  config?: Config.Service
): Model.Model<"rwkv", LanguageModel.LanguageModel, StreamService | RWKVConfig> => Model.make("rwkv", layer(config))

type Configured<X> = X extends Effect.Effect<infer A, infer E, infer R> ? Effect.Effect<A, E, R>
  : X extends Stream.Stream<infer A, infer E, infer R> ? Stream.Stream<A, E, R>
  : never

/**
 * Overrides options, by key, for the calls of an Effect or a Stream. Overrides nest, and the inner one wins.
 *
 * @example
 * ```ts
 * import { LanguageModel } from "@effect/ai"
 * import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
 *
 * const answer = LanguageModel.generateText({ prompt: "Why is the sky blue?" }).pipe(
 *   RWKVLanguageModel.withConfigOverride({ think: "long", temperature: 0.7 })
 * )
 * ```
 *
 * @since 0.2.0
 * @category combinators
 */
export const withConfigOverride: {
  (overrides: Config.Service): <X extends Stream.Stream<unknown, unknown, unknown>>(self: X) => Configured<X>
  <X extends Stream.Stream<unknown, unknown, unknown>>(self: X, overrides: Config.Service): Configured<X>
} = dual(2, (self: Stream.Stream<unknown, unknown, unknown>, overrides: Config.Service) => {
  const inner = Effect.map(overridden, (outer) => ({ ...outer, ...overrides }))
  // By its type every Effect is a Stream too.
  return Effect.isEffect(self)
    ? Effect.flatMap(inner, (config) => Effect.provideService(self, Config, config))
    : Stream.unwrap(Effect.map(inner, (config) => Stream.provideService(self, Config, config)))
})
