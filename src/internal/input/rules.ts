/**
 * Rules as Schemas. Their messages state the rule and never the value, which may be a prompt.
 */
import { constTrue } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import { isFunction } from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

export const idRule = "must be 1 to 256 letters, digits, \"_\", \"-\", \".\" or \"~\""

export const says = (message: string) => ({ message: () => ({ message, override: true }) })

const from = (min: number, max: number) => (n: number): boolean =>
  // JSON turns -0 into 0, so the server would see another number.
  n >= min && n <= max && !Object.is(n, -0)

export const number = (min: number, max: number): Schema.Schema<number> =>
  Schema.Number.pipe(Schema.filter(from(min, max), says(`must be a number from ${min} to ${max}`)))

const isIntegerFrom = (min: number, max: number) => {
  const within = from(min, max)
  return (n: number) => Number.isInteger(n) && within(n)
}

export const integer = (min: number, max: number): Schema.Schema<number> =>
  Schema.Number.pipe(Schema.filter(isIntegerFrom(min, max), says(`must be an integer from ${min} to ${max}`)))

const wellFormed = "must be text without lone surrogates"

export const text: Schema.Schema<string> = Schema.String.pipe(
  Schema.filter((s) => s.isWellFormed(), says(wellFormed))
)

export const as = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(wireName))

/** A key that may be missing or undefined. A bad value is told by the Schema's own message alone. */
export const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(
    Schema.UndefinedOr(schema).annotations({
      message: Option.getOrThrow(SchemaAST.getMessageAnnotation(schema.ast))
    }),
    { exact: true }
  )

export const optionalAs = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  optional(schema).pipe(Schema.fromKey(wireName))

/** An optional key whose value passes a test; its type is as the caller declares it. */
export const option = <A>(test: (value: unknown) => boolean, message = "") =>
  optional(Schema.declare((value): value is A => test(value)).annotations(says(message)))

/** An optional key that is checked where it is read. */
export const anything = <A>() => option<A>(constTrue)

type Choice = string | boolean

export const oneOf = <const Choices extends readonly [Choice, ...Array<Choice>]>(...choices: Choices) =>
  optional(Schema.Literal(...choices).annotations(says(`must be one of ${choices.join(", ")}`)))

export const aFunction = <A>() => option<A>(isFunction, "must be a function")

export const aSchedule = <A>() => option<A>(Schedule.isSchedule, "must be a Schedule")

const inVocabulary = isIntegerFrom(0, 65529)

const isTokenId = (u: unknown): u is number => typeof u === "number" && inVocabulary(u)

/** It takes seconds and gigabytes to copy and to send a longer list. */
const mostIds = 2 ** 24

type Prompt = string | ReadonlyArray<number>

/** Names the index of the first bad id. The text itself is never in the message. */
const checkPrompt = (input: unknown, _options: SchemaAST.ParseOptions, ast: SchemaAST.Declaration) => {
  const invalid = (message: string) => ParseResult.fail(new ParseResult.Type(ast, input, message))
  const isText = typeof input === "string"
  if (!isText && !Array.isArray(input)) return invalid("must be text, or an array of token ids")
  if (input.length === 0) return invalid("must not be empty")
  if (isText) return input.isWellFormed() ? ParseResult.succeed(input) : invalid(wellFormed)
  if (!(input.length <= mostIds)) return invalid(`must not hold more than ${mostIds} token ids`)
  // A copy, because a proxy could hold other ids by the time it is sent.
  const ids: ReadonlyArray<unknown> = Array.from(input)
  if (ids.every(isTokenId)) return ParseResult.succeed(ids)
  const index = ids.findIndex((id) => !isTokenId(id))
  const issue = new ParseResult.Type(ast, ids[index], "must be an integer from 0 to 65529")
  return ParseResult.fail(new ParseResult.Pointer(index, input, issue))
}

export const prompt: Schema.Schema<Prompt> = Schema.declare<Prompt, Prompt, []>([], {
  decode: () => checkPrompt,
  encode: () => checkPrompt
})
