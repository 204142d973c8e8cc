/**
 * Running an effect in a fiber of its own that begins at once, beside a time limit or another end.
 *
 * `Effect.timeoutFail` and `Effect.raceFirst` fork both sides, schedule them and join what they did: beside a small request
 * that costs as much as the request itself.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as alarm from "./alarm.js"

/** @internal */
export interface Started<E> {
  /** Interrupts the effect and waits for its end; nothing is told any more. */
  readonly interrupt: Effect.Effect<void>
  /** Interrupts the effect; when it has ended, this is told as its failure. */
  readonly fail: (error: E) => void
}

/** @internal */
export interface Options<A, E, E2> {
  /** After how long by which clock it is interrupted, and said to have failed with what. */
  readonly limit?: { readonly duration: Duration.Duration; readonly clock: Clock.Clock; readonly expired: () => E2 }
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
  // What is done is let go: whoever can interrupt it may keep that for hours.
  let fiber: Fiber.RuntimeFiber<A, E> | undefined
  let unset: (() => void) | undefined
  const fail = (error: E2) => {
    if (early !== undefined || fiber === undefined) return
    early = Exit.fail(error)
    fiber.unsafeInterruptAsFork(fiber.id())
  }
  fiber = Runtime.runFork(runtime)(effect, updateRefs === undefined ? undefined : { updateRefs })
  fiber.addObserver((exit) => {
    unset?.()
    fiber = unset = undefined
    if (!muted) onExit(early ?? exit)
  })
  if (fiber !== undefined && limit !== undefined) {
    unset = alarm.after(limit.clock, Duration.toMillis(limit.duration), () => fail(limit.expired()))
  }
  return {
    fail,
    interrupt: Effect.suspend(() => {
      muted = true
      return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(fiber))
    })
  }
}
