/**
 * What the services of one program remember together, because the server does not: which tasks this program stopped,
 * which tasks share a buffer since a fork, and the texts that a fork overwrites there.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { constant } from "effect/Function"
import * as Iterable from "effect/Iterable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { RWKVHttpClient, type Service as HttpService } from "../../HttpClient.js"
import type { TaskResult } from "../../Protocol.js"
import type { StreamTruncatedError, TaskFailure } from "../../RWKVError.js"
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

export interface Service {
  readonly lifetime: Lifetime.Lifetime
  readonly stopped: Remembered<true>
  readonly sharing: Remembered<Group>
  readonly recordings: Remembered<Recording>
  /** A new run of a task makes what was known of the old one untrue. */
  readonly begins: (id: string) => void
}

/** The newest entries of a map: a program may run for months. */
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

/** A recording of a run that has ended. */
export const recordingOf = (result: TaskResult): Effect.Effect<Recording> =>
  Effect.gen(function*() {
    const deferred = yield* Deferred.make<TaskResult, TaskFailure | StreamTruncatedError>()
    yield* Deferred.succeed(deferred, result)
    return { text: constant(result.text), more: constant(Effect.void), result: deferred }
  })

export class Ledger extends Context.Tag("effect-rwkv/internal/Ledger")<Ledger, Service>() {}

const layer: Layer.Layer<Ledger, never, RWKVHttpClient> = Layer.scoped(
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

/** The memo map of a client counts who uses its ledger: the last one that goes ends it. */
const memoMaps = new WeakMap<HttpService, Layer.MemoMap>()

const memoMapOf = (http: HttpService): Effect.Effect<Layer.MemoMap> =>
  Effect.map(Layer.makeMemoMap, (unused) => {
    const memoMap = memoMaps.get(http) ?? unused
    memoMaps.set(http, memoMap)
    return memoMap
  })

/** The one ledger of all services over this client, however their layers are composed. */
export const of = (http: HttpService): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const memoMap = yield* memoMapOf(http)
    const built = Layer.buildWithMemoMap(layer, memoMap, yield* Effect.scope)
    return Context.get(yield* Effect.provideService(built, RWKVHttpClient, http), Ledger)
  })
