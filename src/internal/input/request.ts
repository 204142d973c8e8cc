/**
 * Requests and options from a caller: each value read once, completed by defaults, and checked by a Schema.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { RWKVValidationError } from "../../RWKVError.js"
import { excerpt } from "./excerpt.js"
import { isRecord } from "./json.js"
import { nearest } from "./nearest.js"
import { effective, type Override } from "./override.js"
import { attempt, invalid } from "./validate.js"

/** The most keys of an object: far more than are known, few enough to name each unknown one. */
const mostKeys = 100

/** A path for messages, shortened because a key may be any text of the caller. */
const pathOf = (...parts: ReadonlyArray<PropertyKey>) =>
  excerpt(parts.filter((part) => part !== "").map(String).join("."))

/**
 * Copies an object, so that each getter runs once; a key whose getter throws is named. An undefined value counts as not
 * given, so that it hides no default.
 */
const read = <A>(
  operation: string,
  input: A,
  at = ""
): Effect.Effect<A & Record<string, unknown>, RWKVValidationError> =>
  attempt(operation, at, () => {
    if (!isRecord(input)) return Either.left(invalid(operation, at, "must be an object of options"))
    if (Reflect.ownKeys(input).length > mostKeys) {
      return Either.left(invalid(operation, at, `must not have more than ${mostKeys} fields`))
    }
    const copy = { ...input }
    for (const key of Object.keys(copy)) if (copy[key] === undefined) delete copy[key]
    return Either.right(copy)
  }).pipe(
    Effect.tapError(() =>
      Effect.flatMap(
        attempt(operation, at, () => isRecord(input) ? Object.keys(input) : []),
        Effect.forEach((key) => attempt(operation, pathOf(at, key), () => isRecord(input) && input[key]))
      )
    ),
    Effect.flatten
  )

/** Adds to a request the defaults that are in force for its fiber. */
export const withDefaults = <A extends object>(
  operation: string,
  settings: Override,
  request: A
): Effect.Effect<A, RWKVValidationError> =>
  Effect.zipWith(effective(settings), read(operation, request), ({ defaults }, given) => ({ ...defaults, ...given }))

/** How many unknown names get a suggestion: each costs a comparison with all known ones. */
const mostCompared = 20

const issuesOf = (error: ParseResult.ParseIssue, known: ReadonlyArray<string>, at: string) =>
  ParseResult.ArrayFormatter.formatIssueSync(error).map(({ _tag, message, path }, index) => {
    if (_tag !== "Unexpected") return { path: pathOf(at, ...path), message: excerpt(message) }
    // `known` has the names of the outer object only.
    if (path.length > 1) return { path: pathOf(at, ...path), message: "is an unknown field" }
    const meant = index < mostCompared ? nearest(String(path.at(-1)), known) : undefined
    const advice = meant === undefined ? `the options are ${known.join(", ")}` : `did you mean ${meant}?`
    return { path: pathOf(at, ...path), message: excerpt(`is an unknown option: ${advice}`) }
  })

/** Encodes strictly (H27). `at` is the path of `input` in what the caller gave. */
export const encoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = ParseResult.encodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  const known = () => SchemaAST.getPropertySignatures(SchemaAST.typeAST(schema.ast)).map(({ name }) => String(name))
  return (operation: string, input: unknown, at = ""): Effect.Effect<I, RWKVValidationError> =>
    Effect.flatMap(read(operation, input, at), (given) =>
      Effect.flatten(attempt(operation, at, () =>
        Either.mapLeft(
          encode(given),
          (error) => new RWKVValidationError({ operation, source: "client", issues: issuesOf(error, known(), at) })
        ))))
}
