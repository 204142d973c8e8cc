import type { AiError, LanguageModel, Model } from "@effect/ai"
import { type Effect, type Layer, Stream } from "effect"
import { Effect as Run } from "effect"
import type { RWKVConfig, StreamService } from "effect-rwkv"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { describe, expect, test } from "tstyche"

type Needs = StreamService.StreamService | RWKVConfig.RWKVConfig

describe("RWKVLanguageModel", () => {
  test("no layer can fail, and each needs the streams and their configuration", () => {
    expect(RWKVLanguageModel.layer()).type.toBe<Layer.Layer<LanguageModel.LanguageModel, never, Needs>>()
    expect(RWKVLanguageModel.model({ think: "on" })).type.toBe<
      Model.Model<"rwkv", LanguageModel.LanguageModel, Needs>
    >()
    expect(RWKVLanguageModel.make()).type.toBe<Effect.Effect<LanguageModel.Service, never, Needs>>()
  })

  test("options are named and typed", () => {
    expect(RWKVLanguageModel.layer).type.toBeCallableWith({
      maxTokens: 5,
      think: "short",
      objectRepairs: 1,
      model: "g1"
    })
    expect(RWKVLanguageModel.layer).type.not.toBeCallableWith({ thinking: true })
    expect(RWKVLanguageModel.layer).type.not.toBeCallableWith({ think: "deep" })
  })

  test("an override keeps the types of Effects and Streams, in both forms", () => {
    const effect: Effect.Effect<string, AiError.AiError, LanguageModel.LanguageModel> = Run.never
    const stream: Stream.Stream<string, AiError.AiError, LanguageModel.LanguageModel> = Stream.never
    expect(effect.pipe(RWKVLanguageModel.withConfigOverride({ topK: 1 }))).type.toBe<
      Effect.Effect<string, AiError.AiError, LanguageModel.LanguageModel>
    >()
    expect(RWKVLanguageModel.withConfigOverride(stream, {})).type.toBe<
      Stream.Stream<string, AiError.AiError, LanguageModel.LanguageModel>
    >()
  })
})
