/**
 * What a service started on the server ends with it: no task is left running for nobody, however its owner goes.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId } from "../../Protocol.js"
import { RWKVConnectionError } from "../../RWKVError.js"
import * as alarm from "../alarm.js"
import { runtimeOf, start, type Started } from "../start.js"

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
  readonly acquire: <A, E, B, E2, R2>(
    operation: string,
    create: Effect.Effect<A, E>,
    owned: (created: A) => Effect.Effect<B, E2, R2>,
    abandoned: (created: A) => Effect.Effect<void>
  ) => Effect.Effect<B, E | E2 | RWKVConnectionError, R2>
  /** Stops and deletes a task, once, within a limit, whatever state the calling fiber is in. It never fails. */
  readonly release: (farewell: Farewell) => Effect.Effect<void>
  /** Runs a fiber that the service's end waits for. */
  readonly watch: (effect: Effect.Effect<void>) => Effect.Effect<Fiber.RuntimeFiber<void>>
  /** What the end of the service runs, and waits for; what is returned takes it back. */
  readonly onClosing: (end: Effect.Effect<void>) => () => void
  /** Whether the service is about to end. */
  readonly closing: () => boolean
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

/** Real time: a program under a test clock ends without anyone to move that clock. */
const realClock = Clock.make()

/** @internal */
export const make = (http: HttpClient.Service): Effect.Effect<Lifetime, never, Scope.Scope> =>
  Effect.gen(function*() {
    const inner = yield* Scope.make()
    const fibers = new Set<Fiber.RuntimeFiber<unknown>>()
    const ends = new Set<Effect.Effect<void>>()
    /** What is cut short when the end of the service has waited for long enough. */
    const cuts = new Set<() => void>()
    let closing = false

    /** Cuts short when the service has ended for so long. */
    const patiently = (cut: () => void) => alarm.after(realClock, Duration.toMillis(grace), cut)

    /**
     * In a fiber of its own: one that is being interrupted cannot be interrupted again, not even by a time limit. False if the
     * time was too short, or the service's own.
     */
    const detached = (effect: Effect.Effect<unknown>, within: Duration.DurationInput): Effect.Effect<boolean> =>
      Effect.uninterruptible(Effect.withFiberRuntime((fiber) => {
        const runtime = runtimeOf(fiber, fiber.currentContext)
        return Effect.async<boolean>((resume) => {
          let late = false
          let begun: Started<void> | undefined
          const cut = () => {
            late = true
            begun?.fail()
          }
          cuts.add(cut)
          const unset = closing ? patiently(cut) : undefined
          begun = start(runtime, effect, {
            limit: {
              clock: Context.get(fiber.currentDefaultServices, Clock.Clock),
              duration: Duration.decode(within),
              expired: () => {
                late = true
              }
            },
            onExit: () => {
              unset?.()
              cuts.delete(cut)
              resume(Effect.succeed(!late))
            }
          })
        })
      }))

    const run = (runtime: Runtime.Runtime<never>, effect: Effect.Effect<void>) => {
      const fiber = Runtime.runFork(runtime)(effect)
      fibers.add(fiber)
      fiber.addObserver(() => fibers.delete(fiber))
      return fiber
    }

    const ended = Effect.suspend(() => Effect.forEach(ends, (end) => end, { concurrency: "unbounded", discard: true }))
      .pipe(
        Effect.zipRight(Effect.whileLoop({
          while: () => fibers.size > 0,
          body: () => Fiber.awaitAll(fibers),
          step: () => {}
        }))
      )
    yield* Effect.addFinalizer((exit) =>
      Effect.suspend(() => {
        closing = true
        const unset = patiently(() => cuts.forEach((cut) => cut()))
        return detached(ended, grace).pipe(
          Effect.zipRight(Effect.sync(unset)),
          Effect.zipRight(Scope.close(inner, exit)),
          Effect.zipRight(Effect.suspend(() => Fiber.interruptAll(fibers)))
        )
      })
    )

    const release: Lifetime["release"] = (farewell) => {
      const { operation, taskId, within } = farewell
      if (!farewell.stop && !farewell.delete) return Effect.void
      const log = logFailure(farewell)
      const tell = (request: Effect.Effect<unknown, unknown>) => Effect.catchAllCause(request, () => log)
      const requests = Effect.zipRight(
        farewell.stop ? tell(http.stop(taskId, { operation })) : Effect.void,
        farewell.delete ? tell(http.delete(taskId, { operation, force: true })) : Effect.void
      )
      // The server says yes to a stop before it has an effect, and sometimes it has none.
      const check = () =>
        http.status(taskId, { operation }).pipe(
          Effect.delay(within),
          Effect.flatMap(({ status }) => status === "Finished" ? Effect.void : log),
          Effect.ignore,
          Effect.interruptible,
          Effect.forkIn(inner),
          Effect.asVoid
        )
      return detached(requests, within).pipe(
        Effect.flatMap((done) => done ? Effect.void : log),
        Effect.zipRight(farewell.stop && !farewell.delete ? Effect.suspend(check) : Effect.void)
      )
    }

    const onClosing: Lifetime["onClosing"] = (end) => {
      ends.add(end)
      return () => {
        ends.delete(end)
      }
    }

    const acquire = <A, E, B, E2, R2>(
      operation: string,
      create: Effect.Effect<A, E>,
      owned: (created: A) => Effect.Effect<B, E2, R2>,
      abandoned: (created: A) => Effect.Effect<void>
    ) =>
      Effect.suspend(() => {
        type Answer = Exit.Exit<A, E | RWKVConnectionError>
        let answer: Answer | undefined
        let gone = false
        let tell: (answer: Answer) => void = () => {}
        let withdraw = () => {}
        const answered = (exit: Answer) => {
          withdraw()
          answer = exit
          tell(exit)
        }
        const end = Effect.sync(() => {
          if (answer !== undefined) return
          gone = true
          answered(Exit.fail(clientClosed(operation)))
        })
        const created = Effect.uninterruptibleMask((restore) =>
          Effect.matchCauseEffect(restore(create), {
            onFailure: (cause) => Effect.sync(() => gone ? undefined : answered(Exit.failCause(cause))),
            onSuccess: (created) =>
              Effect.suspend(() => {
                if (gone) return abandoned(created)
                answered(Exit.succeed(created))
                return Effect.void
              })
          })
        )
        const begin: Effect.Effect<void, RWKVConnectionError> = Effect.withFiberRuntime((fiber) => {
          if (closing) return Effect.fail(clientClosed(operation))
          withdraw = onClosing(end)
          run(runtimeOf(fiber, fiber.currentContext), created)
          return Effect.void
        })
        const told = Effect.async<A, E | RWKVConnectionError>((resume) => {
          tell = resume
          if (answer !== undefined) resume(answer)
        })
        const leave = Effect.suspend(() => {
          gone = true
          withdraw()
          return answer !== undefined && Exit.isSuccess(answer) ? abandoned(answer.value) : Effect.void
        })
        return Effect.uninterruptibleMask((restore) =>
          // Who is gone already creates nothing.
          restore(Effect.void).pipe(
            Effect.zipRight(begin),
            Effect.zipRight(Effect.onInterrupt(restore(told), () => leave)),
            // The end of the service comes before what is owned by nobody yet.
            Effect.flatMap((created): Effect.Effect<B, E2 | RWKVConnectionError, R2> =>
              closing ? Effect.zipRight(abandoned(created), Effect.fail(clientClosed(operation))) : owned(created)
            )
          )
        )
      })

    return {
      acquire,
      closing: () => closing,
      onClosing,
      release,
      usable: (operation, taskId) =>
        Effect.suspend(() => closing ? Effect.fail(clientClosed(operation, taskId)) : Effect.void),
      watch: (effect) =>
        Effect.withFiberRuntime((fiber) => Effect.succeed(run(runtimeOf(fiber, fiber.currentContext), effect)))
    }
  })

const logFailure = (farewell: Farewell) =>
  Effect.logDebug(`${farewell.operation}: task ${farewell.taskId} is done with, and may not have ended`).pipe(
    Effect.annotateLogs({ package: "effect-rwkv" })
  )
