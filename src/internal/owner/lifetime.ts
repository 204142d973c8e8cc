/**
 * What a service started on the server ends with it: no task is left running for nobody, however its owner goes.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as FiberRefs from "effect/FiberRefs"
import * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import type { RWKVConnectionError } from "../../RWKVError.js"
import { handBack } from "../wire/limit.js"
import { clientClosed, closedBefore } from "../wire/closed.js"
import { keep, release as inSpan } from "../wire/telemetry.js"
import * as Farewell from "./farewell.js"

/** What is left of a create that the end of the service cut off. */
const untold = (operation: string) =>
  Farewell.logged(Effect.logWarning(`${operation}: closed before the server had answered: a task may run on unknown`))

export type Lifetime = Effect.Effect.Success<ReturnType<typeof make>>

/** Real time: a program under a test clock ends without anyone to move that clock. */
const realClock = Clock.make()

/** In short sleeps, so that an event loop that is busy comes to others in between. */
const aWhile = Effect.withClock(Effect.repeatN(Effect.sleep("10 millis"), 9), realClock)

/** In a fiber that is being interrupted only what is interruptible, in a fiber of its own, can be cut short. */
export const atMost = (effect: Effect.Effect<unknown>, limit: Duration.DurationInput): Effect.Effect<boolean> =>
  effect.pipe(
    Effect.interruptible,
    Effect.timeoutTo({ duration: limit, onSuccess: () => true, onTimeout: () => false })
  )

export const make = (
  http: HttpClient.Service,
  closeTimeout: Duration.Duration,
  hostOf: (taskId: string) => string
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
    const ends = new Set<Effect.Effect<unknown>>()
    let isClosing = false

    const closed = yield* Deferred.make<void>()

    /** An end may begin another, and is in the set until it is over. */
    const allEnded: Effect.Effect<unknown> = Effect.suspend(() =>
      ends.size + fibers.size === 0
        ? Effect.void
        : Effect.all(Array.from(ends), { concurrency: "unbounded", discard: true }).pipe(
          Effect.zipRight(Fiber.awaitAll(fibers)),
          Effect.zipRight(allEnded)
        )
    )
    /** Completes if nobody moves the program's clock: what waits for that is not waited for. */
    const still: Effect.Effect<void> = Effect.suspend(() => {
      const left = ends.size + fibers.size
      return Effect.flatMap(aWhile, () => left === ends.size + fibers.size ? Effect.void : still)
    })
    const standing = Effect.flatten(Effect.raceFirst(
      Effect.as(Effect.sleep(Duration.nanos(1n)), Effect.never),
      Effect.as(still, Effect.void)
    ))
    yield* Effect.addFinalizer((exit) =>
      Effect.gen(function*() {
        isClosing = true
        yield* Deferred.succeed(closed, undefined)
        // Not waited for when its time is over: what it waits for ends with the scope.
        const ending = yield* Effect.forkDaemon(allEnded)
        const clock = yield* Effect.clock
        const ended = Effect.withClock(Effect.raceFirst(Fiber.await(ending), standing), clock)
        // In a fiber of its own: one that is interrupted while it closes the scope waits no longer, and skips what is
        // left.
        const waiting = yield* Effect.forkDaemon(Effect.withClock(atMost(ended, closeTimeout), realClock))
        yield* Fiber.join(waiting)
        yield* Scope.close(scope, exit)
      })
    )

    const service = {
      /** Whether the service is about to end. */
      closing: () => isClosing,
      /** Fails once the service has ended. */
      usable: (operation: string, taskId?: string) =>
        Effect.suspend(() => isClosing ? Effect.fail(closedBefore(operation, taskId)) : Effect.void),
      /** Fails once the service begins to end. */
      unlessClosing: <A, E>(effect: Effect.Effect<A, E>, operation: string, taskId?: string) =>
        Effect.raceFirst(effect, Effect.flatMap(Deferred.await(closed), () => clientClosed(operation, taskId))),
      /** What the end of the service runs, and waits for; what is returned takes it back. */
      onClosing: (end: Effect.Effect<unknown>) => {
        ends.add(end)
        return () => ends.delete(end)
      },
      /**
       * Ends something once: when its owner runs what this returns, or with the service, which waits for it. What comes
       * too late for the end of the service is ended at once.
       */
      own: (end: Effect.Effect<unknown>) =>
        Effect.gen(function*() {
          const over = yield* Deferred.make<void>()
          const locally = yield* keep
          let begun = false
          const leave: Effect.Effect<unknown> = Effect.uninterruptible(Effect.suspend(() => {
            if (begun) return Deferred.await(over)
            begun = true
            const forget = Effect.sync(() => ends.delete(leave))
            return Effect.ensuring(locally(end), Effect.zipRight(forget, Deferred.succeed(over, undefined)))
          }))
          ends.add(leave)
          if (isClosing) yield* leave
          return leave
        }),
      /** Runs a fiber that the service's end waits for, and that tells by `cut` if there was no time for it. */
      watch: <A, E>(effect: Effect.Effect<A, E>, cut: Effect.Effect<unknown> = Effect.void) =>
        Effect.onInterrupt(Effect.interruptible(effect), () => cut).pipe(
          Effect.forkIn(scope),
          Effect.tap((fiber) =>
            Effect.sync(() => {
              fibers.add(fiber)
              fiber.addObserver(() => fibers.delete(fiber))
            })
          ),
          // What comes too late for the scope tells so before it is interrupted.
          Effect.uninterruptible
        )
    }
    const farewell = Farewell.make(http, Deferred.await(closed), hostOf)
    return { ...service, acquire: makeAcquire(service), release: makeRelease(farewell, service.watch) }
  })

type Watch = <A, E>(
  effect: Effect.Effect<A, E>,
  cut?: Effect.Effect<unknown>
) => Effect.Effect<Fiber.RuntimeFiber<A, E>>

/**
 * Runs a create and, once it succeeded, `owned` in one uninterruptible step. If the caller is interrupted before the
 * answer, the answer is awaited in the background and what it brought is given to `abandoned`: closing the connection
 * would leave a task running whose id nobody knows.
 */
const makeAcquire = ({ closing, onClosing, usable, watch }: {
  readonly closing: () => boolean
  readonly onClosing: (end: Effect.Effect<unknown>) => () => void
  readonly usable: (operation: string) => Effect.Effect<void, RWKVConnectionError>
  readonly watch: Watch
}) =>
<A, E, B, E2, R2>(
  operation: string,
  create: Effect.Effect<A, E>,
  owned: (created: A) => Effect.Effect<B, E2, R2>,
  abandoned: (created: A) => Effect.Effect<void>
): Effect.Effect<B, E | E2 | RWKVConnectionError, R2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      // Interrupted before we began: send nothing.
      yield* restore(usable(operation))
      const answer = yield* Deferred.make<A, E | RWKVConnectionError>()
      /** The answer has found its owner. */
      const settled = yield* Deferred.make<void>()
      /** Nobody waits for the answer any more. */
      let left = false
      /** What the create wrote to FiberRefs, once it was answered. */
      let written: FiberRefs.FiberRefs | undefined
      /** Waits as it is told if the answer is there already. */
      const leave = (late: Effect.Effect<void>) =>
        Effect.suspend(() => {
          left = true
          return Effect.unlessEffect(late, Deferred.fail(answer, clientClosed(operation)))
        })
      const withdraw = onClosing(leave(Deferred.await(settled)))
      yield* watch(
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(Effect.zip(Effect.exit(restore(create)), Effect.getFiberRefs), ([exit, refs]) => {
            if (left && Exit.isSuccess(exit)) return abandoned(exit.value)
            if (left && Exit.isInterrupted(exit)) return untold(operation)
            written = refs
            return Deferred.done(answer, exit)
          })
        )
      )
      return yield* restore(Deferred.await(answer)).pipe(
        Effect.onInterrupt(() => leave(Effect.ignore(Effect.flatMap(Deferred.await(answer), abandoned)))),
        Effect.ensuring(Effect.suspend(() => handBack(written))),
        // The end of the service comes before what is owned by nobody yet.
        Effect.flatMap((created): Effect.Effect<B, E2 | RWKVConnectionError, R2> =>
          closing() ? Effect.zipRight(abandoned(created), clientClosed(operation)) : owned(created)
        ),
        Effect.ensuring(Effect.zipRight(Effect.sync(withdraw), Deferred.succeed(settled, undefined)))
      )
    })
  )

export interface Release extends Farewell.Farewell {
  /** What comes first: the end of a connection, which may never come. */
  readonly after?: Effect.Effect<unknown> | undefined
  /** How long the caller is held up, at most. */
  readonly within?: Duration.DurationInput
}

/**
 * Bids farewell to a task in the background. The caller waits for `after` and for the answer to the first stop,
 * whatever state its fiber is in, and never for a deletion. It never fails.
 */
const makeRelease = (farewell: ReturnType<typeof Farewell.make>, watch: Watch) => (release: Release) =>
  Effect.gen(function*() {
    const { within = "2 seconds" } = release
    const after = release.after === undefined ? Effect.void : Fiber.join(yield* Effect.forkDaemon(release.after))
    if (release.stop !== true && release.delete !== true) return yield* Effect.asVoid(atMost(after, within))
    const [closed, stopped] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const { cut, steps } = farewell(release, Deferred.succeed(stopped, undefined))
    yield* watch(inSpan(Effect.zipRight(Deferred.await(closed), steps)), cut)
    const begin = Deferred.succeed(closed, undefined)
    const answered = release.stop === true ? Effect.zipRight(begin, Deferred.await(stopped)) : Effect.void
    const inTime = yield* Effect.ensuring(atMost(Effect.zipRight(after, answered), within), begin)
    if (inTime) return
    yield* Farewell.logged(Effect.logDebug(`${release.operation}: task ${release.taskId} may not have ended yet`))
  })
