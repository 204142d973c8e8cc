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

/** Longer prompts, as ids or text, take seconds and gigabytes to copy and send. */
const mostIds = 2 ** 24
const mostUnits = 4 * mostIds
const tooLong = `must not be longer than ${mostUnits} UTF-16 units`

const ruleOf = (text: unknown) => typeof text === "string" && text.length > mostUnits ? tooLong : wellFormed

const maySend = (text: string) => text.length <= mostUnits && text.isWellFormed()

/** Text of a request (H26). */
export const text: Schema.Schema<string> = Schema.String.pipe(
  Schema.filter(maySend, { message: ({ actual }) => ({ message: ruleOf(actual), override: true }) })
)

/** Text of an answer. */
export const received = Schema.String.pipe(
  Schema.filter((s) => s.isWellFormed(), { title: "text without lone surrogates" })
)

export const as = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(wireName))

/** A number that may be unknown: undefined in code, a missing key in JSON. */
export const known = /*#__PURE__*/ Schema.optionalToRequired(
  Schema.Number,
  /*#__PURE__*/ Schema.UndefinedOr(Schema.Number),
  { decode: Option.getOrUndefined, encode: Option.fromNullable }
)

/** A key that may be missing or undefined. For a bad value only the Schema's own message is shown. */
export const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(
    Schema.UndefinedOr(schema).annotations({
      message: Option.getOrThrow(SchemaAST.getMessageAnnotation(schema.ast))
    }),
    { exact: true }
  )

export const optionalAs = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  optional(schema).pipe(Schema.fromKey(wireName))

/** An optional key whose value passes a test, which may throw; its type is as the caller declares it. */
export const option = <A>(test: (value: unknown) => boolean, message = "") => {
  const passes = Option.liftThrowable(test)
  return optional(
    Schema.declare((value): value is A => Option.contains(passes(value), true)).annotations(says(message))
  )
}

/** An optional key with any value, which is checked where it is used. */
export const anything = <A>() => option<A>(constTrue)

type Choice = string | boolean

export const oneOf = <const Choices extends readonly [Choice, ...Array<Choice>]>(...choices: Choices) =>
  optional(Schema.Literal(...choices).annotations(says(`must be one of ${choices.join(", ")}`)))

export const aFunction = <A>() => option<A>(isFunction, "must be a function")

export const aSchedule = <A>() => option<A>(Schedule.isSchedule, "must be a Schedule")

const inVocabulary = isIntegerFrom(0, 65529)

const isTokenId = (u: unknown): u is number => typeof u === "number" && inVocabulary(u)

const empty = "must not be empty"

type Prompt = string | ReadonlyArray<number>

const mayHold = isIntegerFrom(1, mostIds)

/** Copies the ids: a proxy could return others, or another length, when they are sent. */
const checkIds = (input: ReadonlyArray<unknown>, length: unknown, ast: SchemaAST.AST) => {
  if (typeof length !== "number" || !mayHold(length)) {
    return ParseResult.fail(new ParseResult.Type(ast, input, `must not hold more than ${mostIds} token ids`))
  }
  const ids: Array<number> = []
  for (let index = 0; index < length; index++) {
    const id = input[index]
    if (!isTokenId(id)) {
      const issue = new ParseResult.Type(ast, id, "must be an integer from 0 to 65529")
      return ParseResult.fail(new ParseResult.Pointer(index, input, issue))
    }
    ids.push(id)
  }
  return ParseResult.succeed(ids)
}

/** Names the index of the first bad id. The text itself is never in the message. */
const readPrompt = Option.liftThrowable((input: unknown, ast: SchemaAST.AST) => {
  const invalid = (message: string) => ParseResult.fail(new ParseResult.Type(ast, input, message))
  if (typeof input === "string") {
    return input === "" ? invalid(empty) : maySend(input) ? ParseResult.succeed(input) : invalid(ruleOf(input))
  }
  if (!Array.isArray(input)) return invalid("must be text, or an array of token ids")
  const length: unknown = input.length
  return length === 0 ? invalid(empty) : checkIds(input, length, ast)
})

const checkPrompt = (input: unknown, _options: SchemaAST.ParseOptions, ast: SchemaAST.Declaration) =>
  Option.getOrElse(readPrompt(input, ast), () => ParseResult.fail(new ParseResult.Type(ast, input, "cannot be read")))

export const prompt: Schema.Schema<Prompt> = Schema.declare<Prompt, Prompt, []>([], {
  decode: () => checkPrompt,
  encode: () => checkPrompt
})
