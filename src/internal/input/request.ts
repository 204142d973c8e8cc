/**
 * Whole objects that a caller gave, requests and options: read once, completed, and checked by their Schema.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import { RWKVValidationError } from "../../RWKVError.js"
import { excerpt } from "./excerpt.js"
import { isRecord } from "./json.js"
import { attempt, invalid } from "./validate.js"

/** Far more than there are, and few enough to name each that is unknown. */
const mostKeys = 100

/**
 * Copies an object, whose getters may run code of others: each value is read once, and one that throws is named. An
 * undefined value means "not given", so that it hides no default.
 */
const read = <A>(operation: string, input: A): Effect.Effect<A & Record<string, unknown>, RWKVValidationError> =>
  attempt(operation, "", () => {
    if (!isRecord(input)) return Either.left(invalid(operation, "", "must be an object of options"))
    if (Reflect.ownKeys(input).length > mostKeys) {
      return Either.left(invalid(operation, "", `must not have more than ${mostKeys} fields`))
    }
    const copy = { ...input }
    for (const key of Object.keys(copy)) if (copy[key] === undefined) delete copy[key]
    return Either.right(copy)
  }).pipe(
    Effect.tapError(() =>
      Effect.flatMap(
        attempt(operation, "", () => isRecord(input) ? Object.keys(input) : []),
        Effect.forEach((key) => attempt(operation, excerpt(key), () => isRecord(input) && input[key]))
      )
    ),
    Effect.flatten
  )

/** Completes a request by the configuration's defaults. */
export const withDefaults = <A extends object>(
  operation: string,
  defaults: object,
  request: A
): Effect.Effect<A, RWKVValidationError> => Effect.map(read(operation, request), (given) => ({ ...defaults, ...given }))

const issuesOf = (error: ParseResult.ParseIssue) =>
  ParseResult.ArrayFormatter.formatIssueSync(error).map(({ message, path }) => ({
    // The path may hold a key that the caller made up.
    path: excerpt(path.map(String).join(".")),
    message: excerpt(message)
  }))

/** Encodes a request strictly. */
export const encoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = ParseResult.encodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  return (operation: string, input: unknown): Effect.Effect<I, RWKVValidationError> =>
    Effect.flatMap(read(operation, input), (given) =>
      Effect.flatten(attempt(operation, "", () =>
        Either.mapLeft(
          encode(given),
          (error) => new RWKVValidationError({ operation, source: "client", issues: issuesOf(error) })
        ))))
}
