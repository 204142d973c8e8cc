/**
 * What spans may be told of their end: errors, defects and answers hold the request, with key, prompt and text.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { isRWKVError } from "../../RWKVError.js"
import { property } from "../input/json.js"

/** A failure in our words, without what its error holds: servers repeat prompts in theirs, which messages quote. */
const worded = (error: unknown) =>
  isRWKVError(error)
    ? Object.assign(new Error([error.operation, property(error, "status")].filter(Boolean).join(": ")), {
      name: error._tag
    })
    : `${property(error, "_tag")}: ${property(error, "reason")}`

export const bare = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  Exit.match(exit, {
    onSuccess: () => Exit.void,
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => Cause.isInterrupted(cause) ? Exit.interrupt(FiberId.none) : Exit.die("a defect"),
        onSome: (error) => Exit.fail(worded(error))
      })
  })

/**
 * The end of an operation: what others do while a stream is open is no failure of it.
 *
 * @param failure what it was seen to fail with
 * @param operation whose failures are its own as well, if not all of them were seen
 */
export const ownEnd = (
  operation: string | undefined,
  failure: Cause.Cause<unknown> | undefined,
  exit: Exit.Exit<unknown, unknown>
): Exit.Exit<unknown, unknown> =>
  failure !== undefined
    ? Exit.failCause(failure)
    : Exit.isSuccess(exit) || Cause.isInterrupted(exit.cause) ||
        Option.exists(Cause.failureOption(exit.cause), (error) => isRWKVError(error) && error.operation === operation)
    ? exit
    : Exit.void
