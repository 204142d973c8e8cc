/**
 * The rule of stop sequences, as a Schema.
 */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { says } from "./rules.js"

const most = 16
const longest = 256

const isSequence = (u: unknown): u is string =>
  typeof u === "string" && u.length >= 1 && u.length <= longest && u.isWellFormed()

const check = (input: unknown, _options: SchemaAST.ParseOptions, ast: SchemaAST.Declaration) => {
  // Copied, because a proxy could return others later; one more than allowed, to notice too many.
  const copy: ReadonlyArray<unknown> = Array.from(Array.isArray(input) ? input.slice(0, most + 1) : [])
  return copy.length >= 1 && copy.length <= most && copy.every(isSequence)
    ? ParseResult.succeed(copy)
    : ParseResult.fail(new ParseResult.Type(ast, input))
}

type Sequences = ReadonlyArray<string>

export const sequences: Schema.Schema<Sequences> = Schema.declare<Sequences, Sequences, []>([], {
  decode: () => check,
  encode: () => check
}).annotations(
  says(`must be 1 to ${most} texts of 1 to ${longest} UTF-16 units each, without lone surrogates`)
)
