/**
 * From whatever a caller passed to a request that may be sent, or to a typed failure.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TaskId } from "../../Protocol.js"
import { RWKVValidationError } from "../../RWKVError.js"
import { excerpt } from "../wire/failure.js"
import { isRecord } from "./json.js"

/** @internal */
export const invalid = (operation: string, path: string, message: string): RWKVValidationError =>
  new RWKVValidationError({ operation, source: "client", issues: [{ path, message }] })

const issuesOf = (error: ParseResult.ParseIssue): ReadonlyArray<{ readonly path: string; readonly message: string }> =>
  ParseResult.ArrayFormatter.formatIssueSync(error).map(({ message, path }) => ({
    // What names a key is the caller's own text.
    path: excerpt(path.join(".")),
    message: excerpt(message)
  }))

const at = (path: string, message: string) => path === "" ? message : `${path}: ${message}`

/**
 * Where an answer is not what the protocol says, and what was due there. What was found instead is nobody's business: it may
 * be a secret that a proxy repeats, or nested too deeply to be printed.
 *
 * @internal
 */
export const breach = (issue: ParseResult.ParseIssue, path = ""): string => {
  switch (issue._tag) {
    case "Pointer":
      return breach(issue.issue, [path, issue.path].flat().filter((part) => part !== "").map(String).join("."))
    case "Composite":
      return [issue.issues].flat().slice(0, 1).map((first) => breach(first, path)).join("")
    case "Refinement":
    case "Transformation":
      return breach(issue.issue, path)
    case "Type":
      return at(path, issue.message ?? `expected ${issue.ast._tag === "TypeLiteral" ? "an object" : issue.ast}`)
    default:
      return at(path, `is ${issue._tag.toLowerCase()}`)
  }
}

/** Explicit undefined means "not given": it does not hide a default. */
const merge = (defaults: object, input: object) => ({
  ...defaults,
  ...Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
})

/** @internal */
export const noOptions = (operation: string): Either.Either<never, RWKVValidationError> =>
  Either.left(invalid(operation, "", "must be an object of options"))

/**
 * Code that is not ours may run, and fail, whenever a value is read: getters, proxies, wiped secrets.
 *
 * @internal
 */
export const attempt = <A>(operation: string, path: string, read: () => A): Effect.Effect<A, RWKVValidationError> =>
  Effect.try({ try: read, catch: () => invalid(operation, path, "cannot be read") })

/**
 * Encodes a request strictly.
 *
 * @internal
 */
export const encoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = ParseResult.encodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  return (operation: string, input: unknown, defaults: object = {}): Effect.Effect<I, RWKVValidationError> =>
    Effect.flatten(attempt(operation, "", () =>
      isRecord(input)
        ? Either.mapLeft(
          encode(merge(defaults, input)),
          (error) => new RWKVValidationError({ operation, source: "client", issues: issuesOf(error) })
        )
        : noOptions(operation)))
}

const isTaskId = Schema.is(TaskId)

/** @internal */
export const taskId = (operation: string, id: unknown): Effect.Effect<TaskId, RWKVValidationError> =>
  isTaskId(id)
    ? Effect.succeed(id)
    : Effect.fail(invalid(operation, "taskId", "must be 1 to 256 letters, digits, \"_\", \"-\", \".\" or \"~\""))

/** @internal */
export const duration = (
  operation: string,
  path: string,
  input: unknown,
  otherwise: Duration.DurationInput
): Effect.Effect<Duration.Duration, RWKVValidationError> => {
  const refuse = () => Effect.fail(invalid(operation, path, "must be a duration"))
  if (input === undefined) return Effect.succeed(Duration.decode(otherwise))
  // Duration takes a number that is not a length of time for none at all.
  if (typeof input === "number" && !(input >= 0)) return refuse()
  return Option.match(Duration.decodeUnknown(input), { onNone: refuse, onSome: Effect.succeed })
}

/** @internal */
export const integer = (
  operation: string,
  path: string,
  input: unknown
): Effect.Effect<number, RWKVValidationError> =>
  typeof input === "number" && Number.isSafeInteger(input)
    ? Effect.succeed(input)
    : Effect.fail(invalid(operation, path, "must be an integer"))

/**
 * A request with the configuration's defaults for what it does not give. Its own validation comes later.
 *
 * @internal
 */
export const withDefaults = <A extends object>(
  operation: string,
  defaults: object,
  request: A
): Effect.Effect<A, RWKVValidationError> =>
  attempt(operation, "", () => isRecord(request) ? { ...request, ...merge(defaults, request) } : request)

/**
 * What an option has to be, and how to say so. Durations and numbers are checked where they are read.
 *
 * @internal
 */
export interface OptionRule {
  readonly is: (value: unknown) => boolean
  readonly says: string
}

/** @internal */
export const anything: OptionRule = { is: () => true, says: "" }

/** @internal */
export const aFunction: OptionRule = { is: (value) => typeof value === "function", says: "must be a function" }

/** @internal */
export const aSchedule: OptionRule = { is: Schedule.isSchedule, says: "must be a Schedule" }

/** @internal */
export const oneOf = (...choices: ReadonlyArray<unknown>): OptionRule => ({
  is: (value) => choices.includes(value),
  says: `must be one of ${choices.join(", ")}`
})

/**
 * The options that a caller without types gave, each by its rule; what is no object gives none.
 *
 * @internal
 */
export const given = <A extends object>(
  operation: string,
  options: A | undefined,
  rules: { readonly [K in keyof Required<A>]: OptionRule }
): Effect.Effect<Partial<A>, RWKVValidationError> => {
  const known = new Map<string, OptionRule>(Object.entries(rules))
  return Effect.flatten(attempt(operation, "", () => {
    if (!isRecord(options)) return Either.right({})
    const unknown = Object.keys(options).find((key) => !known.has(key))
    if (unknown !== undefined) return Either.left(invalid(operation, excerpt(unknown), "is unexpected"))
    const chosen = { ...options }
    for (const [key, rule] of known) {
      if (chosen[key] === undefined) delete chosen[key]
      else if (!rule.is(chosen[key])) return Either.left(invalid(operation, key, rule.says))
    }
    return Either.right(chosen)
  }))
}
