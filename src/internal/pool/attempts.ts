/**
 * New work, and what becomes of it when its server is lost: what surely was not begun goes to another one, and so does
 * all else where the program has asked for that.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { type CallFailure, isRWKVError, type RWKVError, RWKVPoolError } from "../../RWKVError.js"
import { property } from "../input/json.js"
import { effective, type Override } from "../input/override.js"
import type { FollowFailure } from "../stream/signals.js"
import type { Opening, Pull, Telling } from "../stream/telling.js"
import type { Starts } from "../stream/verbs.js"
import type { Pool } from "./pool.js"
import type { Server } from "./server.js"
import { Placed, workOf } from "./tally.js"

/** How often one piece of work is taken to another server. */
const most = 8

/** Whether the run may have been lost with its server: nobody knows what becomes of it there. */
const isLost = (error: RWKVError): boolean =>
  error._tag === "RWKVConnectionError" || error._tag === "RWKVServerError" || error._tag === "TaskNotFoundError" ||
  error._tag === "RWKVTimeoutError" && (error.kind === "request" || error.kind === "stalled") ||
  error._tag === "StreamTruncatedError" && (error.unconfirmed || isRWKVError(error.cause) && isLost(error.cause))

/** What was delivered of a run, which one that is made anew has to repeat. */
const makeSaid = <A>(telling: Telling<A>, remembers: boolean) => {
  let [said, at, started, contradicted] = ["", 0, false, false]
  const matched = (text: string): string => {
    const known = said.slice(at, at + text.length)
    const rest = text.slice(known.length)
    contradicted = contradicted || !text.startsWith(known)
    at += text.length
    said += rest
    return rest
  }
  return {
    isEmpty: () => said === "",
    contradicted: () => contradicted,
    anew: () => {
      at = 0
    },
    telling: remembers
      ? {
        counts: telling.counts,
        element: (told, taskId) => {
          if (told._tag === "Text") {
            const text = matched(told.text)
            // One that contradicts is pulled at once, to be refused.
            return text === "" && !contradicted ? undefined : telling.element({ ...told, text }, taskId)
          }
          if (told._tag === "Finished") contradicted = contradicted || at < said.length
          const again = told._tag === "Started" && started
          started = true
          return again ? undefined : telling.element(told, taskId)
        }
      } satisfies Telling<A>
      : telling
  }
}

interface How<E> {
  /** Whether what may have begun is made anew after this failure. */
  readonly may?: (error: E) => boolean
  /** Whether it counts against the limit of the queue: so it does by default. */
  readonly bounded?: boolean
  /** Whether it had a place before, and comes before those that had none. */
  readonly returns?: boolean
}

export const make = (pool: Pool, replays: boolean, settings: Override) => {
  /** On a server that has room, or on another one if that surely has not begun it, or may begin it anew. */
  const started = <A, E extends RWKVError, R>(
    operation: string,
    request: unknown,
    use: (server: Server) => Effect.Effect<A, E, R>,
    { bounded = true, may = (error) => replays && isLost(error), returns = false }: How<E> = {}
  ): Effect.Effect<A, E | CallFailure, R> => {
    const warn = (error: RWKVError) =>
      Effect.annotateLogs(Effect.logWarning(`${operation}: a run is made anew elsewhere: ${error.message}`), {
        package: "effect-rwkv"
      })
    const attempt = (count: number, returns: boolean): Effect.Effect<A, E | CallFailure, R> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Effect.flatMap(effective(settings), ({ defaults }) =>
            pool.place(restore, {
              operation,
              work: workOf(request, defaults),
              bounded: bounded && !returns,
              returns
            })),
          ({ place, server }) =>
            restore(Effect.provideService(use(server), Placed, place)).pipe(
              Effect.onExit(() => Effect.sync(() => place.sent || server.tally.leave(place))),
              Effect.catchAll((lost): Effect.Effect<A, E | CallFailure, R> => {
                const error = pool.departed(lost)
                const goesOn = count < most && !pool.isClosed()
                if (place.refused !== undefined) {
                  // It was marked so that this server is not asked again.
                  Object.assign(place.refused, { workBegun: undefined })
                  return goesOn ? restore(attempt(count + 1, true)) : Effect.fail(place.refused)
                }
                return goesOn && (may(lost) || error !== lost && error.isSafeToRepeat)
                  ? Effect.zipRight(warn(error), restore(attempt(count + 1, true)))
                  : Effect.fail(error)
              })
            )
        )
      )
    return attempt(1, returns)
  }

  /** The same for what is pulled, each attempt in a scope of its own. */
  const opened = <A>(
    operation: string,
    request: unknown,
    telling: Telling<A>,
    open: (starts: Starts, telling: Telling<A>) => Opening<A, FollowFailure>
  ): Opening<A, FollowFailure> =>
    Effect.gen(function*() {
      const said = makeSaid(telling, replays)
      let scope: Scope.CloseableScope | undefined
      const close = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.suspend(() => scope === undefined ? Effect.void : Scope.close(scope, exit))
      yield* Effect.addFinalizer(close)
      const may = (error: RWKVError) =>
        replays && isLost(error) && (said.isEmpty() || property(request, "seed") !== undefined)
      const begin = (returns: boolean) =>
        started(operation, request, (server) =>
          Effect.flatMap(Scope.make(), (own) => {
            scope = own
            said.anew()
            return Effect.onError(
              Scope.extend(open(server.starts, server.tally.counting(said.telling)), own),
              (cause) => Scope.close(own, Exit.failCause(cause))
            )
          }), { may, returns })
      let pull = yield* begin(false)
      if (!replays) return pull
      let count = 1
      const again = (error: FollowFailure): Pull<A> =>
        may(error) && count++ < most && !pool.isClosed()
          ? Effect.zipRight(close(Exit.fail(error)), Effect.mapError(begin(true), Option.some)).pipe(
            Effect.flatMap((anew) => {
              pull = anew
              return next
            })
          )
          : Effect.fail(Option.some(error))
      const checked = Effect.suspend(() =>
        said.contradicted()
          ? Effect.fail(Option.some(
            new RWKVPoolError({ operation, kind: "replay", description: "made anew, it told another text" })
          ))
          : Effect.void
      )
      const next: Pull<A> = Effect.suspend(() => pull).pipe(
        Effect.catchAll((error): Pull<A> =>
          Effect.zipRight(checked, Option.isSome(error) ? again(error.value) : Effect.fail(error))
        ),
        Effect.zipLeft(checked)
      )
      return next
    })

  return { opened, started }
}
