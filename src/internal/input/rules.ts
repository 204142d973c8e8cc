/**
 * The rules of the wire as Schemas whose messages state the rule and never the value: a value may be a prompt.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/** @internal */
export const says = (message: string) => ({ message: () => ({ message, override: true }) })

const from = (min: number, max: number) => (n: number): boolean =>
  // JSON turns -0 into 0: what was meant by it is unknown.
  n >= min && n <= max && !Object.is(n, -0)

/** @internal */
export const number = (min: number, max: number): Schema.Schema<number> =>
  Schema.Number.pipe(Schema.filter(from(min, max), says(`must be a number from ${min} to ${max}`)))

/** @internal */
export const integer = (min: number, max: number): Schema.Schema<number> => {
  const within = from(min, max)
  return Schema.Number.pipe(
    Schema.filter((n) => Number.isInteger(n) && within(n), says(`must be an integer from ${min} to ${max}`))
  )
}

const wellFormed = "must be text without lone surrogates"

/** @internal */
export const text: Schema.Schema<string> = Schema.String.pipe(
  Schema.filter((s) => s.isWellFormed(), says(wellFormed))
)

/** @internal */
export const as = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(wireName))

/**
 * A key that may be missing or undefined, and otherwise breaks the one rule that the Schema states, not also the rule "must be
 * undefined".
 *
 * @internal
 */
export const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(
    Schema.UndefinedOr(schema).annotations({
      message: Option.getOrThrow(SchemaAST.getMessageAnnotation(schema.ast))
    }),
    { exact: true }
  )

/** @internal */
export const optionalAs = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  optional(schema).pipe(Schema.fromKey(wireName))

const inVocabulary = from(0, 65529)

const isTokenId = (u: unknown): u is number => typeof u === "number" && Number.isInteger(u) && inVocabulary(u)

type Prompt = string | ReadonlyArray<number>

/** The message tells the index of the first bad id, never the text. */
const checkPrompt = (input: unknown, _options: SchemaAST.ParseOptions, ast: SchemaAST.Declaration) => {
  const invalid = (message: string) => ParseResult.fail(new ParseResult.Type(ast, input, message))
  const isText = typeof input === "string"
  if (!isText && !Array.isArray(input)) return invalid("must be text, or an array of token ids")
  if (input.length === 0) return invalid("must not be empty")
  if (isText) return input.isWellFormed() ? ParseResult.succeed(input) : invalid(wellFormed)
  const ids: ReadonlyArray<unknown> = Array.from(input)
  if (ids.every(isTokenId)) return ParseResult.succeed(ids)
  const index = ids.findIndex((id) => !isTokenId(id))
  const issue = new ParseResult.Type(ast, ids[index], "must be an integer from 0 to 65529")
  return ParseResult.fail(new ParseResult.Pointer(index, input, issue))
}

/** @internal */
export const prompt: Schema.Schema<Prompt> = Schema.declare<Prompt, Prompt, []>([], {
  decode: () => checkPrompt,
  encode: () => checkPrompt
})
