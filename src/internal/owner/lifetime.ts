/**
 * What a service started on the server ends with it: no task is left running for nobody, however its owner goes.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId } from "../../Protocol.js"
import { RWKVConnectionError } from "../../RWKVError.js"
import { inherit } from "../wire/limit.js"
import { closedBefore } from "../wire/closed.js"

export interface Farewell {
  readonly operation: string
  readonly taskId: TaskId
  readonly stop: boolean
  readonly delete: boolean
  readonly within: Duration.DurationInput
}

export interface Lifetime {
  /**
   * Runs a create and, once it succeeded, `owned` in one uninterruptible step. If the caller is interrupted before the
   * answer, the answer is awaited in the background and what it brought is given to `abandoned`: closing the connection
   * would leave a task running whose id nobody knows.
   */
  readonly acquire: <A, E, B, E2, R2>(
    operation: string,
    create: Effect.Effect<A, E>,
    owned: (created: A) => Effect.Effect<B, E2, R2>,
    abandoned: (created: A) => Effect.Effect<void>
  ) => Effect.Effect<B, E | E2 | RWKVConnectionError, R2>
  /** Stops and deletes a task, once, within a limit, whatever state the calling fiber is in. It never fails. */
  readonly release: (farewell: Farewell) => Effect.Effect<void>
  /** Runs a fiber that the service's end waits for. */
  readonly watch: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<Fiber.RuntimeFiber<A, E>>
  /** What the end of the service runs, and waits for; what is returned takes it back. */
  readonly onClosing: (end: Effect.Effect<unknown>) => () => void
  /** Whether the service is about to end. */
  readonly closing: () => boolean
  /** Fails once the service has ended. */
  readonly usable: (operation: string, taskId?: string) => Effect.Effect<void, RWKVConnectionError>
}

/** What is open when the service ends fails with this. */
export const clientClosed = (operation: string, taskId?: string) =>
  new RWKVConnectionError({
    operation,
    taskId,
    description: "the client was closed",
    requestSent: true,
    retryable: false
  })

/** How long the end of a service may be held up by what it still has to tell the server. */
const grace = Duration.seconds(2)

/** Real time: a program under a test clock ends without anyone to move that clock. */
const realClock = Clock.make()

/** In a fiber that is being interrupted only what is interruptible, in a fiber of its own, can be cut short. */
const atMost = (effect: Effect.Effect<unknown>, limit: Duration.DurationInput): Effect.Effect<boolean> =>
  effect.pipe(
    Effect.interruptible,
    Effect.timeoutTo({ duration: limit, onSuccess: () => true, onTimeout: () => false })
  )

export const make = (http: HttpClient.Service): Effect.Effect<Lifetime, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
    const ends = new Set<Effect.Effect<unknown>>()
    let closing = false

    const allEnded: Effect.Effect<unknown> = Effect.suspend(() =>
      fibers.size === 0 ? Effect.void : Effect.zipRight(Fiber.awaitAll(fibers), allEnded)
    )
    yield* Effect.addFinalizer((exit) =>
      Effect.clockWith((clock) => {
        closing = true
        const ended = Effect.forEach(ends, (end) => end, { concurrency: "unbounded", discard: true }).pipe(
          Effect.zipRight(allEnded),
          Effect.withClock(clock)
        )
        return Effect.withClock(atMost(ended, grace), realClock).pipe(Effect.zipRight(Scope.close(scope, exit)))
      })
    )

    const watch: Lifetime["watch"] = (effect) =>
      Effect.tap(Effect.forkIn(Effect.interruptible(effect), scope), (fiber) =>
        Effect.sync(() => {
          fibers.add(fiber)
          fiber.addObserver(() => fibers.delete(fiber))
        }))

    const onClosing: Lifetime["onClosing"] = (end) => {
      ends.add(end)
      return () => {
        ends.delete(end)
      }
    }

    return {
      acquire: makeAcquire(watch, onClosing, () => closing),
      closing: () => closing,
      onClosing,
      release: makeRelease(http, watch, scope),
      usable: (operation, taskId) =>
        Effect.suspend(() => closing ? Effect.fail(closedBefore(operation, taskId)) : Effect.void),
      watch
    }
  })

/**
 * From a create to its owner: somebody owns what the server made, or it is abandoned. `left` says that nobody waits for
 * the answer any more, and `settled` that the answer has found its owner.
 */
const makeAcquire = (
  watch: Lifetime["watch"],
  onClosing: Lifetime["onClosing"],
  isClosing: () => boolean
): Lifetime["acquire"] =>
<A, E, B, E2, R2>(
  operation: string,
  create: Effect.Effect<A, E>,
  owned: (created: A) => Effect.Effect<B, E2, R2>,
  abandoned: (created: A) => Effect.Effect<void>
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      // Interrupted before we began: send nothing.
      yield* restore(Effect.suspend(() => isClosing() ? Effect.fail(closedBefore(operation)) : Effect.void))
      const answer = yield* Deferred.make<A, E | RWKVConnectionError>()
      const settled = yield* Deferred.make<void>()
      let left = false
      /** False if the answer is there already. */
      const leave = Effect.suspend(() => {
        left = true
        return Deferred.fail(answer, clientClosed(operation))
      })
      const withdraw = onClosing(Effect.flatMap(leave, (early) => early ? Effect.void : Deferred.await(settled)))
      const creator = yield* watch(
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            Effect.exit(restore(create)),
            (exit) => left && Exit.isSuccess(exit) ? abandoned(exit.value) : Deferred.done(answer, exit)
          )
        )
      )
      const abandon = Effect.matchEffect(Deferred.await(answer), {
        onFailure: () => Effect.void,
        onSuccess: abandoned
      })
      return yield* restore(Deferred.await(answer)).pipe(
        Effect.onInterrupt(() => Effect.flatMap(leave, (early) => early ? Effect.void : abandon)),
        Effect.ensuring(inherit(creator)),
        // The end of the service comes before what is owned by nobody yet.
        Effect.flatMap((created): Effect.Effect<B, E2 | RWKVConnectionError, R2> =>
          isClosing() ? Effect.zipRight(abandoned(created), clientClosed(operation)) : owned(created)
        ),
        Effect.ensuring(Effect.zipRight(Effect.sync(withdraw), Deferred.succeed(settled, undefined)))
      )
    })
  )

const makeRelease = (
  http: HttpClient.Service,
  watch: Lifetime["watch"],
  scope: Scope.Scope
): Lifetime["release"] =>
(farewell) => {
  const { operation, taskId, within } = farewell
  if (!farewell.stop && !farewell.delete) return Effect.void
  const log = Effect.logDebug(`${operation}: task ${taskId} is done with, and may not have ended`).pipe(
    Effect.annotateLogs({ package: "effect-rwkv" })
  )
  const tell = (request: Effect.Effect<unknown, unknown>) => Effect.catchAllCause(request, () => log)
  const requests = Effect.zipRight(
    farewell.stop ? tell(http.stop(taskId, { operation })) : Effect.void,
    farewell.delete ? tell(http.delete(taskId, { operation, force: true })) : Effect.void
  )
  // The server says yes to a stop before it has an effect, and sometimes it has none (H29, H30).
  const check = http.status(taskId, { operation }).pipe(
    Effect.delay(within),
    Effect.flatMap(({ status }) => status === "Finished" ? Effect.void : log),
    Effect.ignore,
    Effect.interruptible,
    Effect.forkIn(scope)
  )
  return Effect.flatMap(watch(atMost(requests, within)), Fiber.await).pipe(
    Effect.flatMap((exit) => Exit.isSuccess(exit) && exit.value ? Effect.void : log),
    Effect.zipRight(farewell.stop && !farewell.delete ? check : Effect.void),
    Effect.asVoid
  )
}
