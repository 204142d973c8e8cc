/**
 * Runs that were lost with their server, made anew on another one: what was delivered is not delivered again, and has
 * to be repeated.
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { isRWKVError, type RWKVError, RWKVPoolError } from "../../RWKVError.js"
import { bare } from "../input/failure.js"
import { property } from "../input/json.js"
import { effective, type Override } from "../input/override.js"
import { logged } from "../owner/farewell.js"
import type { FollowFailure } from "../stream/signals.js"
import type { Opening, Pull, Telling } from "../stream/telling.js"
import type { Starts } from "../stream/verbs.js"
import type { Again } from "../task/run.js"
import { most, Returns } from "./admission.js"

/** Whether the run may have been lost with its server: nobody knows what becomes of it there. */
const isLost = (error: RWKVError): boolean =>
  error._tag === "RWKVConnectionError" || error._tag === "RWKVServerError" || error._tag === "TaskNotFoundError" ||
  error._tag === "RWKVPoolError" && error.kind === "server" ||
  error._tag === "RWKVTimeoutError" && (error.kind === "request" || error.kind === "stalled") ||
  error._tag === "StreamTruncatedError" && (error.unconfirmed || isRWKVError(error.cause) && isLost(error.cause))

/** What was delivered of a run, which one that is made anew has to repeat. */
const makeSaid = <A>(telling: Telling<A>) => {
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
    telling: {
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
  }
}

const returning = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let told = false
    const once = () => !told && (told = true)
    return Effect.provideService(effect, Returns, once)
  })

const warned = (operation: string, error: RWKVError) =>
  logged(Effect.logWarning(`${operation}: a run is made anew elsewhere: ${bare(error)}`))

/** What is opened is opened anew, each time in a scope of its own. */
const opening = (closing: () => boolean, settings: Override) =>
<A>(
  operation: string,
  request: unknown,
  telling: Telling<A>,
  open: (telling: Telling<A>, detached: () => boolean | undefined) => Opening<A, FollowFailure>
): Opening<A, FollowFailure> =>
  Effect.gen(function*() {
    const said = makeSaid(telling)
    const { defaults } = yield* effective(settings)
    const seed = property(request, "seed") ?? defaults?.seed
    const outer = yield* Effect.scope
    let count = 0
    let close = (_: Exit.Exit<unknown, unknown>): Effect.Effect<void> => Effect.void
    const may = (error: RWKVError) =>
      isLost(error) && count < most && !closing() &&
      (said.isEmpty() || seed !== undefined)
    const begin: Effect.Effect<Pull<A>, FollowFailure> = Effect.suspend(() => {
      count++
      said.anew()
      return Effect.flatMap(Scope.fork(outer, ExecutionStrategy.sequential), (scope) => {
        let isReplaced = false
        // A scope whose end is interrupted skips what is left.
        close = (exit) =>
          Effect.uninterruptible(Effect.suspend(() => {
            isReplaced = true
            return Scope.close(scope, exit)
          }))
        // Nobody wants what another run takes the place of.
        return Scope.extend(open(said.telling, () => isReplaced ? false : undefined), scope)
      })
    }).pipe(Effect.catchAll((error) => may(error) ? anew(error) : Effect.fail(error)))
    const anew = (error: FollowFailure) =>
      Effect.zipRight(warned(operation, error), Effect.zipRight(close(Exit.fail(error)), returning(begin)))
    const checked = Effect.suspend(() =>
      said.contradicted()
        ? Effect.fail(Option.some(
          new RWKVPoolError({ operation, kind: "replay", description: "made anew, it told another text" })
        ))
        : Effect.void
    )
    let pull = yield* begin
    const next: Pull<A> = Effect.suspend(() => pull).pipe(
      Effect.catchAll((end): Pull<A> =>
        Effect.zipRight(
          checked,
          Option.isNone(end) || !may(end.value) ? Effect.fail(end) : Effect.flatMap(
            Effect.mapError(anew(end.value), Option.some),
            (anew) => {
              pull = anew
              return next
            }
          )
        )
      ),
      Effect.zipLeft(checked)
    )
    return next
  })

export const make = (closing: () => boolean, settings: Override) => {
  const again: Again = (operation, run) => {
    const attempt = (count: number): typeof run =>
      Effect.catchAll(run, (error) =>
        isLost(error) && count < most && !closing()
          ? Effect.zipRight(warned(operation, error), returning(attempt(count + 1)))
          : Effect.fail(error))
    return attempt(1)
  }

  const opened = opening(closing, settings)
  return {
    again,
    /** Continues and forks need the state of their task, which is gone with its server. */
    over: (starts: Starts): Starts => ({
      ...starts,
      created: (operation, telling) => (request, options) =>
        opened(
          operation,
          request,
          telling,
          (telling, detached) => starts.created(operation, telling)(request, options, detached)
        ),
      filled: (operation, telling) => (request, options) =>
        opened(
          operation,
          request,
          telling,
          (telling, detached) => starts.filled(operation, telling)(request, options, detached)
        )
    })
  }
}
