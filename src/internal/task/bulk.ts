/**
 * Many runs, a bounded number at a time, in constant memory.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { hasProperty } from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { CreateRequest, FimRequest } from "../../Generation.js"
import type { TaskResult } from "../../Protocol.js"
import type { RWKVValidationError, WaitFailure } from "../../RWKVError.js"
import type { BulkOptions, BulkResult, WaitOptions } from "../../Task.js"
import * as Options from "../input/options.js"
import * as validate from "../input/validate.js"

type Request = CreateRequest | FimRequest

export const operation = "TaskService.runAll"

const concurrencyOf = (given: unknown): Effect.Effect<number, RWKVValidationError> =>
  given === undefined
    // A quarter of the server's cache: every task beyond its 256 evicts another, running or not.
    ? Effect.succeed(64)
    : typeof given === "number" && Number.isInteger(given) && given > 0
    ? Effect.succeed(given)
    : Effect.fail(validate.invalid(operation, "concurrency", "must be a positive integer"))

const isStream = <A, E, R>(input: Iterable<A> | Stream.Stream<A, E, R>): input is Stream.Stream<A, E, R> =>
  hasProperty(input, Stream.StreamTypeId)

export const runAll = <E, R>(
  run: (request: Request, options: WaitOptions) => Effect.Effect<TaskResult, WaitFailure>,
  requests: Iterable<Request> | Stream.Stream<Request, E, R>,
  options: BulkOptions | undefined
): Stream.Stream<BulkResult, E | WaitFailure, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const { concurrency, failures, onProgress, ...wait } = yield* Options.ofBulk(operation, options)
    const atOnce = yield* concurrencyOf(concurrency)
    if (!hasProperty(requests, Symbol.iterator) && !isStream(requests)) {
      return yield* validate.invalid(operation, "", "must be an iterable or a Stream of requests")
    }
    let done = 0
    let failed = 0
    const results = (isStream(requests) ? requests : Stream.fromIterable(requests)).pipe(
      Stream.zipWithIndex,
      Stream.mapEffect(
        ([request, index]) =>
          Effect.tap(
            Effect.map(Effect.either(run(request, wait)), (result): BulkResult => ({ index, result })),
            ({ result }) => {
              done++
              if (Either.isLeft(result)) failed++
              return onProgress === undefined ? Effect.void : onProgress({ done, failed })
            }
          ),
        { concurrency: atOnce, unordered: true }
      )
    )
    return failures === "fail" ? Stream.tap(results, ({ result }) => result) : results
  }))
