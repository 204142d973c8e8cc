/**
 * One request to the server: sent with the configuration's headers, bounded in time and size, never redirected elsewhere, and
 * failed by type.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, RWKVConnectionError, RWKVDecodeError, RWKVTimeoutError } from "../../RWKVError.js"
import * as Json from "../input/json.js"
import * as validate from "../input/validate.js"
import * as Body from "./body.js"
import * as Client from "./client.js"
import { breach } from "./breach.js"
import { within } from "./limit.js"
import { excerptWithout } from "./redaction.js"
import { fromStatus } from "./status.js"
import { fromTransport, type Subject } from "./transport.js"
import { excerpt } from "../input/excerpt.js"
import { type Frame, makeDecoder } from "./sse.js"

/** `refuse` turns an answer into a failure that only this call knows. */
export interface Call<E> extends Subject {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object | undefined
  readonly refuse?: ((status: number, body: string) => E | undefined) | undefined
}

export interface Requests {
  /** The answer decoded by a Schema. */
  readonly json: <A, I, E = never>(call: Call<E>, schema: Schema.Schema<A, I>) => Effect.Effect<A, CallFailure | E>
  /** Any 2xx answer: its body if it has this shape. */
  readonly accepted: <A, I, E = never>(
    call: Call<E>,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<Option.Option<A>, CallFailure | E>
  /** The frames of an event stream; the connection is closed with the stream. */
  readonly frames: <E = never>(call: Effect.Effect<Call<E>, CallFailure>) => Stream.Stream<Frame, CallFailure | E>
}

type Answer = HttpClientResponse.HttpClientResponse

/** Header values as a server may echo them, the longest first, for one may contain another. */
const echoes = (headers: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.values(headers)
    .flatMap((value) => [value, value.replace(/^\w+ /, "")])
    .flatMap((value) => [value, JSON.stringify(value).slice(1, -1)])
    .filter((value) => value.length > 3)
    .sort((a, b) => b.length - a.length)

const isOk = ({ status }: Answer) => status >= 200 && status < 300

const about = ({ operation, taskId }: Subject) => ({ operation, taskId })

const parse = <A, I>(call: Call<unknown>, schema: Schema.Schema<A, I>, body: string) => {
  const unreadable = (description: string) => new RWKVDecodeError({ ...about(call), description })
  if (body === "") return Either.left(unreadable("empty"))
  const json = Json.parse(body)
  if (Option.isNone(json)) return Either.left(unreadable("not JSON"))
  return Either.mapLeft(
    ParseResult.decodeUnknownEither(schema)(json.value),
    (error) => unreadable(breach(error))
  )
}

/** What every call to a service that was closed fails with. */
export const closedBefore = (operation: string, taskId?: string): RWKVConnectionError =>
  new RWKVConnectionError({
    operation,
    taskId,
    description: "the client was closed before, and nothing was sent",
    requestSent: false,
    retryable: false
  })

export const make = (
  platformClient: HttpClient.HttpClient,
  config: RWKVConfig.Service,
  closed: () => boolean
): Requests => {
  const headers = Redacted.value(config.headers)
  const secrets = echoes(headers)
  /** How to say what is said about a call: without the secrets of the configuration, and the texts of the call. */
  const sayOf = (call: Call<unknown>) => {
    const say = call.body === undefined ? excerpt : excerptWithout(call.body)
    return (text: string) => say(secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text))
  }
  const { host, origin } = new URL(config.baseUrl)
  const client = Client.make(config.transformClient(Client.underneath(platformClient)), Object.keys(headers))
  const scopedClient = HttpClient.withScope(client)

  const broken = (call: Call<unknown>) => fromTransport(call, host)

  const tooLarge = (call: Call<unknown>) => () =>
    new RWKVDecodeError({ ...about(call), description: `larger than ${config.maxResponseSize} bytes` })

  const readBody = (call: Call<unknown>, response: Answer) =>
    Effect.mapError(
      Body.text(response, config.maxResponseSize, tooLarge(call)),
      (error) => error._tag === "RWKVDecodeError" ? error : broken(call)(error)
    )

  /** Where a redirect leads that repeats the request as it is on the same server: a slash at the end of a path. */
  const movedTo = (response: Answer): string | undefined => {
    if (response.status !== 307 && response.status !== 308) return undefined
    const location = response.headers["location"]
    if (location === undefined || !URL.canParse(location, response.request.url)) return undefined
    const url = new URL(location, response.request.url)
    return url.origin === origin ? url.href : undefined
  }

  const refuse = <E>(call: Call<E>, response: Answer): Effect.Effect<never, CallFailure | E> =>
    readBody(call, response).pipe(
      // The status says enough when the explanation is too long to be read.
      Effect.catchTag("RWKVDecodeError", () => Effect.succeed("")),
      Effect.flatMap((body): Effect.Effect<never, CallFailure | E> => {
        const own = call.refuse?.(response.status, body)
        return own === undefined ? fromStatus(about(call), response, body, sayOf(call)) : Effect.fail(own)
      })
    )

  /** A request, sent again to where the same server says it has moved. */
  const execute = <E, R>(
    call: Call<E>,
    client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
    request: HttpClientRequest.HttpClientRequest,
    moved = false
  ): Effect.Effect<Answer, CallFailure | E, R> =>
    client.execute(request).pipe(
      // A client that was changed to fail for statuses has an answer all the same.
      Effect.catchAll((error) =>
        error._tag === "ResponseError" && error.reason === "StatusCode"
          ? Effect.succeed(error.response)
          : Effect.fail(broken(call)(error))
      ),
      Effect.flatMap((response): Effect.Effect<Answer, CallFailure | E, R> => {
        if (isOk(response)) return Effect.succeed(response)
        const url = moved ? undefined : movedTo(response)
        return url === undefined
          ? refuse(call, response)
          : Effect.zipRight(
            readBody(call, response),
            execute(call, client, HttpClientRequest.setUrl(request, url), true)
          )
      })
    )

  const requestOf = (call: Call<unknown>, accept: string) => {
    const request = HttpClientRequest.make(call.method)(config.baseUrl + call.path, { headers: { accept, ...headers } })
    return call.body === undefined ? Effect.succeed(request) : HttpBody.json(call.body).pipe(
      Effect.mapBoth({
        onFailure: () => validate.invalid(call.operation, "", "is too large to be sent"),
        onSuccess: (body) => HttpClientRequest.setBody(request, body)
      })
    )
  }

  const bounded = <A, E, R>(call: Call<unknown>, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | RWKVConnectionError | RWKVTimeoutError, R> =>
      closed() ? Effect.fail(closedBefore(call.operation, call.taskId)) : within(effect, {
        duration: config.requestTimeout,
        onTimeout: () => new RWKVTimeoutError({ ...about(call), kind: "request", limit: config.requestTimeout })
      })
    )

  const answer = <A, E>(call: Call<E>, use: (body: string) => Effect.Effect<A, CallFailure>) =>
    bounded(
      call,
      Effect.flatMap(requestOf(call, "application/json"), (request) => execute(call, client, request)).pipe(
        Effect.flatMap((response) => readBody(call, response)),
        Effect.flatMap(use)
      )
    )

  const openFrames = <E>(
    call: Call<E>
  ): Effect.Effect<Stream.Stream<Frame, CallFailure>, CallFailure | E, Scope.Scope> =>
    bounded(
      call,
      Effect.flatMap(requestOf(call, "text/event-stream"), (request) => execute(call, scopedClient, request))
    ).pipe(
      Effect.filterOrFail(
        (response) => /^text\/event-stream\b/i.test(response.headers["content-type"] ?? ""),
        () => new RWKVDecodeError({ ...about(call), description: "not an event stream" })
      ),
      Effect.map((response) => Body.frames(response, () => makeDecoder(config.maxFrameSize, sayOf(call)), broken(call)))
    )

  return {
    json: (call, schema) => answer(call, (body) => parse(call, schema, body)),
    accepted: (call, schema) => answer(call, (body) => Effect.succeed(Either.getRight(parse(call, schema, body)))),
    frames: (call) => Stream.unwrapScoped(Effect.flatMap(call, openFrames))
  }
}
