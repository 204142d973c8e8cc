/**
 * Stops, deletes or keeps a run's task when the run has ended, was cut by a stop sequence, or is left. Also counts the
 * run's tokens, by the answer to the deletion or else by one status.
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
  /** Whether the task runs on when the run is left. */
  readonly stays: () => boolean
  /** Whether the task is deleted when nobody needs it any more. */
  readonly deletes: boolean
  /** Whether an owner wants the task after this run: asked when the run is left, which otherwise deletes the task. */
  readonly keeps?: (() => boolean) | undefined
  /** Whether the caller gets a result, whose tokens are counted. */
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
  const notCounted = () => Effect.succeed<number | undefined>(undefined)

  /** Counted after the last tokens were stored, which is when the result is settled (H31). */
  const tokens = (finished: boolean) =>
    Effect.flatMap(
      finished && !deletes ? notCounted() : Effect.map(Deferred.await(over), (info) => info?.generatedTokens),
      (tokens) =>
        deletes || tokens !== undefined || !isAlone()
          ? Effect.succeed(tokens)
          : counted(http.status(taskId, { operation }))
    )

  return {
    deletes,
    /** Whether this program has stopped the run, whose generation time may then never come (H6). */
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
        over,
        onEnded: run?.leave
      })
    },
    /** What is known of a run that has ended, or was cut, after at most `stopTimeout`. */
    conclude: (finished: TaskResult | undefined): Effect.Effect<Concluded> => {
      const known = within(
        ledger.lifetime.unlessClosing(tokens(finished !== undefined), operation),
        stopTimeout,
        notCounted
      )
      return Effect.map(Effect.option(counts ? known : notCounted()), (tokens) => ({
        result: finished ?? result,
        tokens: isAlone() ? Option.getOrUndefined(tokens) : undefined,
        stopped: ledger.stopped.has(taskId),
        requestId: ledger.requestIds.get(taskId)
      }))
    },
    /** Marks a kept task: the server's state is past the end of the text that was told. */
    cut: (): void => {
      if (!deletes) ledger.pastStop.set(taskId, true)
    },
    /** Records a text that a stop sequence has ended: the server does not know its end. */
    keep: (result: TaskResult): void => {
      if (!deletes && result.finishReason === "stop-sequence") ledger.recordings.set(taskId, Ledger.recordingOf(result))
    }
  }
}
