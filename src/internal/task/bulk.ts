/**
 * Many runs, a bounded number at a time, in constant memory.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { CreateRequest, FimRequest } from "../../Generation.js"
import type { TaskResult } from "../../Protocol.js"
import type { RWKVValidationError, WaitFailure } from "../../RWKVError.js"
import type { BulkOptions, BulkResult } from "../../Task.js"
import * as Options from "../input/options.js"
import * as validate from "../input/validate.js"
import type { Spans } from "../wire/telemetry.js"

type Request = CreateRequest | FimRequest

export const operation = "TaskService.runAll"

/** A quarter of the server's cache: every task beyond its 256 evicts another, running or not. */
const usualConcurrency = 64

const isStream = <A, E, R>(input: Iterable<A> | Stream.Stream<A, E, R>): input is Stream.Stream<A, E, R> =>
  hasProperty(input, Stream.StreamTypeId)

/** Pulls a request only when there is room for it: a caller's iterable may throw, and may be endless. */
const pulled = (requests: Iterable<Request>): Stream.Stream<Request, RWKVValidationError> => {
  const reading = <A>(read: () => A) => validate.attempt(operation, "", read)
  return Stream.unwrapScoped(Effect.gen(function*() {
    const iterator = yield* reading(() => requests[Symbol.iterator]())
    let open = true
    yield* Effect.addFinalizer(() => Effect.ignore(reading(() => open && iterator.return?.())))
    const next = Effect.suspend(() => {
      // `return` is not called on an iterator that has ended or thrown.
      open = false
      return reading(() => {
        const step = iterator.next()
        open = step.done !== true
        return open ? Option.some(step.value) : Option.none()
      })
    })
    return Stream.repeatEffectOption(
      Effect.flatMap(Effect.mapError(next, Option.some), Effect.mapError(() => Option.none<RWKVValidationError>()))
    )
  }))
}

/** `parent` opens the span that all runs are inside of. */
export const runAll = <E, R>(
  parent: ReturnType<Spans["parent"]>,
  run: (request: Request, options: Options.Running) => Effect.Effect<TaskResult, WaitFailure>,
  requests: Iterable<Request> | Stream.Stream<Request, E, R>,
  options: BulkOptions | undefined,
  usual = usualConcurrency
): Stream.Stream<BulkResult, E | WaitFailure, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const inside = yield* parent
    const given = yield* Options.ofBulk(operation, options)
    const { concurrency = usual, failures, onProgress, ...wait } = given
    const source = yield* validate.attempt(
      operation,
      "",
      (): Stream.Stream<Request, E | RWKVValidationError, R> | undefined =>
        isStream(requests) ? requests : hasProperty(requests, Symbol.iterator) ? pulled(requests) : undefined
    )
    if (source === undefined) {
      return yield* validate.invalid(operation, "", "must be an iterable or a Stream of requests")
    }
    // Held from the start of a run until its result is taken, so results do not pile up.
    const places = yield* Effect.makeSemaphore(concurrency)
    const report = validate.callback(operation, "onProgress", onProgress)
    let done = 0
    let failed = 0
    const deliver = ({ result }: BulkResult) => {
      done++
      if (Either.isLeft(result)) failed++
      return Effect.zipRight(places.release(1), report({ done, failed }))
    }
    const results = Stream.zipWithIndex(source).pipe(
      Stream.tap(() => places.take(1)),
      Stream.mapEffect(
        ([request, index]) =>
          Effect.map(Effect.either(inside(run(request, wait))), (result): BulkResult => ({ index, request, result })),
        { concurrency, unordered: true }
      ),
      Stream.tap(deliver)
    )
    return failures === "fail" ? Stream.tap(results, ({ result }) => result) : results
  }))
