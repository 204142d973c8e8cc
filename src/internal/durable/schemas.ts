/**
 * Schemas of what durable runs store: requests, results and failures.
 */
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type FinishReason, FinishReason as Reason, type Usage, Usage as UsageSchema } from "../../Finish.js"
import { CreateRequest, FimRequest } from "../../Generation.js"
import * as errors from "../../RWKVError.js"
import { encoder } from "../input/request.js"
import { says } from "../input/rules.js"
import { attempt, invalid } from "../input/validate.js"

export type Request = (CreateRequest | FimRequest) & { readonly maxTokens: number }

const needed = "must be given: it bounds what runs on if its id is lost"

export type RequestEncoded = Schema.Schema.Encoded<typeof CreateRequest> | Schema.Schema.Encoded<typeof FimRequest>

export const Request: Schema.Schema<Request, RequestEncoded> =
  /*#__PURE__*/ (() =>
    Schema.Union(CreateRequest, FimRequest).pipe(
      Schema.filter((request): request is Request => request.maxTokens !== undefined, says(`maxTokens ${needed}`))
    ))()

/** Checks the whole request before anything of it is stored. */
export const check = (operation: string, request: Request): Effect.Effect<void, errors.RWKVValidationError> =>
  Effect.gen(function*() {
    const isFim = yield* attempt(operation, "request", () => hasProperty(request, "prefix"))
    const { max_tokens } = yield* isFim ? fim(operation, request, "request") : create(operation, request, "request")
    if (max_tokens === undefined) return yield* invalid(operation, "request.maxTokens", needed)
  })

export const recreateOf = (operation: string, recreate = 3): Effect.Effect<number, errors.RWKVValidationError> =>
  Number.isInteger(recreate) && recreate >= 0 && recreate <= 100
    ? Effect.succeed(recreate)
    : Effect.fail(invalid(operation, "recreate", "must be an integer from 0 to 100"))

const create = /*#__PURE__*/ encoder(CreateRequest)
const fim = /*#__PURE__*/ encoder(FimRequest)

export interface Generated {
  readonly text: string
  readonly usage: Usage
  readonly finishReason: FinishReason
}

export const Generated =
  /*#__PURE__*/ (() => Schema.Struct({ text: Schema.String, usage: UsageSchema, finishReason: Reason }))()

export const Failure = /*#__PURE__*/ (() =>
  Schema.Union(
    errors.RWKVValidationError,
    errors.TaskNotFoundError,
    errors.TaskCancelledError,
    errors.RWKVServerError,
    errors.RWKVStatusError,
    errors.RWKVConnectionError,
    errors.RWKVTimeoutError,
    errors.RWKVDecodeError,
    errors.StreamTruncatedError,
    errors.RWKVPoolError
  ))()
