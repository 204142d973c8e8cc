/**
 * What RWKV-Server does, endpoint by endpoint: encode, send, decode, map the status to an error. No policy but the
 * configuration's headers, limits and request timeout: nothing is repeated, waited for or cleaned up here.
 *
 * @since 0.1.0
 */
import * as PlatformHttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constFalse } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as Generation from "./Generation.js"
import { encoder } from "./internal/input/request.js"
import { detail, isTaskMissing } from "./internal/wire/status.js"
import { closed } from "./internal/wire/closed.js"
import type { Call } from "./internal/wire/exchange.js"
import * as Requests from "./internal/wire/request.js"
import type * as Sse from "./internal/wire/sse.js"
import * as validate from "./internal/input/validate.js"
import * as Protocol from "./Protocol.js"
import { RWKVConfig } from "./RWKVConfig.js"
import {
  AlreadyTemplateError,
  type CallFailure,
  type RWKVValidationError,
  type TaskFailure,
  TaskNotFoundError,
  TemplateProtectedError
} from "./RWKVError.js"

/**
 * What one event of a stream says: `Head` (the id, the seconds of prefill, and a proxy's id of the request), `Data`
 * (text), `Done` (the end). Where the event could not be read it is `Unreadable`, where it told of a failure `Failed`,
 * and `TooLarge` at the configured limit.
 *
 * @since 0.1.0
 * @category models
 */
export type Frame = Sse.Frame

/**
 * What every endpoint takes beside its own arguments.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  /** The name that errors carry as `operation`; the method's own, as in `HttpClient.status`, by default. */
  readonly operation?: string | undefined
}

/**
 * The endpoints. Ids are checked and encoded: whatever is passed, no other endpoint is called. All fail with
 * `CallFailure`, those about a task that exists with `TaskFailure`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * `POST /v1/tasks/tmp`, or `POST /v1/tasks/create` when `persistence` is `"persistent"`. Answers after the prefill.
   */
  readonly create: (
    request: Generation.CreateRequest,
    options?: CallOptions
  ) => Effect.Effect<Protocol.TaskResult, CallFailure>
  /** The same with `stream: true`: the frames of `POST /v1/tasks/tmp` or `/create`. */
  readonly createStream: (request: Generation.CreateRequest, options?: CallOptions) => Stream.Stream<Frame, CallFailure>
  /** `POST /v1/tasks/fim`. */
  readonly fim: (
    request: Generation.FimRequest,
    options?: CallOptions
  ) => Effect.Effect<Protocol.TaskResult, CallFailure>
  /** `POST /v1/tasks/fim` with `stream: true`. */
  readonly fimStream: (request: Generation.FimRequest, options?: CallOptions) => Stream.Stream<Frame, CallFailure>
  /** `POST /v1/tasks/{id}/continue`. */
  readonly continue: (
    id: string,
    request: Generation.ContinueRequest,
    options?: CallOptions
  ) => Effect.Effect<Protocol.TaskResult, TaskFailure>
  /** `POST /v1/tasks/{id}/continue` with `stream: true`. */
  readonly continueStream: (
    id: string,
    request: Generation.ContinueRequest,
    options?: CallOptions
  ) => Stream.Stream<Frame, TaskFailure>
  /** `POST /v1/tasks/{id}/fork`, with `tmp=true` for a temporary fork. */
  readonly fork: (
    id: string,
    request: Generation.ForkRequest,
    options?: CallOptions
  ) => Effect.Effect<Protocol.TaskResult, TaskFailure>
  /** `POST /v1/tasks/{id}/fork` with `stream: true`. */
  readonly forkStream: (
    id: string,
    request: Generation.ForkRequest,
    options?: CallOptions
  ) => Stream.Stream<Frame, TaskFailure>
  /** `GET /v1/tasks/{id}/stream`, from a token of the current run on (0 by default). */
  readonly stream: (
    id: string,
    options?: CallOptions & { readonly fromToken?: number | undefined }
  ) => Stream.Stream<Frame, TaskFailure>
  /** `GET /v1/tasks/{id}/get_result`. */
  readonly result: (id: string, options?: CallOptions) => Effect.Effect<Protocol.TaskResult, TaskFailure>
  /** `GET /v1/tasks/{id}/status`. */
  readonly status: (id: string, options?: CallOptions) => Effect.Effect<Protocol.TaskInfo, TaskFailure>
  /**
   * `POST /v1/tasks/{id}/stop`. The answer says what the task was just after it was asked to stop; old servers say
   * nothing.
   */
  readonly stop: (id: string, options?: CallOptions) => Effect.Effect<Option.Option<Protocol.TaskInfo>, TaskFailure>
  /** `POST /v1/tasks/{id}/delete`. Fails with `TemplateProtectedError`, too. */
  readonly delete: (
    id: string,
    options?: CallOptions & { readonly force?: boolean | undefined }
  ) => Effect.Effect<Option.Option<Protocol.TaskInfo>, TaskFailure | TemplateProtectedError>
  /** `POST /v1/tasks/{id}/as_template`. Fails with `AlreadyTemplateError`, too. */
  readonly asTemplate: (
    id: string,
    options?: CallOptions
  ) => Effect.Effect<Protocol.TaskResult, TaskFailure | AlreadyTemplateError>
  /** `GET /v1/tasks/list`. */
  readonly list: (options?: CallOptions) => Effect.Effect<Protocol.TaskList, CallFailure>
  /** `GET /v1/models`: the models, and whether the server answers at all. */
  readonly models: (options?: CallOptions) => Effect.Effect<ReadonlyArray<Protocol.Model>, CallFailure>
}

/**
 * The service that has the endpoints.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient } from "effect-rwkv"
 *
 * // one request, not repeated whatever happens
 * const status = Effect.flatMap(HttpClient.RWKVHttpClient, (http) => http.status("TMP_1"))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class RWKVHttpClient extends Context.Tag("effect-rwkv/HttpClient")<RWKVHttpClient, Service>() {}

const encodeCreate = encoder(Generation.CreateRequest)
const encodeFim = encoder(Generation.FimRequest)
const encodeContinue = encoder(Generation.ContinueRequest)
const encodeFork = encoder(Generation.ForkRequest)

const operationOf = (name: string, options: CallOptions | undefined) => options?.operation ?? `HttpClient.${name}`

const post = (operation: string, path: string, body: object): Call<never> => ({
  operation,
  method: "POST",
  path: `/v1/tasks/${path}`,
  body
})

/** What an answer of this status that speaks of a template means. */
interface OfTemplates<E> {
  readonly status: number
  readonly Failure: new(about: { readonly operation: string; readonly taskId: Protocol.TaskId }) => E
}

/** A call about a task: its id checked and encoded, the server's 404 for it known. */
const about = <E = never>(
  operation: string,
  id: string,
  method: "GET" | "POST",
  verb: string,
  { template, ...more }: Pick<Call<never>, "body" | "exact"> & { readonly template?: OfTemplates<E> } = {}
) =>
  Effect.map(validate.taskId(operation, id), (taskId): Call<TaskNotFoundError | E> => ({
    operation,
    taskId,
    method,
    path: `/v1/tasks/${encodeURIComponent(taskId)}/${verb}`,
    ...more,
    refuse: (status, body) => {
      if (isTaskMissing(status, body)) return new TaskNotFoundError({ operation, taskId })
      return status === template?.status && /template/i.test(detail(body) ?? "")
        ? new template.Failure({ operation, taskId })
        : undefined
    }
  }))

const createCall = (operation: string, request: Generation.CreateRequest, stream: boolean) =>
  Effect.flatMap(encodeCreate(operation, request), ({ persistence, ...body }) =>
    stream && body.max_tokens === 0
      // The server ends such a task before anyone can listen, and then never ends the stream.
      ? Effect.fail(validate.invalid(operation, "maxTokens", "must be at least 1 in a stream"))
      : Effect.succeed(
        post(operation, persistence === "persistent" ? "create" : "tmp", stream ? { ...body, stream } : body)
      ))

const fimCall = (operation: string, request: Generation.FimRequest, stream: boolean) =>
  Effect.map(
    encodeFim(operation, request),
    (body) => post(operation, "fim", stream ? { ...body, stream } : body)
  )

const continueCall = (operation: string, id: string, request: Generation.ContinueRequest, stream: boolean) =>
  Effect.flatMap(
    encodeContinue(operation, request),
    (body) => about(operation, id, "POST", "continue", { body: stream ? { ...body, stream } : body })
  )

const forkCall = (operation: string, id: string, request: Generation.ForkRequest, stream: boolean) =>
  Effect.flatMap(
    encodeFork(operation, request),
    ({ persistence, ...body }) =>
      about(operation, id, "POST", persistence === "temporary" ? "fork?tmp=true" : "fork", {
        body: stream ? { ...body, stream } : body
      })
  )

const streamCall = (operation: string, id: string, fromToken: unknown) =>
  Effect.flatMap(
    validate.integer(operation, "fromToken", fromToken),
    (pos) => about(operation, id, "GET", pos === 0 ? "stream" : `stream?pos=${pos}`)
  )

const serviceOf = (requests: Requests.Requests): Service => {
  const result = <E>(call: Effect.Effect<Call<E>, CallFailure>) =>
    Effect.flatMap(
      call,
      (call) => requests.json(call, Protocol.TaskResult, (result, requestId) => ({ ...result, requestId }))
    )

  return RWKVHttpClient.of({
    create: (request, options) => result(createCall(operationOf("create", options), request, false)),
    createStream: (request, options) =>
      requests.frames(createCall(operationOf("createStream", options), request, true)),
    fim: (request, options) => result(fimCall(operationOf("fim", options), request, false)),
    fimStream: (request, options) => requests.frames(fimCall(operationOf("fimStream", options), request, true)),
    continue: (id, request, options) => result(continueCall(operationOf("continue", options), id, request, false)),
    continueStream: (id, request, options) =>
      requests.frames(continueCall(operationOf("continueStream", options), id, request, true)),
    fork: (id, request, options) => result(forkCall(operationOf("fork", options), id, request, false)),
    forkStream: (id, request, options) =>
      requests.frames(forkCall(operationOf("forkStream", options), id, request, true)),
    stream: (id, options) => requests.frames(streamCall(operationOf("stream", options), id, options?.fromToken ?? 0)),
    result: (id, options) => result(about(operationOf("result", options), id, "GET", "get_result", { exact: true })),
    status: (id, options) =>
      Effect.flatMap(
        about(operationOf("status", options), id, "GET", "status"),
        (call) => requests.json(call, Protocol.TaskInfo)
      ),
    stop: (id, options) =>
      Effect.flatMap(
        about(operationOf("stop", options), id, "POST", "stop"),
        (call) => requests.accepted(call, Protocol.TaskInfo)
      ),
    delete: (id, options) =>
      Effect.flatMap(
        about(operationOf("delete", options), id, "POST", options?.force === true ? "delete?force=true" : "delete", {
          template: { status: 403, Failure: TemplateProtectedError }
        }),
        (call) => requests.accepted(call, Protocol.TaskInfo)
      ),
    asTemplate: (id, options) =>
      result(
        about(operationOf("asTemplate", options), id, "POST", "as_template", {
          template: { status: 400, Failure: AlreadyTemplateError }
        })
      ),
    list: (options) =>
      requests.json(
        { operation: operationOf("list", options), method: "GET", path: "/v1/tasks/list" },
        Protocol.TaskList
      ),
    models: (options) =>
      Effect.map(
        requests.json(
          { operation: operationOf("models", options), method: "GET", path: "/v1/models" },
          Protocol.ModelList
        ),
        ({ data }) => data
      )
  })
}

/**
 * Makes the endpoints from the platform's HttpClient and the configuration. Fails with `RWKVValidationError` if the
 * configuration's `transformClient` throws, or returns no client.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Effect } from "effect"
 * import { HttpClient, RWKVConfig } from "effect-rwkv"
 *
 * const models = Effect.flatMap(HttpClient.make, (http) => http.models()).pipe(
 *   Effect.provide([RWKVConfig.layer(), FetchHttpClient.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, RWKVValidationError, RWKVConfig | PlatformHttpClient.HttpClient> = Effect
  .flatMap(
    Effect.all([PlatformHttpClient.HttpClient, RWKVConfig]),
    ([platform, config]) => Effect.map(Requests.make(platform, config, constFalse), serviceOf)
  )

/**
 * The endpoints, over the platform's HttpClient that is provided. After the layer was closed every call fails with
 * `RWKVConnectionError`, and nothing is sent. Fails with `RWKVValidationError` as {@link make} does.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpClient, RWKVConfig } from "effect-rwkv"
 *
 * const layer = HttpClient.layer.pipe(Layer.provide([RWKVConfig.layer(), FetchHttpClient.layer]))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<RWKVHttpClient, RWKVValidationError, RWKVConfig | PlatformHttpClient.HttpClient> = Layer
  .fresh(
    Layer.scoped(
      RWKVHttpClient,
      Effect.gen(function*() {
        const platform = yield* PlatformHttpClient.HttpClient
        return serviceOf(yield* Requests.make(platform, yield* RWKVConfig, yield* closed))
      })
    )
  )
