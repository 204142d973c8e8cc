/**
 * What becomes of a task that nobody follows any more: it is stopped, looked at until it has ended, and deleted then.
 * The steps are a table in docs/architecture.md.
 *
 * A stop can miss, and stays missed when its task has moved (H29): one more helps where a flag was erased (H30), and
 * every other one hits whoever runs in that slot now. A task that is deleted while it runs is found by nobody.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskInfo } from "../../Protocol.js"
import { bare } from "../input/failure.js"
import * as retry from "../wire/retry.js"
import { note } from "../wire/telemetry.js"

export interface Farewell {
  readonly operation: string
  readonly taskId: TaskId
  /** Whether the task may be running. */
  readonly stop?: boolean
  /** Whether it is deleted, once it has ended. */
  readonly delete?: boolean
  /** The most tokens that the run can have, if that is known. */
  readonly maxTokens?: number | undefined
  readonly retry: retry.Source
  /** What this program has seen of the task's end meanwhile. */
  readonly fate?: (() => Fate) | undefined
  /** What is asked for between the end of a task that was stopped and its deletion. */
  readonly between?: Effect.Effect<unknown> | undefined
  /** Hears that a task which was stopped has ended, or is gone. */
  readonly onEnded?: (() => void) | undefined
  /** Hears once when all is over: the answer to the deletion, if there was one. */
  readonly over?: Deferred.Deferred<TaskInfo | undefined> | undefined
}

/** The end of a task as this program saw it, if it did. */
export type Fate = "finished" | "deleted" | undefined

/** What is known of a task; nothing if the server did not say. */
type Seen = TaskInfo | undefined

export const isFinished = (seen: Seen): boolean => seen?.status === "Finished"

/** Looks again as often as the schedule says, and until the task has ended. */
export const looking = <A extends Seen, E>(
  seen: A,
  look: Effect.Effect<A, E>,
  schedule: Schedule.Schedule<unknown, A>
): Effect.Effect<A, E> =>
  Effect.scheduleFrom(look, seen, Schedule.passthrough(Schedule.whileInput(schedule, (seen: A) => !isFinished(seen))))

/** Stops a task and looks until it has ended; once more if it has not (H29, H30). */
export const halt = <A extends Seen, E, E2>(
  stop: Effect.Effect<A, E>,
  look: Effect.Effect<A, E2>,
  schedule: Schedule.Schedule<unknown, A>
): Effect.Effect<A, E | E2> =>
  Effect.zipRight(
    note(({ stopping }) => stopping()),
    Effect.flatMap(stop, (seen) => looking(seen, look, schedule))
  ).pipe(
    Effect.tap((seen) => isFinished(seen) ? Effect.void : note(({ stopMissed }) => stopMissed())),
    Effect.repeat({ until: isFinished, times: 1 })
  )

/** A second and a half, a few times as long as the pulse in which a stop has its effect. */
const soon = Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(4)))

const later = Schedule.union(Schedule.exponential("1 second"), Schedule.spaced("1 minute"))

const beforeTheEnd = Schedule.spaced("250 millis")

/** Requests of one kind that are under way at once: neither sockets nor the server are flooded when many tasks end. */
const atOnce = 64

const queuesOfOne = () => ({
  asking: Effect.unsafeMakeSemaphore(atOnce).withPermits(1),
  deleting: Effect.unsafeMakeSemaphore(atOnce).withPermits(1)
})

/** What the owner logs, from whichever fiber. */
export const logged = Effect.annotateLogs({ package: "effect-rwkv" })

/** @param closing completes when the service begins to end */
export const make = (http: HttpClient.Service, closing: Effect.Effect<void>, hostOf: (taskId: string) => string) => {
  /** By server: a slow one holds up no other, and slow deletions hold up no stop. */
  const queues = new Map<string, ReturnType<typeof queuesOfOne>>()
  const queuesOf = (host: string) => {
    const queuesOfHost = queues.get(host) ?? queuesOfOne()
    queues.set(host, queuesOfHost)
    return queuesOfHost
  }

  return (farewell: Farewell, onStopped: Effect.Effect<unknown>) => {
    const { between = Effect.void, maxTokens, operation, taskId } = farewell
    const { asking, deleting } = queuesOf(hostOf(taskId))
    const over = (seen: Seen) => farewell.over === undefined ? Effect.void : Deferred.succeed(farewell.over, seen)
    const known = farewell.fate ?? (() => undefined)
    let fate = farewell.stop === true ? "may not have ended" : "is not deleted"
    let isTold = false
    const warn = (what: string) =>
      Effect.suspend(() => {
        if (isTold || known() === "deleted") return Effect.void
        isTold = true
        const counted = fate === "may not have ended" ? note(({ runsOn }) => runsOn()) : Effect.void
        return Effect.zipRight(counted, Effect.logWarning(`${operation}: task ${taskId} ${what}`))
      })

    const stop = asking(http.stop(taskId, { operation })).pipe(
      retry.creates(farewell.retry),
      Effect.map(Option.getOrUndefined),
      Effect.catchAll((error) =>
        error._tag === "TaskNotFoundError"
          ? Effect.fail(error)
          : Effect.as(
            Effect.logDebug(`${operation}: task ${taskId} may not have ended: ${bare(error)}`),
            undefined
          )
      ),
      Effect.ensuring(onStopped)
    )
    const look = asking(http.status(taskId, { operation })).pipe(
      retry.polls(farewell.retry),
      Effect.catchIf((error) => error.isTransient, () => Effect.succeed(undefined))
    )
    const missed = (seen: Seen) =>
      warn(
        seen === undefined
          ? "may not have ended after two stops: the server does not say"
          : maxTokens === undefined
          ? `runs on after two stops, with ${seen.generatedTokens} tokens so far`
          : `runs on after two stops, with ${Math.max(0, maxTokens - seen.generatedTokens)} tokens to go`
      )
    const watch = (seen: TaskInfo | undefined) =>
      Effect.raceFirst(looking(seen, look, later), Effect.zipRight(closing, looking(seen, look, beforeTheEnd)))

    const stopped = Effect.gen(function*() {
      if (known() !== undefined) return true
      const seen = yield* halt(stop, look, soon)
      if (isFinished(seen)) return true
      yield* missed(seen)
      return farewell.delete === true && isFinished(yield* watch(seen))
    })
    const onEnded = Effect.sync(() => farewell.onEnded?.())
    const ended = stopped.pipe(
      Effect.tapErrorTag("TaskNotFoundError", () => onEnded),
      Effect.flatMap((hasEnded) => hasEnded ? Effect.zipRight(onEnded, between) : Effect.void)
    )
    const deleted = Effect.suspend(() => {
      fate = "has ended and is not deleted"
      isTold = false
      return deleting(http.delete(taskId, { operation, force: true })).pipe(
        retry.polls(farewell.retry),
        Effect.map(Option.getOrUndefined),
        Effect.tap((seen) => note(({ deleted }) => deleted(taskId, seen?.generatedTokens))),
        Effect.flatMap(over),
        Effect.catchTag("TaskNotFoundError", () => Effect.void)
      )
    })
    return {
      steps: Effect.zipRight(
        farewell.stop === true ? ended : Effect.void,
        Effect.when(deleted, () => farewell.delete === true && known() !== "deleted")
      ).pipe(
        Effect.catchAllCause((cause) =>
          warn(`${fate}: ${Option.match(Cause.failureOption(cause), { onNone: () => "a defect", onSome: bare })}`)
        ),
        Effect.ensuring(Effect.zipRight(onStopped, over(undefined))),
        logged
      ),
      /** Where the end of the service leaves no time for the steps. */
      cut: logged(Effect.zipRight(over(undefined), Effect.suspend(() => warn(`${fate}: the service was closed`))))
    }
  }
}
