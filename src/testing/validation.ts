/**
 * Request models of the server as Pydantic checks them in strict mode: same errors, same order, same wording.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { float, type Json, print } from "./json.js"

/** @internal */
export interface Issue {
  readonly type: string
  readonly loc: ReadonlyArray<string | number>
  readonly msg: string
  readonly input: Json
  /** The `ctx` object, already in JSON. */
  readonly ctx?: string
}

/** @internal */
export interface Body {
  readonly prompt?: string | ReadonlyArray<string>
  readonly prefix?: string
  readonly suffix?: string
  readonly max_tokens?: number
  readonly temperature?: number
  readonly top_k?: number
  readonly top_p?: number
  readonly presence_penalty?: number
  readonly repetition_penalty?: number
  readonly penalty_decay?: number
  readonly stream?: boolean
  /** Kept as written: Python integers have no limit. */
  readonly seed?: string
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }
type Draft = Mutable<Body>

/** @internal */
export type ModelName = "create" | "fim" | "update"

interface Field {
  readonly required: boolean
  readonly nullable: boolean
  readonly check: (value: Json, loc: ReadonlyArray<string | number>, draft: Draft) => ReadonlyArray<Issue>
}

type NumberKey =
  | "max_tokens"
  | "temperature"
  | "top_k"
  | "top_p"
  | "presence_penalty"
  | "repetition_penalty"
  | "penalty_decay"

const none: ReadonlyArray<Issue> = []

const bounded = (
  value: Json,
  loc: ReadonlyArray<string | number>,
  given: number,
  min: number,
  max: number,
  show: (bound: number) => string
): ReadonlyArray<Issue> => {
  if (!(given >= min)) {
    return [{
      type: "greater_than_equal",
      loc,
      msg: `Input should be greater than or equal to ${min}`,
      input: value,
      ctx: `{"ge":${show(min)}}`
    }]
  }
  if (!(given <= max)) {
    return [{
      type: "less_than_equal",
      loc,
      msg: `Input should be less than or equal to ${max}`,
      input: value,
      ctx: `{"le":${show(max)}}`
    }]
  }
  return none
}

const intType = (input: Json, loc: ReadonlyArray<string | number>): ReadonlyArray<Issue> => [
  { type: "int_type", loc, msg: "Input should be a valid integer", input }
]

const int = (key: NumberKey, min: number, max: number, nullable: boolean): Field => ({
  required: false,
  nullable,
  check: (value, loc, draft) => {
    if (value._tag !== "Int") return intType(value, loc)
    const given = Number(value.raw)
    draft[key] = given
    return bounded(value, loc, given, min, max, String)
  }
})

const number = (key: NumberKey, max: number, nullable: boolean): Field => ({
  required: false,
  nullable,
  check: (value, loc, draft) => {
    if (value._tag !== "Int" && value._tag !== "Float") {
      return [{ type: "float_type", loc, msg: "Input should be a valid number", input: value }]
    }
    const given = value._tag === "Int" ? Number(value.raw) : value.value
    draft[key] = given
    return bounded(value, loc, given, 0, max, float)
  }
})

const stringType = (input: Json, loc: ReadonlyArray<string | number>): ReadonlyArray<Issue> => [
  { type: "string_type", loc, msg: "Input should be a valid string", input }
]

const unicode = (input: Json, loc: ReadonlyArray<string | number>): ReadonlyArray<Issue> => [{
  type: "string_unicode",
  loc,
  msg: "Input should be a valid string, unable to parse raw data as a unicode string",
  input
}]

const text = (key: "prefix" | "suffix", required: boolean): Field => ({
  required,
  nullable: false,
  check: (value, loc, draft) => {
    if (value._tag !== "String") return stringType(value, loc)
    if (!value.value.isWellFormed()) return unicode(value, loc)
    draft[key] = value.value
    return none
  }
})

const prompt = (required: boolean): Field => ({
  required,
  nullable: !required,
  check: (value, loc, draft) => {
    if (value._tag === "String") {
      if (!value.value.isWellFormed()) return unicode(value, loc)
      draft.prompt = value.value
      return none
    }
    const list = [...loc, "list[int]"]
    const first = stringType(value, [...loc, "str"])
    if (value._tag !== "List") {
      return [...first, { type: "list_type", loc: list, msg: "Input should be a valid list", input: value }]
    }
    const ids = value.items.flatMap((item) => item._tag === "Int" ? [item.raw] : [])
    if (ids.length < value.items.length) {
      return [
        ...first,
        ...value.items.flatMap((item, index) => item._tag === "Int" ? [] : intType(item, [...list, index]))
      ]
    }
    draft.prompt = ids
    return none
  }
})

const stream: Field = {
  required: false,
  nullable: false,
  check: (value, loc, draft) => {
    if (value._tag !== "Bool") return [{ type: "bool_type", loc, msg: "Input should be a valid boolean", input: value }]
    draft.stream = value.value
    return none
  }
}

const seed: Field = {
  required: false,
  nullable: true,
  check: (value, loc, draft) => {
    if (value._tag !== "Int") return intType(value, loc)
    draft.seed = value.raw
    return none
  }
}

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

const truthy = new Set(["true", "1", "yes", "on", "t", "y"])
const falsy = new Set(["false", "0", "no", "off", "f", "n"])

/** @internal */
export const queryBool = (key: string, value: string | undefined): Either.Either<boolean, ReadonlyArray<Issue>> => {
  if (value === undefined) return Either.right(false)
  const lower = value.toLowerCase()
  if (truthy.has(lower)) return Either.right(true)
  if (falsy.has(lower)) return Either.right(false)
  const msg = "Input should be a valid boolean, unable to interpret input"
  return Either.left([{ type: "bool_parsing", loc: ["query", key], msg, input: { _tag: "String", value } }])
}

/** @internal */
export const queryInt = (key: string, value: string | undefined): Either.Either<number, ReadonlyArray<Issue>> => {
  if (value === undefined) return Either.right(0)
  const trimmed = value.trim()
  if (/^[+-]?\d+(_\d+)*(\.0*)?$/.test(trimmed)) return Either.right(Number(trimmed.replaceAll("_", "")))
  const msg = "Input should be a valid integer, unable to parse string as an integer"
  return Either.left([{ type: "int_parsing", loc: ["query", key], msg, input: { _tag: "String", value } }])
}

/**
 * The body of a 422; undefined where the server cannot encode its own error (NaN, lone surrogates) and answers 500.
 *
 * @internal
 */
export const printIssues = (issues: ReadonlyArray<Issue>): string | undefined => {
  const parts: Array<string> = []
  for (const issue of issues) {
    const input = print(issue.input)
    if (input === undefined || issue.loc.some((part) => typeof part === "string" && !part.isWellFormed())) {
      return undefined
    }
    const ctx = issue.ctx === undefined ? "" : `,"ctx":${issue.ctx}`
    const { loc, msg, type } = issue
    parts.push(
      `{"type":${JSON.stringify(type)},"loc":${JSON.stringify(loc)},"msg":${
        JSON.stringify(msg)
      },"input":${input}${ctx}}`
    )
  }
  return `{"detail":[${parts.join(",")}]}`
}
