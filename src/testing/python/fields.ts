/**
 * The kinds of fields in the server's request models, as Pydantic checks them in strict mode.
 *
 * @since 0.1.0
 */
import type { Issue, Location } from "./issue.js"
import { float, type Json } from "./json.js"

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

/** @internal */
export type Draft = Mutable<Body>

/** @internal */
export interface Field {
  readonly required: boolean
  readonly nullable: boolean
  readonly check: (value: Json, loc: Location, draft: Draft) => ReadonlyArray<Issue>
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
  loc: Location,
  given: number,
  min: number,
  max: number,
  show: (bound: number) => string
): ReadonlyArray<Issue> => {
  const outside = (type: string, words: string, name: string, bound: number): ReadonlyArray<Issue> => [{
    type,
    loc,
    msg: `Input should be ${words} than or equal to ${bound}`,
    input: value,
    ctx: `{"${name}":${show(bound)}}`
  }]
  if (!(given >= min)) return outside("greater_than_equal", "greater", "ge", min)
  return given <= max ? none : outside("less_than_equal", "less", "le", max)
}

const intType = (input: Json, loc: Location): ReadonlyArray<Issue> => [
  { type: "int_type", loc, msg: "Input should be a valid integer", input }
]

/** @internal */
export const int = (key: NumberKey, min: number, max: number, nullable: boolean): Field => ({
  required: false,
  nullable,
  check: (value, loc, draft) => {
    if (value._tag !== "Int") return intType(value, loc)
    const given = Number(value.raw)
    draft[key] = given
    return bounded(value, loc, given, min, max, String)
  }
})

/** @internal */
export const number = (key: NumberKey, max: number, nullable: boolean): Field => ({
  required: false,
  nullable,
  check: (value, loc, draft) => {
    const given = value._tag === "Int" ? Number(value.raw) : value._tag === "Float" ? value.value : undefined
    // An integer beyond all floats is none that could be checked.
    if (given === undefined || (value._tag === "Int" && !Number.isFinite(given))) {
      return [{ type: "float_type", loc, msg: "Input should be a valid number", input: value }]
    }
    draft[key] = given
    return bounded(value, loc, given, 0, max, float)
  }
})

const stringType = (input: Json, loc: Location): ReadonlyArray<Issue> => [
  { type: "string_type", loc, msg: "Input should be a valid string", input }
]

/** @internal */
export const text = (key: "prefix" | "suffix", required: boolean): Field => ({
  required,
  nullable: false,
  check: (value, loc, draft) => {
    if (value._tag !== "String") return stringType(value, loc)
    draft[key] = value.value
    return none
  }
})

/** @internal */
export const prompt = (required: boolean): Field => ({
  required,
  nullable: !required,
  check: (value, loc, draft) => {
    if (value._tag === "String") {
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

/** @internal */
export const stream: Field = {
  required: false,
  nullable: false,
  check: (value, loc, draft) => {
    if (value._tag !== "Bool") return [{ type: "bool_type", loc, msg: "Input should be a valid boolean", input: value }]
    draft.stream = value.value
    return none
  }
}

/** @internal */
export const seed: Field = {
  required: false,
  nullable: true,
  check: (value, loc, draft) => {
    if (value._tag !== "Int") return intType(value, loc)
    draft.seed = value.raw
    return none
  }
}
