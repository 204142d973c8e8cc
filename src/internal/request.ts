/**
 * One request to the server: sent with the configuration's headers, bounded in time and size, never redirected elsewhere, and
 * failed by type.
 *
 * @internal
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as RWKVConfig from "../RWKVConfig.js"
import { type CallError, type RWKVConnectionError, RWKVDecodeError, RWKVTimeoutError } from "../RWKVError.js"
import * as failure from "./failure.js"
import { type Decoder, type Frame, makeDecoder } from "./sse.js"
import * as validate from "./validate.js"

/**
 * `refuse` turns an answer into a failure that only this call knows.
 *
 * @internal
 */
export interface Call<E> extends failure.Subject {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object | undefined
  readonly refuse?: ((status: number, body: string) => E | undefined) | undefined
}

/** @internal */
export interface Requests {
  /** The answer decoded by a Schema. */
  readonly json: <A, I, E = never>(call: Call<E>, schema: Schema.Schema<A, I>) => Effect.Effect<A, CallError | E>
  /** Any 2xx answer: its body if it has this shape. */
  readonly accepted: <A, I, E = never>(
    call: Call<E>,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<Option.Option<A>, CallError | E>
  /** The frames of an event stream; the connection is closed with the stream. */
  readonly frames: <E = never>(call: Effect.Effect<Call<E>, CallError>) => Stream.Stream<Frame, CallError | E>
}

type TransportError = RWKVConnectionError | RWKVTimeoutError

const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** Headers that spans may show. All others are hidden there: a proxy may echo a secret under any name. */
const unshown = /^(?!(?:accept|allow|content-(?:encoding|length|type)|date|retry-after|server|transfer-encoding)$)/i

/** Header values as a server may echo them, the longest first, for one may contain another. */
const echoes = (headers: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.values(headers)
    .flatMap((value) => [value, value.replace(/^\w+ /, "")])
    .flatMap((value) => [value, JSON.stringify(value).slice(1, -1)])
    .filter((value) => value.length > 3)
    .sort((a, b) => b.length - a.length)

/** @internal */
export const make = (platformClient: HttpClient.HttpClient, config: RWKVConfig.Service): Requests => {
  const headers = Redacted.value(config.headers)
  const secrets = echoes(headers)
  /** How to say what is said about a call: without the secrets of the configuration, and the texts of the call. */
  const sayOf = (call: Call<unknown>) => {
    const say = call.body === undefined ? failure.excerpt : failure.excerptWithout(call.body)
    return (text: string) => say(secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text))
  }
  const { host } = new URL(config.baseUrl)
  const sameServer = new URL(config.baseUrl).origin
  const hidden = [unshown, ...Object.keys(headers)]
  // Tracing headers are not asked for: they leave the trust of the program, and force browsers into preflights.
  const client = config.transformClient(
    platformClient.pipe(
      HttpClient.mapRequest(HttpClientRequest.setHeaders(headers)),
      HttpClient.withTracerPropagation(false)
    )
  )
  const scopedClient = HttpClient.withScope(client)

  const tooLarge = (subject: failure.Subject) =>
    new RWKVDecodeError({
      operation: subject.operation,
      taskId: subject.taskId,
      description: `larger than ${config.maxResponseSize} bytes`
    })

  /** Reads a body to its end or to the limit; what cannot exceed the limit is read at once. */
  const readBody = (
    call: Call<unknown>,
    response: HttpClientResponse.HttpClientResponse
  ): Effect.Effect<string, TransportError | RWKVDecodeError> => {
    const fromTransport = failure.fromTransport(call, host)
    const length = Number(response.headers["content-length"] ?? Number.NaN)
    if (response.status === 204 || length === 0) return Effect.as(Effect.ignore(response.text), "")
    if (length <= config.maxResponseSize && response.headers["content-encoding"] === undefined) {
      return Effect.mapError(response.text, fromTransport)
    }
    return Effect.suspend(() => {
      const utf8 = new TextDecoder()
      let size = 0
      return response.stream.pipe(
        Stream.catchAll((error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(fromTransport(error))),
        Stream.runFoldEffect("", (text, bytes) => {
          size += bytes.length
          return size > config.maxResponseSize
            ? Effect.fail(tooLarge(call))
            : Effect.succeed(text + utf8.decode(bytes, { stream: true }))
        }),
        Effect.map((text) => text + utf8.decode())
      )
    })
  }

  const requestFor = (call: Call<unknown>, accept: string) => {
    const request = HttpClientRequest.make(call.method)(config.baseUrl + call.path, { headers: { accept } })
    return call.body === undefined
      ? Effect.succeed(request)
      : HttpBody.json(call.body).pipe(
        Effect.map((body) => HttpClientRequest.setBody(request, body)),
        Effect.mapError(() => validate.invalid(call.operation, "", "is too large to be sent"))
      )
  }

  /** Where a redirect leads that repeats the request as it is on the same server: a slash at the end of a path. */
  const movedTo = (response: HttpClientResponse.HttpClientResponse): string | undefined => {
    const location = response.headers["location"]
    if (response.status !== 307 && response.status !== 308 || location === undefined) return undefined
    if (!URL.canParse(location, response.request.url)) return undefined
    const url = new URL(location, response.request.url)
    return url.origin === sameServer ? url.href : undefined
  }

  const send = <R>(
    http: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
    call: Call<unknown>,
    accept: string
  ) =>
    Effect.gen(function*() {
      const execute = (request: HttpClientRequest.HttpClientRequest) =>
        http.execute(request).pipe(
          // A client that was changed to fail for statuses has an answer all the same.
          Effect.catchTag(
            "ResponseError",
            (error) => error.reason === "StatusCode" ? Effect.succeed(error.response) : Effect.fail(error)
          ),
          Effect.mapError(failure.fromTransport(call, host))
        )
      const request = yield* requestFor(call, accept)
      const response = yield* execute(request)
      const url = movedTo(response)
      if (url === undefined) return response
      yield* readBody(call, response)
      return yield* execute(HttpClientRequest.setUrl(request, url))
    }).pipe(
      // fetch would repeat a POST as a GET, and hand every header but one to another origin.
      Effect.mapInputContext((context: Context.Context<R>) =>
        Context.add(context, FetchHttpClient.RequestInit, {
          ...Option.getOrUndefined(Context.getOption(context, FetchHttpClient.RequestInit)),
          redirect: "manual"
        })
      ),
      Effect.locallyWith(Headers.currentRedactedNames, (names) => [...names, ...hidden])
    )

  const refuse = <E>(
    call: Call<E>,
    response: HttpClientResponse.HttpClientResponse
  ): Effect.Effect<never, CallError | E> =>
    readBody(call, response).pipe(
      // The status says enough when the explanation is too long to be read.
      Effect.catchTag("RWKVDecodeError", () => Effect.succeed("")),
      Effect.flatMap((body): Effect.Effect<never, CallError | E> => {
        const own = call.refuse?.(response.status, body)
        return own === undefined
          ? failure.fromStatus({ operation: call.operation, taskId: call.taskId }, response, body, sayOf(call))
          : Effect.fail(own)
      })
    )

  const isOk = (response: HttpClientResponse.HttpClientResponse) => response.status >= 200 && response.status < 300

  const bounded = <A, E, R>(call: Call<unknown>, effect: Effect.Effect<A, E, R>) =>
    Effect.timeoutFail(effect, {
      duration: config.requestTimeout,
      onTimeout: () =>
        new RWKVTimeoutError({
          operation: call.operation,
          taskId: call.taskId,
          kind: "request",
          limit: config.requestTimeout
        })
    })

  const text = <E>(call: Call<E>): Effect.Effect<string, CallError | E> =>
    bounded(
      call,
      Effect.flatMap(
        send(client, call, "application/json"),
        (response): Effect.Effect<string, CallError | E> =>
          isOk(response) ? readBody(call, response) : refuse(call, response)
      )
    )

  const parse = <A, I>(call: Call<unknown>, schema: Schema.Schema<A, I>, body: string) => {
    const unreadable = (description: string) =>
      new RWKVDecodeError({ operation: call.operation, taskId: call.taskId, description })
    if (body === "") return Either.left(unreadable("empty"))
    const json = parseJson(body)
    if (Option.isNone(json)) return Either.left(unreadable("not JSON"))
    return Either.mapLeft(
      ParseResult.decodeUnknownEither(schema)(json.value),
      (error) => unreadable(validate.breach(error))
    )
  }

  return {
    json: (call, schema) => Effect.flatMap(text(call), (body) => parse(call, schema, body)),
    accepted: (call, schema) => Effect.map(text(call), (body) => Either.getRight(parse(call, schema, body))),
    frames: (resolved) =>
      Stream.unwrapScoped(
        Effect.flatMap(resolved, (call) =>
          bounded(
            call,
            Effect.gen(function*() {
              const response = yield* send(scopedClient, call, "text/event-stream")
              if (!isOk(response)) return yield* refuse(call, response)
              if (!/^text\/event-stream\b/i.test(response.headers["content-type"] ?? "")) {
                return yield* new RWKVDecodeError({
                  operation: call.operation,
                  taskId: call.taskId,
                  description: "not an event stream"
                })
              }
              const decoder = makeDecoder(config.maxFrameSize, sayOf(call))
              return Stream.pipeThroughChannel(
                response.stream,
                decodeFrames(decoder, failure.fromTransport(call, host))
              )
            })
          ))
      )
  }
}

type FrameChannel<E, E2> = Channel.Channel<Chunk.Chunk<Frame>, Chunk.Chunk<Uint8Array>, E2, E, unknown, unknown>

/** One layer from bytes to frames and from the platform's errors to ours: each layer costs at every chunk. */
const decodeFrames = <E, E2>(decoder: Decoder, fail: (error: E) => E2): FrameChannel<E, E2> => {
  const loop: FrameChannel<E, E2> = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
      const frames = Chunk.size(chunk) === 1
        ? decoder.push(Chunk.unsafeHead(chunk))
        : Array.from(chunk).flatMap(decoder.push)
      if (decoder.ended()) return Channel.write(Chunk.unsafeFromArray(frames))
      return frames.length === 0 ? loop : Channel.zipRight(Channel.write(Chunk.unsafeFromArray(frames)), loop)
    },
    onFailure: (cause: Cause.Cause<E>) => Channel.failCause(Cause.map(cause, fail)),
    onDone: () => Channel.write(Chunk.unsafeFromArray(decoder.flush()))
  })
  return loop
}
