/**
 * The parts of one emulated server, and what dies with its process.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { nextRandom } from "../model/random.js"
import { seconds } from "./clock.js"
import { Died } from "./failure.js"
import { type Options, type Settings, settings as resolve } from "./options.js"
import { Scheduler } from "./scheduler.js"
import { Store } from "./store.js"

/** @internal */
export interface Machine {
  readonly settings: Settings
  readonly documented: boolean
  readonly store: Store
  readonly scheduler: Scheduler
  /** A whole number below 2^32, by the emulator's seed. */
  readonly random: () => number
  readonly newId: (prefix: "TMP_" | "TASK_" | "_TMPL_") => string
  /** Server start in whole seconds since the epoch. */
  readonly startedAt: number
  /** Runs on the event loop, one at a time, so that a prefill delays all other requests (H34). */
  readonly exclusive: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Waits behind all that wait for the event loop, as the next step of a generator does. */
  readonly turn: Effect.Effect<void>
  /** Work that goes on when the request that began it is gone. */
  readonly background: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<Fiber.RuntimeFiber<A, E>>
  /** Fails when this process ends. */
  readonly death: Effect.Effect<never, Died>
  /** The number of this process, another one after each restart. */
  readonly life: () => number
  /** Opened when this process ends. */
  readonly listeners: Set<Effect.Latch>
  readonly restart: (how: "graceful" | "kill") => Effect.Effect<void>
}

/** Numbers and ids by the seed. */
const generator = (seed: number): Pick<Machine, "random" | "newId"> => {
  let state = seed | 0
  const random = () => {
    const [value, next] = nextRandom(state)
    state = next
    return Math.floor(value * 4294967296)
  }
  const word = () => random().toString(16).padStart(8, "0")
  return { random, newId: (prefix) => `${prefix}${word()}${word()}${word()}${word()}` }
}

/** @internal */
export const make = (options: Options): Effect.Effect<Machine, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const settings = resolve(options)
    const documented = settings.profile === "documented"
    // Only reading a prompt takes time on the event loop.
    const blocks = !documented && settings.prefillPerToken > 0
    const store = new Store(settings)
    const scheduler = new Scheduler(settings, (task) => {
      if (documented && store.cache.get(task.ownId) === task) store.save(task.ownId, task)
    })
    const startedAt = Math.floor(yield* seconds)
    const listeners = new Set<Effect.Latch>()
    let loop = yield* Effect.makeSemaphore(1)
    let death = yield* Deferred.make<never, Died>()
    let life = 0

    const exclusive: Machine["exclusive"] = (effect) =>
      blocks ? Effect.suspend(() => loop.withPermits(1)(effect)) : effect

    const restart: Machine["restart"] = (how) =>
      Effect.gen(function*() {
        if (how === "graceful") {
          yield* scheduler.stopAll()
          store.saveAll()
        }
        const cut = death
        death = yield* Deferred.make<never, Died>()
        loop = yield* Effect.makeSemaphore(1)
        life++
        store.cache.clear()
        scheduler.reset()
        yield* Deferred.fail(cut, new Died())
        for (const listener of listeners) listener.unsafeOpen()
      })

    yield* Effect.forkScoped(scheduler.run())
    return {
      settings,
      documented,
      store,
      scheduler,
      ...generator(settings.seed),
      startedAt,
      exclusive,
      turn: Effect.zipRight(Effect.yieldNow(), exclusive(Effect.void)),
      background: (effect) => Effect.forkIn(effect, scope),
      death: Effect.suspend(() => Deferred.await(death)),
      life: () => life,
      listeners,
      restart
    }
  })
