/**
 * How the model is to answer: options of the layer, an override and the user's message, of which a later one wins.
 */
import type * as LanguageModel from "@effect/ai/LanguageModel"
import * as Telemetry from "@effect/ai/Telemetry"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Generation from "../../Generation.js"
import { type Think, thinkModes } from "../chat/format.js"
import { isRecord } from "../input/json.js"
import { encoder } from "../input/request.js"
import * as rule from "../input/rules.js"
import { sequences } from "../input/sequences.js"

/** Sampling and limits of `Generation.GenerationOptions`, and options of the language model's own. */
export interface Settings extends Generation.GenerationOptions {
  /** How the model thinks before it answers; `"off"` by default. A call that is required leaves no room to think. */
  readonly think?: Think | undefined
  /** Stop sequences beside those that end a turn: at most 12, of 1 to 256 UTF-16 units each; none by default. */
  readonly stop?: ReadonlyArray<string> | undefined
  /** How often `generateObject` asks again, with the reason, if an answer does not fit: 0 to 10; 2 by default. */
  readonly objectRepairs?: number | undefined
  /** The model's name in spans and answers; none by default, for the server does not say which model answered. */
  readonly model?: string | undefined
}

const check = encoder(Schema.extend(
  Schema.typeSchema(Generation.GenerationOptions),
  Schema.Struct({
    think: rule.oneOf(...thinkModes),
    stop: rule.optional(sequences),
    objectRepairs: rule.optional(rule.integer(0, 10)),
    model: rule.optional(rule.text)
  })
))

/** The provider options of the last user's message, if it has some of ours. */
const ofPrompt = ({ content }: LanguageModel.ProviderOptions["prompt"]): object => {
  const given: unknown = content.findLast(({ role }) => role === "user")?.options["rwkv"]
  return isRecord(given) ? given : {}
}

export const settle = (operation: string, given: Settings, options: LanguageModel.ProviderOptions) =>
  Effect.map(
    check(operation, { ...given, ...ofPrompt(options.prompt) }),
    ({ model, objectRepairs = 2, stop = [], think = "off", ...generation }) => {
      const { penaltyDecay: _, repetitionPenalty: frequencyPenalty, ...known } = generation
      const stopSequences = stop.length === 0 ? undefined : stop
      Telemetry.addGenAIAnnotations(options.span, {
        system: "rwkv",
        operation: { name: "chat" },
        request: { ...known, model, frequencyPenalty, stopSequences }
      })
      return { generation, model, objectRepairs, stop, think }
    }
  )
