/**
 * The rules of the wire as Schemas whose messages state the rule and never the value: a value may be a prompt.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/** @internal */
export const says = (message: string) => ({ message: () => ({ message, override: true }) })

/** @internal */
export const number = (min: number, max: number): Schema.Schema<number> =>
  Schema.Number.pipe(
    // JSON turns -0 into 0: what was meant by it is unknown.
    Schema.filter((n) => n >= min && n <= max && !Object.is(n, -0)),
    Schema.annotations(says(`must be a number from ${min} to ${max}`))
  )

/** @internal */
export const integer = (min: number, max: number): Schema.Schema<number> =>
  Schema.Number.pipe(
    Schema.filter((n) => Number.isInteger(n) && n >= min && n <= max && !Object.is(n, -0)),
    Schema.annotations(says(`must be an integer from ${min} to ${max}`))
  )

/** @internal */
export const text: Schema.Schema<string> = Schema.String.pipe(
  Schema.filter((s) => s.isWellFormed()),
  Schema.annotations(says("must be text without lone surrogates"))
)

/** @internal */
export const as = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(wireName))

/** A key that may be missing or undefined, and otherwise breaks one rule, not also the rule "must be undefined". */
const undefinedOr = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.UndefinedOr(schema).annotations(
    Option.match(SchemaAST.getMessageAnnotation(schema.ast), {
      onNone: () => ({}),
      onSome: (message) => ({ message })
    })
  )

/** @internal */
export const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(undefinedOr(schema), { exact: true })

/** @internal */
export const optionalAs = <A, I, K extends string>(schema: Schema.Schema<A, I>, wireName: K) =>
  optional(schema).pipe(Schema.fromKey(wireName))

const isTokenId = (u: unknown): u is number =>
  Number.isInteger(u) && Number(u) >= 0 && Number(u) <= 65529 && !Object.is(u, -0)

type Prompt = string | ReadonlyArray<number>

/** One pass over the ids, which may be hundreds of thousands, and the index of the first bad one. */
const checkPrompt = (
  input: unknown,
  _options: SchemaAST.ParseOptions,
  ast: SchemaAST.Declaration
): Either.Either<Prompt, ParseResult.ParseIssue> => {
  const invalid = (message: string) => Either.left(new ParseResult.Type(ast, input, message))
  if (typeof input === "string") {
    if (input.length === 0) return invalid("must not be empty")
    return input.isWellFormed() ? Either.right(input) : invalid("must be text without lone surrogates")
  }
  if (!Array.isArray(input)) return invalid("must be text, or an array of token ids")
  if (input.length === 0) return invalid("must not be empty")
  const ids: Array<number> = []
  for (let i = 0; i < input.length; i++) {
    const id: unknown = input[i]
    if (!isTokenId(id)) {
      const issue = new ParseResult.Type(ast, id, "must be an integer from 0 to 65529")
      return Either.left(new ParseResult.Pointer(i, input, issue))
    }
    ids.push(id)
  }
  return Either.right(ids)
}

/** @internal */
export const prompt: Schema.Schema<Prompt> = Schema.declare([], {
  decode: () => checkPrompt,
  encode: () => checkPrompt
})
