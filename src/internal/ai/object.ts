/**
 * Asks the model for an object, finds it in the answer, and says what is wrong with it.
 */
import type { ProviderOptions } from "@effect/ai/LanguageModel"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { fence, json } from "../chat/format.js"
import { isRecord, parse } from "../input/json.js"
import { decode, jsonSchema, reasonOf } from "./choice.js"
import type { Where } from "./failure.js"

type JsonFormat = Extract<ProviderOptions["responseFormat"], { readonly type: "json" }>

export const instruction = (where: Where, { objectName, schema }: JsonFormat) =>
  Effect.map(
    jsonSchema(where, "the object", schema),
    (described) => `Answer with one JSON object only, ${json(objectName)}. Its JSON Schema: ${json(described)}`
  )

/**
 * Finds the object in an answer, with or without a fence or words around it; fails with why it does not fit.
 */
export const check = (schema: Schema.Schema.Any, text: string): Effect.Effect<string, string> => {
  const from = text.indexOf("{")
  const end = text.indexOf(fence.close, from)
  const found = [text.slice(from, end < 0 ? undefined : end), text.slice(from, text.lastIndexOf("}") + 1)]
    .find((part) => Option.exists(parse(part), isRecord))
  return found === undefined
    ? Effect.fail("it holds no JSON object")
    : Effect.mapBoth(decode(Schema.parseJson(schema))(found), { onSuccess: () => found.trim(), onFailure: reasonOf })
}

/** The messages that ask again after an answer that does not fit. */
export const again = (text: string, reason: string): ReadonlyArray<object> => [
  { _tag: "Assistant", content: text.replace(/```(?:json)?/g, "") },
  { _tag: "User", content: `That does not fit: ${reason}. Answer with the corrected JSON object only.` }
]
