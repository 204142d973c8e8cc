/**
 * The server's rules for tasks that exist, kept before it breaks them: it fails with a bare 500 where it should refuse,
 * and some of those failures destroy the text of the task they were asked about.
 */
import * as Effect from "effect/Effect"
import type * as HttpClient from "../../HttpClient.js"
import { type RWKVServerError, TaskBusyError, type TaskFailure, UnsupportedByServerError } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import * as Ledger from "../owner/ledger.js"
import * as retry from "../wire/retry.js"
import { settled } from "./settle.js"
import * as validate from "../input/validate.js"

export const isTemplate = (id: string): boolean => id.startsWith("_")

export type Preconditions = ReturnType<typeof make>

export const make = (http: HttpClient.Service, ledger: Ledger.Service, schedule: retry.Source) => {
  const reads = retry.reads(schedule)

  const busy = (operation: string, id: string) =>
    Effect.flatMap(
      reads(http.status(id, { operation })),
      ({ generatedTokens, status }) =>
        status === "Finished"
          ? Effect.succeed(generatedTokens === 0)
          : Effect.fail(new TaskBusyError({ operation, taskId: id, status }))
    )

  /** A server that cannot use templates answers 500 to a request for a template's result (H16). */
  const template = (operation: string, id: string) =>
    reads(Effect.mapError(
      http.result(id, { operation }),
      (error) =>
        error._tag === "RWKVServerError" && error.status === 500
          ? new UnsupportedByServerError({ operation, taskId: id, feature: "templates" })
          : error
    ))

  return {
    template,
    /** Refuses to go on past a stop sequence: the server's state has text that the caller was not given. */
    mayGoOn: (operation: string, id: string, allowPastStop = false) =>
      allowPastStop || !ledger.pastStop.has(id) ? Effect.void : Effect.fail(
        validate.invalid(operation, "allowPastStop", "must be true to go on from a state past a stop sequence")
      ),
    /**
     * Fails if the task still runs, or is a template that this server cannot use. True if it has no tokens: its next
     * run may then end in silence (H4).
     */
    ready: (operation: string, id: string) =>
      Effect.flatMap(
        validate.taskId(operation, id),
        (taskId): Effect.Effect<boolean, TaskFailure | TaskBusyError | UnsupportedByServerError> =>
          isTemplate(taskId) ? Effect.as(template(operation, taskId), false) : busy(operation, taskId)
      ),
    /** Keeps the text of a task that is about to be forked, for forks overwrite their source's buffer (H15). */
    preserve: (operation: string, id: string, group: Ledger.Group) =>
      group.lock.withPermits(1)(Effect.suspend(() =>
        isTemplate(id) || ledger.recordings.get(id) !== undefined
          ? Effect.void
          : Effect.map(
            settled(reads(http.result(id, { operation })), ledger.limits.get(id), http.status(id, { operation })),
            (result) => {
              ledger.recordings.set(id, Ledger.recordingOf(result))
            }
          )
      )),
    /** Finds out whether a 500 of `continue` or `fork` means a busy task (H20). */
    explain: (error: RWKVServerError, id: string): Effect.Effect<never, RWKVServerError | TaskBusyError> =>
      error.status !== 500
        ? Effect.fail(error)
        : Effect.matchEffect(busy(error.operation, id), {
          // A 500 may have changed the task, so a repetition is not safe.
          onFailure: (found) => Effect.fail(found._tag === "TaskBusyError" ? begun(found) : error),
          onSuccess: () => Effect.fail(error)
        })
  }
}
