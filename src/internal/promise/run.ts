/**
 * From Effects to promises: abort signals come in, and what went wrong goes out as itself.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constVoid, isFunction } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { attempt, invalid } from "../input/validate.js"
import { clientClosed, closedBefore } from "../wire/closed.js"
import { asyncStream } from "./read.js"

type Options<O> = O & { readonly signal?: AbortSignal | undefined } | undefined

/** What is rejected with after an abort: signals of old runtimes have no reason. */
export const reasonOf = ({ reason }: AbortSignal): unknown =>
  reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason

/** Not every signal is of this realm's class. */
const isSignal = (value: unknown): value is AbortSignal =>
  hasProperty(value, "aborted") && hasProperty(value, "addEventListener") && isFunction(value.addEventListener) &&
  hasProperty(value, "removeEventListener") && isFunction(value.removeEventListener)

/** In the fiber that asks, so that what it does first is done at once. */
const until = <A, E, R>(signal: AbortSignal, effect: Effect.Effect<A, E, R>) =>
  Effect.withFiberRuntime<A, E, R>((fiber) => {
    if (signal.aborted) return Effect.interrupt
    const onAbort = () => fiber.unsafeInterruptAsFork(fiber.id())
    signal.addEventListener("abort", onAbort, { once: true })
    return Effect.ensuring(effect, Effect.sync(() => signal.removeEventListener("abort", onAbort)))
  })

/** As `Stream.runForEach`, in the same fiber: who reads first has begun first. */
const forEach = <A, E, R>(stream: Stream.Stream<A, E, R>, each: (value: A) => Effect.Effect<void>) =>
  Stream.toPull(stream).pipe(
    Effect.flatMap((pull) => Effect.forever(Effect.flatMap(pull, Effect.forEach(each, { discard: true })))),
    Effect.catchAll(Option.match({ onNone: () => Effect.void, onSome: (error) => Effect.fail(error) })),
    Effect.scoped
  )

/** Runs all that a client is asked for, until it is closed. */
export const runner = <R, E>(layer: Layer.Layer<R, E>) => {
  const runtime = ManagedRuntime.make(layer)
  const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  let closing: Promise<void> | undefined

  /** Runs a verb, without the signal that it does not know. What it returns interrupts, and waits for what that takes. */
  const start = <O extends object, A, E>(
    operation: string,
    options: Options<O>,
    use: (options: O | undefined) => Effect.Effect<A, E, R>,
    resolve: (value: A) => void,
    reject: (reason: unknown) => void
  ) => {
    let signal: AbortSignal | undefined
    const effect = Effect.gen(function*() {
      const given = yield* attempt(operation, "signal", () => options?.signal)
      if (given !== undefined && !isSignal(given)) {
        return yield* Effect.fail(invalid(operation, "signal", "must be an AbortSignal"))
      }
      signal = given
      // An option that is undefined is not given.
      const rest = options === undefined || signal === undefined ? options : { ...options, signal: undefined }
      const verb = Effect.flatten(attempt(operation, "", () => use(rest)))
      return yield* signal === undefined ? verb : until(signal, verb)
    })
    const fiber: Fiber.RuntimeFiber<A, unknown> = closing === undefined
      ? runtime.runFork(effect)
      : Effect.runFork(Effect.fail(closedBefore(operation)))
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      if (exit._tag === "Success") resolve(exit.value)
      // An error that passed a span is a Proxy of itself.
      else if (!Cause.isInterruptedOnly(exit.cause)) reject(Cause.originalError(Cause.squash(exit.cause)))
      else reject(signal?.aborted === true ? reasonOf(signal) : clientClosed(operation))
    })
    return () => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  return {
    call: <O extends object, A, E>(
      operation: string,
      options: Options<O>,
      use: (options: O | undefined) => Effect.Effect<A, E, R>
    ) => new Promise<A>((resolve, reject) => void start(operation, options, use, resolve, reject)),

    streamed: <O extends object, A, E>(
      operation: string,
      options: Options<O>,
      use: (options: O | undefined) => Stream.Stream<A, E, R>
    ) =>
      asyncStream<A>(operation, (each, ended) =>
        start(
          operation,
          options,
          (rest) => forEach(use(rest), each),
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
          options,
          (rest) =>
            Effect.scoped(Effect.flatMap(use(rest), (held) => {
              resolve([held, () => leave()])
              // Effect.never would keep the process alive.
              return Effect.async<never>(constVoid)
            })),
          constVoid,
          reject
        )
      }),

    /** The services end first, so that what is open fails by their word; what still waits then is let go. */
    close: () => {
      const end = Effect.suspend(() => Fiber.interruptAll(Array.from(fibers)))
      // Later, for what is closed may call the client from within.
      closing ??= Promise.resolve().then(() => Effect.runPromise(Effect.ensuring(runtime.disposeEffect, end)))
      return closing
    }
  }
}
