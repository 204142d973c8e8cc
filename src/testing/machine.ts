/**
 * The parts of one emulated server, and what dies with its process.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { nextRandom } from "./model.js"
import { type Options, type Settings, settings as resolve } from "./options.js"
import { reset, type SocketError } from "./reply.js"
import * as Scheduler from "./scheduler.js"
import { Store } from "./store.js"

/** @internal */
export interface Machine {
  readonly settings: Settings
  readonly documented: boolean
  readonly store: Store
  readonly scheduler: Scheduler.Scheduler
  /** A whole number below 2^32, by the emulator's seed. */
  readonly random: () => number
  readonly newId: (prefix: "TMP_" | "TASK_" | "_TMPL_") => string
  /** Server start in whole seconds since the epoch. */
  readonly startedAt: number
  /** The event loop: held by whoever computes, so that a prefill delays everybody else. */
  readonly exclusive: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Work of the server that no request waits for. */
  readonly background: (effect: Effect.Effect<void>) => Effect.Effect<void>
  /** Fails when this process ends. */
  readonly death: Effect.Effect<never, SocketError>
  readonly restart: (how: "graceful" | "kill") => Effect.Effect<void>
}

/** @internal */
export const make = (options: Options) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const settings = resolve(options)
    const documented = settings.profile === "documented"
    const store = new Store(settings)
    const scheduler = Scheduler.make(settings, (task) => {
      if (documented && store.cache.get(task.ownId) === task) store.save(task.ownId, task)
    })
    const startedAt = Math.floor(yield* Scheduler.seconds)
    let loop = yield* Effect.makeSemaphore(1)
    let death = yield* Deferred.make<never, SocketError>()
    let state = settings.seed | 0

    const random = () => {
      const [value, next] = nextRandom(state)
      state = next
      return Math.floor(value * 4294967296)
    }
    const word = () => random().toString(16).padStart(8, "0")

    const machine: Machine = {
      settings,
      documented,
      store,
      scheduler,
      random,
      newId: (prefix) => `${prefix}${word()}${word()}${word()}${word()}`,
      startedAt,
      exclusive: (effect) => documented ? effect : Effect.suspend(() => loop.withPermits(1)(effect)),
      background: (effect) => Effect.asVoid(Effect.forkIn(effect, scope)),
      death: Effect.suspend(() => Deferred.await(death)),
      restart: (how) =>
        Effect.gen(function*() {
          if (how === "graceful") {
            yield* scheduler.stopAll
            store.saveAll()
          }
          const cut = death
          death = yield* Deferred.make<never, SocketError>()
          loop = yield* Effect.makeSemaphore(1)
          store.cache.clear()
          yield* scheduler.reset
          yield* Deferred.fail(cut, reset)
        })
    }
    yield* Effect.forkScoped(scheduler.run)
    return machine
  })
