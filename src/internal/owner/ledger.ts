/**
 * What the services of one program remember together, because the server does not: which tasks this program stopped,
 * which tasks share a buffer since a fork, and the texts that a fork overwrites there.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { constant } from "effect/Function"
import * as RcRef from "effect/RcRef"
import * as Scope from "effect/Scope"
import type { Service as HttpService } from "../../HttpClient.js"
import type { TaskResult } from "../../Protocol.js"
import type { RWKVConnectionError, StreamTruncatedError, TaskFailure } from "../../RWKVError.js"
import { Newest } from "../input/newest.js"
import { isTaskId } from "../input/validate.js"
import { closed, closedBefore } from "../wire/closed.js"
import type { Fate } from "./farewell.js"
import * as Admission from "./admission.js"
import * as Lifetime from "./lifetime.js"

/** The text of a run that only this program knows. */
export interface Recording {
  readonly text: () => string
  /** Completes when there is more text, or the end. */
  readonly more: () => Effect.Effect<void>
  readonly result: Deferred.Deferred<TaskResult, TaskFailure | StreamTruncatedError>
}

/** Tasks that write to one buffer: a source and its forks. */
export interface Group {
  /** Enters a run; what it returns leaves again. */
  readonly enter: () => Run
  /** Whether the runs of this moment, or runs that overlapped them, write to the buffer at the same time. */
  readonly mixed: () => boolean
  /** Lets one at a time look at the buffer before a fork overwrites it. */
  readonly lock: Effect.Semaphore
}

export interface Run {
  /** Whether no other run of this program has written to the buffer since this one began. */
  readonly alone: () => boolean
  readonly leave: () => void
}

export const makeGroup = (): Group => {
  let active = 0
  let mixed = false
  return {
    lock: Effect.unsafeMakeSemaphore(1),
    mixed: () => mixed,
    enter: () => {
      active++
      mixed = mixed || active > 1
      return {
        alone: () => !mixed,
        leave: () => {
          active--
          mixed = mixed && active > 0
        }
      }
    }
  }
}

/** How often the run was seen to have finished, and whether its task was deleted. */
interface Sighted {
  finished: number
  deleted: boolean
}

/** A recording of a run that has ended. */
export const recordingOf = (ended: TaskResult): Recording => {
  const result: Recording["result"] = Deferred.unsafeMake(FiberId.none)
  Deferred.unsafeDone(result, Effect.succeed(ended))
  return { text: constant(ended.text), more: constant(Effect.void), result }
}

export type Service = Effect.Effect.Success<ReturnType<typeof make>>

const make = (http: HttpService, closeTimeout: Duration.Duration, admission: Admission.Admission) =>
  Effect.map(Lifetime.make(http, closeTimeout, admission.hostOf), (lifetime) => {
    const newest = <A>() => new Newest<A>(admission.hosts)
    const stopped = newest<true>()
    const recordings = newest<Recording>()
    const limits = newest<number>()
    const requestIds = newest<string>()
    const pastStop = newest<true>()
    const runs = newest<Sighted>()
    const runOf = (id: string) => {
      const run = runs.get(id) ?? { finished: 0, deleted: false }
      runs.set(id, run)
      return run
    }
    return {
      lifetime,
      /** For every request that makes the server read a prompt. */
      admit: admission.admit(lifetime),
      wants: admission.wants,
      stopped,
      sharing: newest<Group>(),
      recordings,
      /** The most tokens of the newest run of a task, if this program started it and said so. */
      limits,
      /** The ids that a proxy gave the requests which started the newest runs of tasks. */
      requestIds,
      /** Tasks whose text ended before a stop sequence that their state on the server has read. */
      pastStop,
      /** What this program sees from now on of the end of the newest run. */
      fate: (id: string): () => Fate => {
        const run = runOf(id)
        const before = run.finished
        // What had been seen to end before may go on again, for another program.
        return () => run.deleted ? "deleted" : run.finished > before ? "finished" : undefined
      },
      /** Remembers what an answer proves, of the run that it was asked about. */
      witness: <A, E, R>(id: string, fateOf: (answer: A) => Fate, ask: Effect.Effect<A, E, R>) =>
        Effect.suspend(() => {
          const run = runOf(id)
          return Effect.tap(ask, (answer) =>
            Effect.sync(() => {
              const fate = fateOf(answer)
              if (fate === "finished") run.finished++
              if (fate === "deleted") run.deleted = true
            }))
        }),
      /** A new run of a task makes what was known of the old one untrue. */
      begins: (id: string, maxTokens?: number, requestId?: string) => {
        for (const known of [stopped, recordings, limits, requestIds, pastStop, runs]) known.delete(id)
        if (maxTokens !== undefined) limits.set(id, maxTokens)
        if (requestId !== undefined) requestIds.set(id, requestId)
      }
    }
  })

/** The reference of a client counts who uses its ledger: the last one that goes ends it. */
const references = new WeakMap<HttpService, RcRef.RcRef<Service>>()

/**
 * The one ledger of all services over this client, however their layers are composed. How long its end may take is said
 * by the first of them.
 */
export const of = (
  http: HttpService,
  closeTimeout: Duration.Duration,
  admission: Admission.Admission = Admission.toOne
): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    // This scope is never closed: users are counted, and no one of them ends it for the others.
    const unused = yield* Scope.extend(
      RcRef.make({ acquire: make(http, closeTimeout, admission) }),
      yield* Scope.make()
    )
    const reference = references.get(http) ?? unused
    references.set(http, reference)
    return yield* RcRef.get(reference)
  })

/** Refuses what is asked for after the end, so that nothing is sent; `about` is told of if it is the id of a task. */
export type Gate = (operation: string, about?: unknown) => Effect.Effect<void, RWKVConnectionError>

/** The verbs of a service end with its layer, whether or not what they are built on goes on for others. */
export const gate = ({ lifetime }: Service): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.map(closed, (isClosed) => (operation, about) =>
    Effect.suspend(() =>
      isClosed() || lifetime.closing()
        ? Effect.fail(closedBefore(operation, isTaskId(about) ? about : undefined))
        : Effect.void
    ))
