/**
 * How a run is parted from: what its task is told when the run has ended, when its text has ended before it, or when it
 * is left; and how many tokens it had, which the answer to the deletion says, or else one question.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import type { TaskFailure } from "../../RWKVError.js"
import { isFinished } from "../owner/farewell.js"
import * as Ledger from "../owner/ledger.js"
import { within } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import { settled } from "./settle.js"
import type { Concluded } from "./signals.js"

export type How = "finished" | "cut" | "left"

export type Parting = ReturnType<ReturnType<typeof make>>

export interface About {
  readonly operation: string
  readonly taskId: TaskId
  readonly maxTokens: number | undefined
  readonly stopTimeout: Duration.Duration
  readonly retry: retry.Source
  /** Whether a run that is left goes on. */
  readonly stays: () => boolean
  /** Whether the task is deleted when nobody needs it any more. */
  readonly deletes: boolean
  /** Whether an owner wants the task after this run. It is asked when the run is left, and if not, deletes too. */
  readonly keeps?: (() => boolean) | undefined
  /** Whether a result is told. */
  readonly counts: boolean
  /** The run, if others may write to its buffer (H15). */
  readonly run?: Ledger.Run | undefined
}

/** The tokens of a run that has ended, if its task says so. */
export const counted = (status: Effect.Effect<TaskInfo, TaskFailure>): Effect.Effect<number | undefined, TaskFailure> =>
  Effect.map(status, (info) => isFinished(info) ? info.generatedTokens : undefined)

export const make = (http: HttpClient.Service, ledger: Ledger.Service) => (about: About) => {
  const { counts, deletes, keeps, operation, run, stays, stopTimeout, taskId } = about
  const over = Deferred.unsafeMake<TaskInfo | undefined>(FiberId.none)
  const fate = ledger.fate(taskId)
  let result: TaskResult | undefined

  const read = Effect.map(
    settled(
      retry.polls(about.retry)(http.result(taskId, { operation })),
      about.maxTokens,
      http.status(taskId, { operation })
    ),
    (read) => {
      result = read
    }
  )
  const isAlone = () => run === undefined ? !ledger.sharing.has(taskId) : run.alone()
  const nobody = () => Effect.succeed<number | undefined>(undefined)

  /** Counted after the last tokens were stored, which is when the result is settled (H31). */
  const tokens = (finished: boolean) =>
    Effect.flatMap(
      finished && !deletes ? nobody() : Effect.map(Deferred.await(over), (info) => info?.generatedTokens),
      (tokens) =>
        deletes || tokens !== undefined || !isAlone()
          ? Effect.succeed(tokens)
          : counted(http.status(taskId, { operation }))
    )

  return {
    deletes,
    /** Whether this program has stopped the run: its time may be missing for ever (H6). */
    isStopped: () => ledger.stopped.has(taskId),
    farewell: (how: How, after?: Effect.Effect<unknown>): Effect.Effect<void> => {
      const stop = how === "cut" || how === "left" && !stays()
      return ledger.lifetime.release({
        operation,
        taskId,
        maxTokens: about.maxTokens,
        retry: about.retry,
        within: stopTimeout,
        after,
        stop,
        fate,
        delete: (deletes || keeps?.() === false) && (stop || how === "finished"),
        between: how === "cut" && counts ? Effect.ignore(read) : undefined,
        over
      })
    },
    /** What is known of a run that has ended, or was cut; never for longer than a stop may take. */
    conclude: (finished: TaskResult | undefined): Effect.Effect<Concluded> => {
      const known = within(
        ledger.lifetime.unlessClosing(tokens(finished !== undefined), operation),
        stopTimeout,
        nobody
      )
      return Effect.map(Effect.option(counts ? known : nobody()), (tokens) => ({
        result: finished ?? result,
        tokens: isAlone() ? Option.getOrUndefined(tokens) : undefined,
        stopped: ledger.stopped.has(taskId),
        requestId: ledger.requestIds.get(taskId)
      }))
    },
    /** The state of a task that is kept is past the end of its text. */
    cut: (): void => {
      if (!deletes) ledger.pastStop.set(taskId, true)
    },
    /** Of a text that a stop sequence has ended only this program knows the end. */
    keep: (result: TaskResult): void => {
      if (!deletes && result.finishReason === "stop-sequence") ledger.recordings.set(taskId, Ledger.recordingOf(result))
    }
  }
}
