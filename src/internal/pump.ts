/**
 * From signals to elements: while the consumer waits, signals are heard in the stack that brings them, and it is woken only for
 * what it has to take or to do.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import type { RWKVError } from "../RWKVError.js"
import type { Pull } from "./pull.js"
import { start, type Started } from "./start.js"

/**
 * What is more than hearing a signal: it may wait, ask, connect and fail.
 *
 * @internal
 */
export type Step = Effect.Effect<void, RWKVError>

/** @internal */
export interface Subject<S> {
  readonly runtime: Runtime.Runtime<never>
  /** The next signal, if there is one. */
  readonly poll: () => S | undefined
  /** Hears it, and says what has to happen before the next is heard. */
  readonly hear: (signal: S) => Step | undefined
  /** Tells what was heard since the last time, when nothing is left to hear for the moment, or before a step. */
  readonly settle: () => Step | undefined
  /** How it ends when everything was taken, once there is an end. */
  readonly end: () => Effect.Effect<never, Option.Option<RWKVError>> | undefined
}

/** @internal */
export interface Pump<A> {
  /** Puts an element in line, if there is one. */
  readonly tell: (told: A | undefined) => void
  /** Whether a signal is being waited for. */
  readonly waits: () => boolean
  /** Says that there may be a signal. */
  readonly hark: () => void
  /** Puts a step before the next signal. */
  readonly first: (step: Step | undefined) => void
  /** Ends the step that is being carried out. */
  readonly fail: (error: RWKVError) => void
  readonly pull: Pull<A, RWKVError>
}

/** @internal */
export const make = <A, S>({ end, hear, poll, runtime, settle }: Subject<S>): Pump<A> => {
  let line: Array<A> = []
  let next: Step | undefined
  let performed: Started<RWKVError> | undefined
  let wake: (() => void) | undefined

  /** Hears what has come, up to a step; false if there is nothing for the consumer. */
  const advance = (): boolean => {
    while (next === undefined) {
      const signal = poll()
      if (signal === undefined) break
      next = hear(signal)
    }
    next = settle() ?? next
    return next !== undefined || line.length > 0
  }

  const hark = () => {
    if (wake !== undefined && advance()) wake()
  }

  const more = Effect.async<void>((resume) => {
    wake = () => {
      wake = undefined
      resume(Effect.void)
    }
    hark()
    return Effect.sync(() => {
      wake = undefined
    })
  })

  const perform = (step: Step) =>
    Effect.async<void, Option.Option<RWKVError>>((resume) => {
      let over = false
      const begun = start<void, RWKVError, RWKVError, never>(runtime, step, {
        onExit: (exit) => {
          over = true
          performed = undefined
          resume(Effect.mapError(exit, Option.some))
        }
      })
      if (!over) performed = begun
      return begun.interrupt
    })

  const pull: Pull<A, RWKVError> = Effect.suspend(() => {
    if (line.length > 0) {
      // More may have come since the consumer was woken.
      advance()
      const told = line
      line = []
      return Effect.succeed(Chunk.unsafeFromArray(told))
    }
    const ended = end()
    if (ended !== undefined) return ended
    const step = next
    next = undefined
    return Effect.flatMap(step === undefined ? more : perform(step), () => pull)
  })

  return {
    tell: (told) => {
      if (told !== undefined) line.push(told)
    },
    waits: () => wake !== undefined,
    hark,
    first: (step) => {
      next = settle() ?? step
    },
    fail: (error) => performed?.fail(error),
    pull
  }
}
