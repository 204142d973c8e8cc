/**
 * From Effects to promises: abort signals come in, and what went wrong goes out as itself.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constVoid, isFunction } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RWKVValidationError } from "../../RWKVError.js"
import { attempt, invalid } from "../input/validate.js"
import { clientClosed, closedBefore } from "../wire/closed.js"
import { asyncStream } from "./read.js"

type Options<O> = O & { readonly signal?: AbortSignal | undefined } | undefined

class Aborted {
  readonly reason: unknown
  constructor({ reason }: AbortSignal) {
    this.reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason
  }
}

/** Not every signal is of this realm's class. */
const isSignal = (value: unknown): value is AbortSignal =>
  hasProperty(value, "aborted") && hasProperty(value, "addEventListener") && isFunction(value.addEventListener) &&
  hasProperty(value, "removeEventListener") && isFunction(value.removeEventListener)

const until = <A, E, R>(signal: AbortSignal, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Aborted, R> => {
  const aborted = Effect.suspend(() => Effect.fail(new Aborted(signal)))
  const abort = Effect.async<never, Aborted>((resume) => {
    const onAbort = () => resume(aborted)
    signal.addEventListener("abort", onAbort, { once: true })
    if (signal.aborted) onAbort()
    return Effect.sync(() => signal.removeEventListener("abort", onAbort))
  })
  return Effect.suspend(() => signal.aborted ? aborted : Effect.raceFirst(effect, abort))
}

/** Takes the signal out of the options of a verb, which does not know it, and runs the verb until that aborts. */
const perform = <O extends object, A, E, R>(
  operation: string,
  options: Options<O>,
  use: (options: O | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Aborted | RWKVValidationError, R> =>
  Effect.gen(function*() {
    const signal = yield* attempt(operation, "signal", () => options?.signal)
    if (signal !== undefined && !isSignal(signal)) {
      return yield* Effect.fail(invalid(operation, "signal", "must be an AbortSignal"))
    }
    // An option that is undefined is not given.
    const rest = options === undefined || signal === undefined ? options : { ...options, signal: undefined }
    const effect = Effect.flatten(attempt(operation, "", () => use(rest)))
    return yield* signal === undefined ? effect : until(signal, effect)
  })

/** An error that passed a span is a Proxy of itself. What nobody failed with was interrupted by the client's end. */
const thrown = (operation: string, cause: Cause.Cause<unknown>): unknown => {
  if (Cause.isInterruptedOnly(cause)) return clientClosed(operation)
  const error = Cause.originalError(Cause.squash(cause))
  return error instanceof Aborted ? error.reason : error
}

/** Runs all that a client is asked for, until it is closed. */
export const runner = <R, E>(layer: Layer.Layer<R, E>) => {
  const runtime = ManagedRuntime.make(layer)
  const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  let closing: Promise<void> | undefined

  /** What it returns interrupts, and waits for what that takes. */
  const start = <A, E>(
    operation: string,
    effect: Effect.Effect<A, E, R>,
    resolve: (value: A) => void,
    reject: (reason: unknown) => void
  ) => {
    const fiber: Fiber.RuntimeFiber<A, unknown> = closing === undefined
      ? runtime.runFork(effect)
      : Effect.runFork(Effect.fail(closedBefore(operation)))
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      if (exit._tag === "Success") resolve(exit.value)
      else reject(thrown(operation, exit.cause))
    })
    return () => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  return {
    call: <O extends object, A, E>(
      operation: string,
      options: Options<O>,
      use: (options: O | undefined) => Effect.Effect<A, E, R>
    ) => new Promise<A>((resolve, reject) => void start(operation, perform(operation, options, use), resolve, reject)),

    streamed: <O extends object, A, E>(
      operation: string,
      options: Options<O>,
      use: (options: O | undefined) => Stream.Stream<A, E, R>
    ) =>
      asyncStream<A>(operation, (each, ended) =>
        start(
          operation,
          perform(operation, options, (rest) => Stream.runForEach(use(rest), each)),
          () => ended(),
          (reason) => ended({ reason })
        )),

    /** Acquires what lasts until it is let go by the function beside it, by the signal or by the end of the client. */
    hold: <O extends object, A, E>(
      operation: string,
      options: Options<O>,
      use: (options: O | undefined) => Effect.Effect<A, E, R | Scope.Scope>
    ) =>
      new Promise<readonly [A, () => Promise<void>]>((resolve, reject) => {
        const leave = start(
          operation,
          perform(operation, options, (rest) =>
            Effect.scoped(Effect.flatMap(use(rest), (held) => {
              resolve([held, () => leave()])
              // Effect.never would keep the process alive.
              return Effect.async<never>(constVoid)
            }))),
          constVoid,
          reject
        )
      }),

    /** The services end first, so that what is open fails by their word; what still waits then is let go. */
    close: () =>
      closing ??= Effect.runPromise(Effect.ensuring(
        runtime.disposeEffect,
        Effect.suspend(() => Fiber.interruptAll(Array.from(fibers)))
      ))
  }
}
