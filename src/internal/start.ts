/**
 * Running an effect in a fiber of its own that begins at once, beside a time limit or another end.
 *
 * `Effect.timeoutFail` and `Effect.raceFirst` fork both sides, schedule them and join what they did: beside a small request
 * that costs as much as the request itself.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

/** @internal */
export interface Started<E> {
  /** Interrupts the effect and waits for its end; nothing is told any more. */
  readonly interrupt: Effect.Effect<void>
  /** Interrupts the effect; when it has ended, this is told as its failure. */
  readonly fail: (error: E) => void
}

/** @internal */
export interface Options<A, E, E2> {
  /** After how long it is interrupted, and said to have failed with what. */
  readonly limit?: { readonly duration: Duration.Duration; readonly expired: () => E2 }
  readonly onExit: (exit: Exit.Exit<A, E | E2>) => void
  readonly updateRefs?: Runtime.RunForkOptions["updateRefs"]
}

/**
 * What a fiber hands to those it starts. They can be interrupted even where their parent cannot.
 *
 * @internal
 */
export const runtimeOf = <R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  context: Context.Context<R>
): Runtime.Runtime<R> =>
  Runtime.make({ context, fiberRefs: fiber.getFiberRefs(), runtimeFlags: Runtime.defaultRuntimeFlags })

/**
 * That of the calling fiber.
 *
 * @internal
 */
export const runtime: Effect.Effect<Runtime.Runtime<never>> = Effect.withFiberRuntime((fiber) =>
  Effect.succeed(runtimeOf(fiber, fiber.currentContext))
)

/**
 * Begins an effect in the calling stack, and tells how it ended.
 *
 * @internal
 */
export const start = <A, E, E2, R>(
  runtime: Runtime.Runtime<R>,
  effect: Effect.Effect<A, E, R>,
  { limit, onExit, updateRefs }: Options<A, E, E2>
): Started<E2> => {
  let early: Exit.Exit<never, E2> | undefined
  let muted = false
  const fiber = Runtime.runFork(runtime)(effect, updateRefs === undefined ? undefined : { updateRefs })
  const fail = (error: E2) => {
    if (early !== undefined || fiber.unsafePoll() !== null) return
    early = Exit.fail(error)
    fiber.unsafeInterruptAsFork(fiber.id())
  }
  const timer = limit !== undefined && Duration.isFinite(limit.duration) && fiber.unsafePoll() === null
    ? Runtime.runFork(runtime)(Effect.map(Effect.sleep(limit.duration), () => fail(limit.expired())))
    : undefined
  fiber.addObserver((exit) => {
    timer?.unsafeInterruptAsFork(fiber.id())
    if (!muted) onExit(early ?? exit)
  })
  return {
    fail,
    interrupt: Effect.suspend(() => {
      muted = true
      return Effect.asVoid(Fiber.interrupt(fiber))
    })
  }
}
