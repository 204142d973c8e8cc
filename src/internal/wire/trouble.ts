/**
 * What an operation is repeating, for the error of a limit that is over meanwhile.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { RWKVError } from "../../RWKVError.js"

interface Trouble {
  /** The transient failure that came last, while nothing has succeeded since. */
  last: () => RWKVError | undefined
  /** Whether the server may be at work for the operation. */
  working: boolean
}

class Current extends Context.Reference<Current>()("effect-rwkv/Trouble", {
  defaultValue: (): Trouble | undefined => undefined
}) {}

const none = () => undefined

/** For what has a limit: what is repeated inside of it is known when the limit is over. */
export const watched = <A, E, R>(use: (trouble: Trouble) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Current, (outer) => {
    const trouble = outer ?? { last: none, working: false }
    return Effect.provideService(use(trouble), Current, trouble)
  })

/** For what the program does in its hooks: its failures are none of the operation's. */
export const unwatched = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Current, undefined)

/** Notes a failure that is repeated, for as long as it is told. */
export const note = (last: Trouble["last"]): Effect.Effect<void> =>
  Effect.map(Current, (trouble) => {
    if (trouble !== undefined) trouble.last = last
  })

/** One attempt at what may be repeated. */
export const attempt = <A, E extends RWKVError, R>(
  effect: Effect.Effect<A, E, R>,
  works: boolean
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Current, (trouble) => {
    if (trouble === undefined) return effect
    if (works) trouble.working = true
    return Effect.tapBoth(effect, {
      onFailure: (error) =>
        Effect.sync(() => {
          if (error.isTransient) trouble.last = () => error
          if (works) trouble.working = !error.isSafeToRepeat
        }),
      onSuccess: () =>
        Effect.sync(() => {
          trouble.last = none
        })
    })
  })
