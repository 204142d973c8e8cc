/**
 * The limit of a request, a wait or a question: a sleep of its own on the Clock.
 *
 * Effect's own timeouts hand back FiberRefs only of an effect that succeeds, and cannot end one where the caller cannot
 * be interrupted. Middleware of the program's own may write to FiberRefs before a request fails or is late, and a
 * finalizer's request has a limit too.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { RWKVTimeoutError } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import { watched } from "./trouble.js"

/** Hands back what another fiber wrote to FiberRefs: all but its context. */
export const handBack = (refs: FiberRefs.FiberRefs | undefined): Effect.Effect<void> =>
  refs === undefined ? Effect.void : Effect.inheritFiberRefs(FiberRefs.delete(refs, FiberRef.currentContext))

/**
 * Interrupts an effect when its time is over, whether or not the caller may be interrupted. What `onTimeout` says is made
 * at that moment: the effect's finalizers come later.
 */
export const within = <A, E, R, B, E2>(
  effect: Effect.Effect<A, E, R>,
  duration: Duration.DurationInput,
  onTimeout: () => Effect.Effect<B, E2>
): Effect.Effect<A | B, E | E2, R> =>
  Duration.isFinite(Duration.decode(duration))
    ? Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.fork(Effect.interruptible(effect)), (child) => {
        let late: Effect.Effect<B, E2> | undefined
        const expire = Effect.suspend(() => {
          late = onTimeout()
          return child.interruptAsFork(FiberId.none)
        })
        return Effect.flatMap(Effect.fork(Effect.interruptible(Effect.delay(expire, duration))), (sleeper) =>
          restore(Fiber.await(child)).pipe(
            Effect.onInterrupt(() => Fiber.interrupt(child)),
            Effect.ensuring(Effect.zipRight(sleeper.interruptAsFork(FiberId.none), Fiber.inheritAll(child))),
            Effect.flatMap((exit): Effect.Effect<A | B, E | E2> =>
              late !== undefined && Exit.isFailure(exit) && Cause.isInterrupted(exit.cause) ? late : exit
            )
          ))
      })
    )
    : effect

/** Fails where the limit is reached, and tells what was being repeated then: one request is not. */
export const limited = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  limit: Duration.Duration,
  about: Pick<RWKVTimeoutError, "operation" | "taskId" | "kind">
) =>
  about.kind === "request"
    ? within(effect, limit, () => new RWKVTimeoutError({ ...about, limit }))
    : watched((trouble) =>
      within(effect, limit, () => {
        const cause = trouble.last()
        const error = new RWKVTimeoutError({ ...about, limit, ...(cause && { cause }) })
        return trouble.working ? begun(error) : error
      })
    )
