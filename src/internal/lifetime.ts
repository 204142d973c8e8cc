/**
 * What a service started on the server ends with it: no task is left running for nobody, however its owner goes.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as HttpClient from "../HttpClient.js"
import type { TaskId } from "../Protocol.js"
import { RWKVConnectionError } from "../RWKVError.js"

/** @internal */
export interface Farewell {
  readonly operation: string
  readonly taskId: TaskId
  readonly stop: boolean
  readonly delete: boolean
  readonly within: Duration.DurationInput
}

/** @internal */
export interface Lifetime {
  /**
   * Runs a create and, once it succeeded, `owned` in one uninterruptible step. If the caller is interrupted before the
   * answer, the answer is awaited in the background and what it brought is given to `abandoned`: closing the connection would
   * leave a task running whose id nobody knows.
   */
  readonly acquire: <A, E, B, E2, R, R2>(
    operation: string,
    create: Effect.Effect<A, E, R>,
    owned: (created: A) => Effect.Effect<B, E2, R2>,
    abandoned: (created: A) => Effect.Effect<void>
  ) => Effect.Effect<B, E | E2 | RWKVConnectionError, R | R2>
  /** Stops and deletes a task, once, within a limit, whatever state the calling fiber is in. It never fails. */
  readonly release: (farewell: Farewell) => Effect.Effect<void>
  /** Runs a fiber that the service's end waits for. */
  readonly watch: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<Fiber.RuntimeFiber<void>, never, R>
  /** What the end of the service runs, and waits for; what is returned takes it back. */
  readonly onClosing: (end: Effect.Effect<void>) => () => void
  /** Fails once the service has ended. */
  readonly usable: (operation: string, taskId?: TaskId) => Effect.Effect<void, RWKVConnectionError>
}

/** @internal */
export const clientClosed = (operation: string, taskId?: TaskId) =>
  new RWKVConnectionError({
    operation,
    taskId,
    description: "the client was closed",
    requestSent: true,
    retryable: false
  })

/** How long the end of a service may be held up by what it still has to tell the server. */
const grace = Duration.seconds(2)

/** @internal */
export const make = (http: HttpClient.Service): Effect.Effect<Lifetime, never, Scope.Scope> =>
  Effect.gen(function*() {
    const closing = yield* Deferred.make<void>()
    const inner = yield* Scope.make()
    const fibers = yield* Scope.extend(FiberSet.make<void>(), inner)
    /** Real time as well: a program under a test clock ends without anyone to move that clock. */
    const overdue = Deferred.await(closing).pipe(Effect.zipRight(Effect.sleep(grace)), Effect.withClock(Clock.make()))
    const ends = new Set<Effect.Effect<void>>()
    const endAll = Effect.suspend(() => Effect.forEach(ends, (end) => end, { concurrency: "unbounded", discard: true }))
    yield* Effect.addFinalizer((exit) =>
      Deferred.succeed(closing, undefined).pipe(
        Effect.zipRight(detached(Effect.zipRight(endAll, FiberSet.awaitEmpty(fibers)), grace, overdue)),
        Effect.zipRight(Scope.close(inner, exit))
      )
    )

    const release: Lifetime["release"] = (farewell) => {
      const { operation, taskId, within } = farewell
      if (!farewell.stop && !farewell.delete) return Effect.void
      const log = logFailure(farewell)
      const tell = (request: Effect.Effect<unknown, unknown>) => Effect.catchAllCause(request, () => log)
      const requests = Effect.gen(function*() {
        if (farewell.stop) yield* tell(http.stop(taskId, { operation }))
        if (farewell.delete) yield* tell(http.delete(taskId, { operation, force: true }))
      })
      // The server says yes to a stop before it has an effect, and sometimes it has none.
      const check = http.status(taskId, { operation }).pipe(
        Effect.delay(within),
        Effect.flatMap(({ status }) => status === "Finished" ? Effect.void : log),
        Effect.ignore,
        Effect.interruptible
      )
      return detached(requests, within, overdue).pipe(
        Effect.flatMap((done) => done ? Effect.void : log),
        Effect.zipRight(farewell.stop && !farewell.delete ? Effect.asVoid(Effect.forkIn(check, inner)) : Effect.void)
      )
    }

    const closed = Deferred.isDone(closing)

    return {
      onClosing: (end) => {
        ends.add(end)
        return () => {
          ends.delete(end)
        }
      },
      usable: (operation, taskId) =>
        Effect.flatMap(closed, (closed) => closed ? Effect.fail(clientClosed(operation, taskId)) : Effect.void),
      release,
      watch: (effect) => FiberSet.run(fibers, Effect.interruptible(effect)),
      acquire: <A, E, B, E2, R, R2>(
        operation: string,
        create: Effect.Effect<A, E, R>,
        owned: (created: A) => Effect.Effect<B, E2, R2>,
        abandoned: (created: A) => Effect.Effect<void>
      ) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            yield* restore(Effect.void)
            /** The answer, or what came before it: that the caller is gone, or has been told of the end. */
            const answer = yield* Deferred.make<A, E | RWKVConnectionError>()
            const ended = Deferred.fail(answer, clientClosed(operation))
            const tellEnd = Effect.zipRight(Effect.zipRight(Deferred.await(closing), ended), Effect.never)
            const created = Effect.exit(Effect.interruptible(Effect.raceFirst(create, tellEnd))).pipe(
              Effect.flatMap((exit) =>
                Effect.flatMap(Deferred.done(answer, exit), (taken) =>
                  taken || Exit.isFailure(exit) ? Effect.void : abandoned(exit.value))
              )
            )
            yield* FiberSet.run(fibers, Effect.uninterruptible(created))
            if (yield* closed) {
              yield* ended
            }
            const gone = Effect.flatMap(Deferred.interrupt(answer), (early) =>
              early
                ? Effect.void
                : Effect.matchCauseEffect(Deferred.await(answer), {
                  onFailure: () =>
                    Effect.void,
                  onSuccess: abandoned
                }))
            return yield* owned(yield* restore(Deferred.await(answer)).pipe(Effect.onInterrupt(() => gone)))
          })
        )
    }
  })

/**
 * A fiber that is being interrupted cannot be interrupted again, not even by a time limit: another one takes over. False if
 * the time was too short, or the service's own.
 */
const detached = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  within: Duration.DurationInput,
  overdue: Effect.Effect<void>
): Effect.Effect<boolean, never, R> =>
  Effect.timeoutOption(effect, within).pipe(
    Effect.raceFirst(Effect.as(overdue, Option.none())),
    Effect.interruptible,
    Effect.forkDaemon,
    Effect.flatMap(Fiber.await),
    Effect.map((exit) => Exit.isFailure(exit) || Option.isSome(exit.value)),
    Effect.uninterruptible
  )

const logFailure = (farewell: Farewell) =>
  Effect.logDebug(`${farewell.operation}: task ${farewell.taskId} is done with, and may not have ended`).pipe(
    Effect.annotateLogs({ package: "effect-rwkv" })
  )
