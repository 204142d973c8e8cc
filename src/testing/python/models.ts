/**
 * Request models of the server: same errors, same order, same wording as Pydantic's.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { type Body, type Draft, type Field, int, number, prompt, seed, stream, text } from "./fields.js"
import type { Issue } from "./issue.js"
import type { Json } from "./json.js"

/** @internal */
export type ModelName = "create" | "fim" | "update"

const sampling = (nullable: boolean, minTokens: number, minTopK: number): ReadonlyArray<readonly [string, Field]> => [
  ["max_tokens", int("max_tokens", minTokens, 40960, nullable)],
  ["temperature", number("temperature", 2, nullable)],
  ["top_k", int("top_k", minTopK, 100, nullable)],
  ["top_p", number("top_p", 1, nullable)],
  ["presence_penalty", number("presence_penalty", 10, nullable)],
  ["repetition_penalty", number("repetition_penalty", 10, nullable)],
  ["penalty_decay", number("penalty_decay", 1, nullable)],
  ["stream", stream]
]

const models: Readonly<Record<ModelName, ReadonlyMap<string, Field>>> = {
  create: new Map([["prompt", prompt(true)], ...sampling(false, 0, -1), ["seed", seed]]),
  fim: new Map([["prefix", text("prefix", true)], ["suffix", text("suffix", false)], ...sampling(false, 1, -1), [
    "seed",
    seed
  ]]),
  update: new Map([["prompt", prompt(false)], ...sampling(true, 0, 0)])
}

/** @internal */
export const missingBody: Issue = { type: "missing", loc: ["body"], msg: "Field required", input: { _tag: "Null" } }

/** @internal */
export const decodeBody = (model: ModelName, input: Json): Either.Either<Body, ReadonlyArray<Issue>> => {
  if (input._tag !== "Dict") {
    const msg = "Input should be a valid dictionary or object to extract fields from"
    return Either.left([{ type: "model_attributes_type", loc: ["body"], msg, input }])
  }
  const draft: Draft = {}
  const issues: Array<Issue> = []
  const fields = models[model]
  for (const [key, field] of fields) {
    const value = input.entries.get(key)
    if (value === undefined) {
      if (field.required) issues.push({ type: "missing", loc: ["body", key], msg: "Field required", input })
    } else if (value._tag !== "Null" || !field.nullable) {
      issues.push(...field.check(value, ["body", key], draft))
    }
  }
  for (const [key, value] of input.entries) {
    if (!fields.has(key)) {
      issues.push({ type: "extra_forbidden", loc: ["body", key], msg: "Extra inputs are not permitted", input: value })
    }
  }
  return issues.length > 0 ? Either.left(issues) : Either.right(draft)
}
