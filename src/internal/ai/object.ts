/**
 * Objects: how the model is asked for one, where it is in the answer, and what is wrong with it.
 */
import type { ProviderOptions } from "@effect/ai/LanguageModel"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
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

/** In a fence or without one, and with words around it or without. */
const objectIn = (text: string): string | undefined => {
  const from = text.indexOf("{")
  const end = text.indexOf(fence.close, from)
  return [text.slice(from, end < 0 ? undefined : end).trim(), text.slice(from, text.lastIndexOf("}") + 1)]
    .find((part) => Option.exists(parse(part), isRecord))
}

/** The object as the model wrote it, once it fits; otherwise why it does not. */
export const check = (schema: Schema.Schema.Any, text: string): Effect.Effect<string, string> => {
  const found = objectIn(text)
  return found === undefined
    ? Effect.fail("it holds no JSON object")
    : Effect.mapBoth(decode(schema)(Option.getOrUndefined(parse(found))), {
      onSuccess: () => found,
      onFailure: reasonOf
    })
}

/** What the chat goes on with after an answer that does not fit. */
export const again = (text: string, reason: string): ReadonlyArray<object> => [
  { _tag: "Assistant", content: text.replace(/```(?:json)?/g, "") },
  { _tag: "User", content: `That does not fit: ${reason}. Answer with the corrected JSON object only.` }
]
