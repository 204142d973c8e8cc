/**
 * The emulator behind the platform's HttpClient (no socket) and behind the platform's HttpServer.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Reply from "./reply.js"
import * as Response from "./response.js"
import type { RecordedRequest } from "./routes.js"
import { join } from "./task.js"

/** @internal */
export type Exchange = (request: RecordedRequest) => Effect.Effect<Reply.Reply, Reply.SocketError>

/** @internal */
export type Count = (
  body: Stream.Stream<Uint8Array, Reply.SocketError>
) => Stream.Stream<Uint8Array, Reply.SocketError>

const decoder = new TextDecoder()

const requestBody = (body: HttpBody.HttpBody): Effect.Effect<string, Reply.SocketError> => {
  switch (body._tag) {
    case "Uint8Array":
      return Effect.succeed(decoder.decode(body.body))
    case "Raw":
      return Effect.succeed(body.body instanceof Uint8Array ? decoder.decode(body.body) : String(body.body))
    case "Stream":
      return Effect.mapBoth(Stream.runCollect(body.stream), {
        onFailure: () => Reply.reset,
        onSuccess: (chunks) => decoder.decode(join(Chunk.toReadonlyArray(chunks)))
      })
    case "Empty":
    case "FormData":
      return Effect.succeed("")
  }
}

const aborted = (signal: AbortSignal): Effect.Effect<never, Reply.SocketError> =>
  Effect.async((resume) => {
    const fail = () => resume(Effect.fail(new Reply.SocketError({ code: "ABORT_ERR", message: "request aborted" })))
    if (signal.aborted) return fail()
    signal.addEventListener("abort", fail)
    return Effect.sync(() => signal.removeEventListener("abort", fail))
  })

/** @internal */
export const makeClient = (exchange: Exchange, count: Count): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal) =>
    requestBody(request.body).pipe(
      Effect.flatMap((body) =>
        exchange({
          method: request.method,
          path: url.pathname + url.search,
          headers: { host: url.host, ...request.headers },
          body
        })
      ),
      Effect.mapError((cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause })),
      Effect.flatMap((reply) => {
        const body = Reply.bodyStream(reply)
        const read = reply.body instanceof Uint8Array ? body : count(Stream.interruptWhen(body, aborted(signal)))
        return Response.make(request, reply, read)
      })
    )
  )

type SocketEnd = "destroySoon" | "resetAndDestroy"

/** Node's server request carries its socket; elsewhere there is nothing to close. */
const endSocket = (request: HttpServerRequest.HttpServerRequest, how: SocketEnd): Effect.Effect<boolean> =>
  Effect.sync(() => {
    const source = request.source
    if (!Predicate.hasProperty(source, "socket") || !Predicate.hasProperty(source.socket, how)) return false
    const end = source.socket[how]
    if (typeof end !== "function") return false
    end.call(source.socket)
    return true
  })

/** Where the socket is out of reach, a body that fails at once is the nearest thing to no answer. */
const breakOff = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.flatMap(
    endSocket(request, "resetAndDestroy"),
    (ended) => ended ? Effect.never : Effect.succeed(HttpServerResponse.stream(Stream.fail(Reply.reset)))
  )

/**
 * Node's server would end a failed body like a complete one; only its socket can tell the client the difference.
 * `destroySoon` writes first what Node still holds back.
 */
const cutsSocket = (
  request: HttpServerRequest.HttpServerRequest,
  reply: Reply.Reply,
  body: Stream.Stream<Uint8Array, Reply.SocketError>
): Stream.Stream<Uint8Array, Reply.SocketError> =>
  Stream.suspend(() => {
    const cut = Stream.fromEffect(endSocket(request, "destroySoon")).pipe(
      Stream.flatMap((ended): Stream.Stream<never, Reply.SocketError> =>
        ended ? Stream.never : Stream.fail(Reply.reset)
      )
    )
    let left = Number(reply.headers["content-length"] ?? 0)
    return body.pipe(
      Stream.tap((chunk) => Effect.sync(() => left -= chunk.length)),
      Stream.concat(Stream.suspend(() => left > 0 ? cut : Stream.empty)),
      Stream.catchAll(() => cut)
    )
  })

const serverResponse = (
  request: HttpServerRequest.HttpServerRequest,
  reply: Reply.Reply,
  count: Count
): HttpServerResponse.HttpServerResponse => {
  const { "content-type": contentType, ...headers } = reply.headers
  const options = contentType === undefined ? { status: reply.status, headers } : {
    status: reply.status,
    headers,
    contentType
  }
  if (!(reply.body instanceof Uint8Array)) {
    return HttpServerResponse.stream(cutsSocket(request, reply, count(reply.body)), options)
  }
  return reply.body.length === 0 ?
    HttpServerResponse.empty(options) :
    HttpServerResponse.uint8Array(reply.body, options)
}

/** @internal */
export const makeApp = (exchange: Exchange, count: Count): HttpApp.Default<never, Scope.Scope> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* HttpIncomingMessage.withMaxBodySize(request.text, Option.none())
    const reply = yield* exchange({ method: request.method, path: request.url, headers: request.headers, body })
    if (reply.closes === true) yield* Effect.addFinalizer(() => endSocket(request, "destroySoon"))
    return serverResponse(request, reply, count)
  }).pipe(
    Effect.catchAll(() => Effect.flatMap(HttpServerRequest.HttpServerRequest, breakOff)),
    Effect.interruptible
  )
