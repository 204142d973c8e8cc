/**
 * Checks single values from a caller. A message states the rule and never the value.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TaskId } from "../../Protocol.js"
import { RWKVValidationError } from "../../RWKVError.js"
import { idRule } from "./rules.js"

export const invalid = (operation: string, path: string, message: string): RWKVValidationError =>
  new RWKVValidationError({ operation, source: "client", issues: [{ path, message }] })

/** The same refusal under another operation's name; `place` maps its paths to that operation's. */
export const relabelled =
  (operation: string, place: (path: string) => string = identity) => ({ issues }: RWKVValidationError) =>
    new RWKVValidationError({
      operation,
      source: "client",
      issues: issues.map(({ message, path }) => ({ path: place(path), message }))
    })

/** Runs a read that may throw: of a getter, a proxy, a wiped secret. */
export const attempt = <A>(operation: string, path: string, read: () => A): Effect.Effect<A, RWKVValidationError> =>
  Effect.try({ try: read, catch: () => invalid(operation, path, "cannot be read") })

/** Calls a function of the caller, which may throw, and may return anything. */
export const callback =
  <A>(operation: string, path: string, call: ((value: A) => Effect.Effect<void>) | undefined) =>
  (value: A): Effect.Effect<void, RWKVValidationError> =>
    call === undefined ? Effect.void : Effect.flatten(Effect.try({
      try: () => {
        const returned = call(value)
        return Effect.isEffect(returned)
          ? Effect.mapError(returned, () => invalid(operation, path, "must not fail"))
          : Effect.fail(invalid(operation, path, "must return an Effect"))
      },
      catch: () => invalid(operation, path, "must not throw")
    }))

export const isTaskId = Schema.is(TaskId)

export const taskId = (operation: string, id: unknown): Effect.Effect<TaskId, RWKVValidationError> =>
  isTaskId(id) ? Effect.succeed(id) : Effect.fail(invalid(operation, "taskId", idRule))

const decodeDuration = Option.liftThrowable(Duration.decodeUnknown)

export const duration = (
  operation: string,
  path: string,
  input: unknown,
  otherwise: Duration.DurationInput
): Effect.Effect<Duration.Duration, RWKVValidationError> => {
  const given = input === undefined ? otherwise : input
  // Duration reads NaN and negative numbers as zero, and objects may throw.
  const known = typeof given === "number" && !(given >= 0) ? Option.none() : Option.flatten(decodeDuration(given))
  return Effect.mapError(known, () => invalid(operation, path, "must be a duration"))
}

export const integer = (operation: string, path: string, input: unknown): Effect.Effect<number, RWKVValidationError> =>
  typeof input === "number" && Number.isSafeInteger(input)
    ? Effect.succeed(input)
    : Effect.fail(invalid(operation, path, "must be an integer"))
