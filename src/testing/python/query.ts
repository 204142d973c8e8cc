/**
 * Query parameters as FastAPI reads them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Issue } from "./issue.js"

const maxLength = 4300

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

/** Unicode's white space, which a byte order mark is none of. */
const trim = (text: string): string => text.replace(/^(?:(?!\ufeff)[\s\u0085])+|(?:(?!\ufeff)[\s\u0085])+$/g, "")

/** Without what Pydantic allows an integer beyond digits: white space, a plus, zeros around, underscores between. */
const digits = (text: string): string | undefined => {
  const match = /^([+-]?)(\d+(?:_\d+)*)(?:\.0+)?$/.exec(trim(text))
  if (match === null) return undefined
  const [, sign = "", number = ""] = match
  return `${sign === "-" ? sign : ""}${number.replaceAll("_", "").replace(/^0+(?=\d)/, "")}`
}

/** @internal */
export const queryInt = (key: string, value: string | undefined): Either.Either<number, ReadonlyArray<Issue>> => {
  if (value === undefined) return Either.right(0)
  const refuse = (type: string, msg: string) =>
    Either.left([{ type, loc: ["query", key], msg, input: { _tag: "String", value } as const }])
  const [begin = ""] = /^-?[1-9]\d*/.exec(value) ?? []
  if (begin.length > maxLength) {
    return refuse("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
  }
  const number = digits(value)
  if (number !== undefined && number.length <= maxLength) return Either.right(Number(number))
  return refuse("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
}
