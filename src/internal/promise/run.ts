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

/** What is asked of a verb, by its name. If `holder` has aborted, it failed for that. */
export interface Asked<T> {
  readonly operation: string
  readonly options?: Abortable | undefined
  readonly holder?: AbortSignal | undefined
  readonly use: () => T
}

export const asking = (holder?: AbortSignal) =>
<Args extends ReadonlyArray<unknown>, O extends object, T>(
  operation: string,
  options: Plain<O> | undefined,
  verb: (...args: [...Args, O | undefined]) => T,
  ...args: Args
): Asked<T> => ({ operation, options, holder, use: () => verb(...args, effectful(options)) })

/** In the fiber that asks, so that what it does first is done at once. */
const until = <A, E, R>(operation: string, signal: AbortSignal | undefined, effect: Effect.Effect<A, E, R>) =>
  Effect.withFiberRuntime<A, E | RWKVValidationError, R>((fiber) => {
    if (signal === undefined) return effect
    if (signal.aborted) return Effect.interrupt
    const onAbort = () => fiber.unsafeInterruptAsFork(fiber.id())
    const listen = Effect.try({
      try: () => signal.addEventListener("abort", onAbort, { once: true }),
      catch: () => invalid(operation, "signal", "must be an AbortSignal")
    })
    const ignore = Effect.sync(() => signal.removeEventListener("abort", onAbort))
    return Effect.acquireUseRelease(listen, () => effect, () => ignore)
  })

/** Runs all that a client is asked for, until it is closed. */
export const runner = <R, E>(layer: Layer.Layer<R, E>) => {
  const runtime = ManagedRuntime.make(layer)
  const fibers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  let closing: Promise<void> | undefined

  /** What it returns interrupts, and waits for what that takes. */
  const start = <A>(
    { holder, operation, options, use }: Asked<Effect.Effect<A, unknown, R>>,
    resolve: (value: A) => void,
    reject: (reason: unknown) => void
  ) => {
    let signal: AbortSignal | undefined
    const verb = Effect.flatten(attempt(operation, "", use))
    const given = attempt(operation, "signal", () => signal = options?.signal)
    const fiber: Fiber.RuntimeFiber<A, unknown> = closing === undefined
      ? runtime.runFork(Effect.flatMap(given, (signal) => until(operation, signal, verb)))
      : Effect.runFork(Effect.fail(closedBefore(operation)))
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      const aborted = [signal, holder].find((each) => each?.aborted)
      if (exit._tag === "Success") resolve(exit.value)
      else if (aborted !== undefined) reject(aborted.reason)
      else if (Cause.isInterruptedOnly(exit.cause)) reject(clientClosed(operation))
      // An error that passed a span is a Proxy of itself.
      else reject(Cause.originalError(Cause.squash(exit.cause)))
    })
    return () => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  const call = <A, E>(asked: Asked<Effect.Effect<A, E, R>>) =>
    new Promise<A>((resolve, reject) => void start(asked, resolve, reject))

  const read = <A, E>(asked: Asked<Stream.Stream<A, E, R>>, lock?: { taken: boolean }) =>
    asyncStream<A>(
      asked.operation,
      (each, ended, failed) => start({ ...asked, use: () => Stream.runForEach(asked.use(), each) }, ended, failed),
      lock
    )

  /** What is held ends with its reader, and with those who are told its end. */
  const holding = <A>(operation: string, held: A, leave: () => Promise<void>, signal: AbortSignal | undefined) => {
    const lock = { taken: false }
    const leaves: Array<() => PromiseLike<void>> = [leave]
    const left = Effect.promise(leave)
    const close = async () => void await Promise.all(leaves.map((leave) => leave()))
    return {
      held,
      ask: asking(signal),
      ends: { close, [Symbol.asyncDispose]: close },
      read: <B, E>(stream: Stream.Stream<B, E, R>) => {
        const mine = read({ operation, options: { signal }, use: () => Stream.ensuring(stream, left) }, lock)
        leaves.unshift(mine[Symbol.asyncDispose])
        return mine
      },
      tell: <B, E>(end: Effect.Effect<B, E, R>) => () =>
        call({ operation, holder: signal, use: () => Effect.ensuring(end, left) })
    }
  }

  /** Acquires what lasts until it is closed, or left by its reader, or its signal aborts, or the client ends. */
  const hold = <A, E>(asked: Asked<Effect.Effect<A, E, R | Scope.Scope>>) =>
    new Promise<ReturnType<typeof holding<A>>>((resolve, reject) => {
      const use = () =>
        Effect.scoped(Effect.flatMap(asked.use(), (held) => {
          resolve(holding(asked.operation, held, () => leave(), asked.options?.signal))
          // Effect.never would keep the process alive.
          return Effect.async<never>(constVoid)
        }))
      const leave: () => Promise<void> = start({ ...asked, use }, constVoid, reject)
    })

  /** The services end first, so that what is open fails by their word; what still waits then is let go. */
  const close = () => {
    const end = Effect.suspend(() => Fiber.interruptAll(Array.from(fibers)))
    // Later, for what is closed may call the client from within.
    closing ??= Promise.resolve().then(() => Effect.runPromise(Effect.ensuring(runtime.disposeEffect, end)))
    return closing
  }
  return { call, close, hold, read }
}
