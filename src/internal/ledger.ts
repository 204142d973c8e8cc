/**
 * What the services of one program remember together, because the server does not: which tasks this program stopped, which
 * tasks share a buffer since a fork, and the texts that a fork overwrites there.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { constant } from "effect/Function"
import * as Iterable from "effect/Iterable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { TaskResult } from "../Protocol.js"
import type { StreamTruncatedError, TaskError } from "../RWKVError.js"
import { RWKVHttpClient } from "../HttpClient.js"
import * as Lifetime from "./lifetime.js"

/**
 * The text of a run that only this program knows.
 *
 * @internal
 */
export interface Recording {
  readonly text: () => string
  /** Completes when there is more text, or the end. */
  readonly more: () => Effect.Effect<void>
  readonly result: Deferred.Deferred<TaskResult, TaskError | StreamTruncatedError>
}

/**
 * Tasks that write to one buffer: a source and its forks.
 *
 * @internal
 */
export interface Group {
  /** Enters a run; what it returns leaves again. */
  readonly enter: () => Run
  /** Whether the runs of this moment, or runs that overlapped them, write to the buffer at the same time. */
  readonly mixed: () => boolean
  /** Lets one at a time look at the buffer before a fork overwrites it. */
  readonly lock: Effect.Semaphore
}

/** @internal */
export interface Run {
  /** Whether no other run of this program has written to the buffer since this one began. */
  readonly alone: () => boolean
  readonly leave: () => void
}

/** @internal */
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

/** @internal */
export interface Service {
  readonly lifetime: Lifetime.Lifetime
  readonly stopped: Remembered<true>
  readonly sharing: Remembered<Group>
  readonly recordings: Remembered<Recording>
  /** A new run of a task makes what was known of the old one untrue. */
  readonly begins: (id: string) => void
}

/**
 * The newest entries of a map: a program may run for months.
 *
 * @internal
 */
export interface Remembered<A> {
  readonly get: (id: string) => A | undefined
  readonly set: (id: string, value: A) => void
  readonly delete: (id: string) => void
}

const remember = <A>(capacity: number): Remembered<A> => {
  const entries = new Map<string, A>()
  return {
    get: (id) => entries.get(id),
    delete: (id) => {
      entries.delete(id)
    },
    set: (id, value) => {
      entries.delete(id)
      entries.set(id, value)
      if (entries.size <= capacity) return
      Option.map(Iterable.head(entries.keys()), (oldest) => entries.delete(oldest))
    }
  }
}

/** @internal */
export class Ledger extends Context.Tag("effect-rwkv/internal/Ledger")<Ledger, Service>() {}

/**
 * A recording of a run that has ended.
 *
 * @internal
 */
export const recordingOf = (result: TaskResult): Effect.Effect<Recording> =>
  Effect.gen(function*() {
    const deferred = yield* Deferred.make<TaskResult, TaskError | StreamTruncatedError>()
    yield* Deferred.succeed(deferred, result)
    return { text: constant(result.text), more: constant(Effect.void), result: deferred }
  })

/**
 * One ledger for all services of a program: layers are built once.
 *
 * @internal
 */
export const layer: Layer.Layer<Ledger, never, RWKVHttpClient> = Layer.scoped(
  Ledger,
  Effect.map(Effect.flatMap(RWKVHttpClient, Lifetime.make), (lifetime) => {
    const stopped = remember<true>(4096)
    const recordings = remember<Recording>(4096)
    return {
      lifetime,
      stopped,
      sharing: remember(4096),
      recordings,
      begins: (id) => {
        stopped.delete(id)
        recordings.delete(id)
      }
    }
  })
)
