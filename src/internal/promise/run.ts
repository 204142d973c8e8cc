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

interface Abortable {
  readonly signal?: AbortSignal | undefined
}

type Callback<F> = F extends (told: infer A) => Effect.Effect<void> ? (told: A) => PromiseLike<void> | void : F

/** The options of a verb as promises have them. */
export type Plain<O> = O extends unknown ? Abortable & { readonly [K in keyof O]: Callback<O[K]> } : never

/** An option that is undefined is not given. What the callback throws is the caller's own, and passes as it is. */
function effectful<O extends object>(options: Plain<O> | undefined): O | undefined
function effectful(options: object | undefined): object | undefined {
  const told = hasProperty(options, "onProgress") ? options.onProgress : undefined
  const onProgress = isFunction(told) ? (a: unknown) => Effect.promise(async () => void await told(a)) : told
  return options === undefined ? options : { ...options, onProgress, signal: undefined }
}

/** In the fiber that asks, so that what it does first is done at once. */
const until = <A, E, R>(operation: string, signal: AbortSignal, effect: Effect.Effect<A, E, R>) =>
  Effect.withFiberRuntime<A, E | RWKVValidationError, R>((fiber) => {
    if (signal.aborted) return Effect.interrupt
    const onAbort = () => fiber.unsafeInterruptAsFork(fiber.id())
    const listen = Effect.try({
      try: () => signal.addEventListener("abort", onAbort, { once: true }),
      catch: () => invalid(operation, "signal", "must be an AbortSignal")
    })
    return Effect.acquireUseRelease(
      listen,
      () => effect,
      () => Effect.sync(() => signal.removeEventListener("abort", onAbort))
    )
  })

/** What is held, with what its reader reads, and what those are told who ask for its end: both let it go then. */
export interface Holding<A> {
  readonly held: A
  readonly signal: AbortSignal | undefined
  readonly close: () => Promise<void>
  readonly read: <B>(stream: Stream.Stream<B, unknown>) => ReturnType<typeof asyncStream<B>>
  readonly tell: <B>(end: Effect.Effect<B, unknown>) => () => Promise<B>
}

type Verb<Args extends ReadonlyArray<unknown>, O, Result> = (...args: [...Args, O | undefined]) => Result

/** Runs all that a client is asked for, until it is closed. */
export const runner = <R, E>(layer: Layer.Layer<R, E>) => {
  const runtime = ManagedRuntime.make(layer)
  const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  let closing: Promise<void> | undefined

  /** What it returns interrupts, and waits for what that takes. Under a holder's signal failures are that one's abort. */
  const start = <A>(
    operation: string,
    options: Abortable | undefined,
    use: (signal: AbortSignal | undefined) => Effect.Effect<A, unknown, R>,
    resolve: (value: A) => void,
    reject: (reason: unknown) => void,
    holder?: AbortSignal
  ) => {
    let signal: AbortSignal | undefined
    const effect = Effect.flatMap(attempt(operation, "signal", () => options?.signal), (given) => {
      signal = given
      const verb = Effect.flatten(attempt(operation, "", () => use(given)))
      return given === undefined ? verb : until(operation, given, verb)
    })
    const fiber: Fiber.RuntimeFiber<A, unknown> = closing === undefined
      ? runtime.runFork(effect)
      : Effect.runFork(Effect.fail(closedBefore(operation)))
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      const aborted = [signal, holder].find((each) => each?.aborted)
      if (exit._tag === "Success") resolve(exit.value)
      else if (aborted !== undefined) reject(aborted.reason)
      // An error that passed a span is a Proxy of itself.
      else if (!Cause.isInterruptedOnly(exit.cause)) reject(Cause.originalError(Cause.squash(exit.cause)))
      else reject(clientClosed(operation))
    })
    return () => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  const run = <A>(
    operation: string,
    options: Abortable | undefined,
    use: () => Effect.Effect<A, unknown, R>,
    holder?: AbortSignal
  ) => new Promise<A>((resolve, reject) => void start(operation, options, use, resolve, reject, holder))

  const read = <A>(
    operation: string,
    options: Abortable | undefined,
    use: () => Stream.Stream<A, unknown, R>,
    holder?: AbortSignal,
    lock?: { taken: boolean }
  ) =>
    asyncStream<A>(
      operation,
      (each, ended, failed) => start(operation, options, () => Stream.runForEach(use(), each), ended, failed, holder),
      lock
    )

  const holding = <A>(operation: string, held: A, leave: () => Promise<void>, signal?: AbortSignal): Holding<A> => {
    const lock = { taken: false }
    const leaves = [leave]
    const left = Effect.promise(leave)
    return {
      held,
      signal,
      close: async () => void await Promise.all(leaves.map((leave) => leave())),
      read: (stream) => {
        const mine = read(operation, { signal }, () => Stream.ensuring(stream, left), undefined, lock)
        leaves.unshift(mine[Symbol.asyncDispose])
        return mine
      },
      tell: (end) => () => run(operation, undefined, () => Effect.ensuring(end, left), signal)
    }
  }

  /** The verbs of a client, or of what it holds until that signal aborts. */
  const verbs = (holder?: AbortSignal) => ({
    call: <Args extends ReadonlyArray<unknown>, O extends object, A, E>(
      operation: string,
      options: Plain<O> | undefined,
      verb: Verb<Args, O, Effect.Effect<A, E, R>>,
      ...args: Args
    ) => run(operation, options, () => verb(...args, effectful(options)), holder),

    streamed: <Args extends ReadonlyArray<unknown>, O extends object, A, E>(
      operation: string,
      options: Plain<O> | undefined,
      verb: Verb<Args, O, Stream.Stream<A, E, R>>,
      ...args: Args
    ) => read(operation, options, () => verb(...args, effectful(options)), holder),

    /** Acquires what lasts until it is closed, or left by its reader, or its signal aborts, or the client ends. */
    hold: <Args extends ReadonlyArray<unknown>, O extends object, A, E>(
      operation: string,
      options: Plain<O> | undefined,
      verb: Verb<Args, O, Effect.Effect<A, E, R | Scope.Scope>>,
      ...args: Args
    ) =>
      new Promise<Holding<A>>((resolve, reject) => {
        const use = (signal: AbortSignal | undefined) =>
          Effect.scoped(Effect.flatMap(verb(...args, effectful(options)), (held) => {
            resolve(holding(operation, held, () => leave(), signal))
            // Effect.never would keep the process alive.
            return Effect.async<never>(constVoid)
          }))
        const leave: () => Promise<void> = start(operation, options, use, constVoid, reject, holder)
      })
  })

  return {
    verbs,
    /** The services end first, so that what is open fails by their word; what still waits then is let go. */
    close: () => {
      const end = Effect.suspend(() => Fiber.interruptAll(Array.from(fibers)))
      // Later, for what is closed may call the client from within.
      closing ??= Promise.resolve().then(() => Effect.runPromise(Effect.ensuring(runtime.disposeEffect, end)))
      return closing
    }
  }
}
