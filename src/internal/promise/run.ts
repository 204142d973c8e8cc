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
import { attempt, invalid } from "../input/validate.js"
import { clientClosed, closedBefore } from "../wire/closed.js"
import { asyncStream, type Lock } from "./read.js"

type Abortable = { readonly signal?: AbortSignal | undefined }

type Callback<F> = F extends (told: infer A) => Effect.Effect<void> ? (told: A) => PromiseLike<void> | void : F

/** The options of a verb as promises have them. */
export type Options<O> = O extends unknown ? Abortable & { readonly [K in keyof O]: Callback<O[K]> } : never

/** An option that is undefined is not given. What the callback throws is the caller's own, and passes as it is. */
function effectful<O extends object>(options: Options<O> | undefined): O | undefined
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

/** From verbs of the Effect API to questions, with options alone or after a request. */
const asking = (holder?: AbortSignal) => {
  const asks =
    <O extends object, T>(operation: string, verb: (options?: O) => T) => (options?: Options<O>): Asked<T> => ({
      operation,
      options,
      holder,
      use: () => verb(effectful(options))
    })
  const sends =
    <Q, O extends object, T>(operation: string, verb: (request: Q, options?: O) => T) =>
    (request: Q, options?: Options<O>): Asked<T> => asks(operation, (options?: O) => verb(request, options))(options)
  return { asks, sends }
}

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
    // In the fiber that asks, so that what it does first is done at once.
    const effect = Effect.withFiberRuntime<A, unknown, R>((fiber) => {
      const onAbort = () => fiber.unsafeInterruptAsFork(fiber.id())
      const listen = Effect.try({
        try: () => {
          signal = options?.signal
          if (signal !== undefined) signal.addEventListener("abort", onAbort, { once: true })
        },
        catch: () => invalid(operation, "signal", "must be an AbortSignal")
      })
      const verb = () => signal?.aborted === true ? Effect.interrupt : Effect.flatten(attempt(operation, "", use))
      const ignore = Effect.sync(() => signal?.removeEventListener("abort", onAbort))
      return Effect.acquireUseRelease(listen, verb, () => ignore)
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
      else if (Cause.isInterruptedOnly(exit.cause)) reject(clientClosed(operation))
      // An error that passed a span is a Proxy of itself.
      else reject(Cause.originalError(Cause.squash(exit.cause)))
    })
    return () => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  const call = <A>(asked: Asked<Effect.Effect<A, unknown, R>>) =>
    new Promise<A>((resolve, reject) => void start(asked, resolve, reject))

  const read = <A>(asked: Asked<Stream.Stream<A, unknown, R>>, lock: Lock = {}) =>
    asyncStream<A>(
      (each, finish, fail) => start({ ...asked, use: () => Stream.runForEach(asked.use(), each) }, finish, fail),
      () => invalid(asked.operation, "", "has one reader, and was read already"),
      lock
    )

  /** What is held ends with its reader, and with those who are told its end. */
  const holding = <A>({ operation, options }: Asked<unknown>, held: A, leave: () => Promise<void>) => {
    const lock: Lock = {}
    const left = Effect.promise(leave)
    const close = async () => void await Promise.all([lock.leave?.(), leave()])
    return {
      ...asking(options?.signal),
      held,
      ends: { close, [Symbol.asyncDispose]: close },
      read: <B>(stream: Stream.Stream<B, unknown, R>) =>
        read({ operation, options, use: () => Stream.ensuring(stream, left) }, lock),
      tell: <B>(end: Effect.Effect<B, unknown, R>) => () =>
        call({ operation, holder: options?.signal, use: () => Effect.ensuring(end, left) })
    }
  }

  /** Acquires what lasts until it is closed, or left by its reader, or its signal aborts, or the client ends. */
  const hold = <A>(asked: Asked<Effect.Effect<A, unknown, R | Scope.Scope>>) =>
    new Promise<ReturnType<typeof holding<A>>>((resolve, reject) => {
      // Effect.never would keep the process alive.
      const open = (held: A) => Effect.async<never>(() => resolve(holding(asked, held, () => leave())))
      const use = () => Effect.scoped(Effect.flatMap(asked.use(), open))
      const leave: () => Promise<void> = start({ ...asked, use }, constVoid, reject)
    })

  /** The services end first, so that what is open fails by their word; what still waits then is let go. */
  const close = () => {
    const end = Effect.suspend(() => Fiber.interruptAll(Array.from(fibers)))
    // Later, for what is closed may call the client from within.
    closing ??= Promise.resolve().then(() => Effect.runPromise(Effect.ensuring(runtime.disposeEffect, end)))
    return closing
  }
  return { ...asking(), call, close, hold, read }
}
