/**
 * Query parameters as FastAPI reads them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Issue } from "./issue.js"

const encoder = new TextEncoder()
const maxBytes = 4300

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
  const refuse = (type: string, msg: string) =>
    Either.left([{ type, loc: ["query", key], msg, input: { _tag: "String", value } as const }])
  if (encoder.encode(value).length > maxBytes) {
    return refuse("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
  }
  const trimmed = value.trim()
  if (/^[+-]?\d+(_\d+)*(\.0+)?$/.test(trimmed)) return Either.right(Number(trimmed.replaceAll("_", "")))
  return refuse("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
}
