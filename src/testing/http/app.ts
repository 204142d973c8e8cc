/**
 * The emulator behind any HttpServer of the platform.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Exchange } from "./exchange.js"
import * as Listener from "./listener.js"
import type * as Reply from "./reply.js"
import { reset, type SocketError } from "./socket.js"

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
    (ended) => ended ? Effect.never : Effect.succeed(HttpServerResponse.stream(Stream.fail(reset)))
  )

/**
 * Node's server would end a failed body like a complete one; only its socket can tell the client the difference.
 * `destroySoon` writes first what Node still holds back.
 */
const cutsSocket = (
  request: HttpServerRequest.HttpServerRequest,
  reply: Reply.Reply,
  body: Reply.Bytes
): Reply.Bytes =>
  Stream.suspend(() => {
    const cut = Stream.fromEffect(endSocket(request, "destroySoon")).pipe(
      Stream.flatMap((ended): Stream.Stream<never, SocketError> => ended ? Stream.never : Stream.fail(reset))
    )
    let left = Number(reply.headers["content-length"] ?? 0)
    return body.pipe(
      Stream.tap((chunk) => Effect.sync(() => left -= chunk.length)),
      Stream.concat(Stream.suspend(() => left > 0 ? cut : Stream.empty)),
      Stream.catchAll(() => cut)
    )
  })

/** An empty chunk: Node sends the headers with the first write. */
const headersAtOnce: Reply.Bytes = Stream.make(new Uint8Array())

const serverResponse = (
  request: HttpServerRequest.HttpServerRequest,
  reply: Reply.Reply,
  exchange: Exchange
): HttpServerResponse.HttpServerResponse => {
  const { "content-type": contentType, ...headers } = reply.headers
  const options = contentType === undefined ? { status: reply.status, headers } : {
    status: reply.status,
    headers,
    contentType
  }
  if (!(reply.body instanceof Uint8Array)) {
    const body = cutsSocket(request, reply, exchange.count(reply.body))
    return HttpServerResponse.stream(Stream.concat(headersAtOnce, body), options)
  }
  return reply.body.length === 0 ?
    HttpServerResponse.empty({ status: reply.status, headers: reply.headers }) :
    HttpServerResponse.uint8Array(reply.body, options)
}

/** Lets pages read the headers that the SDK reads. */
const cors = HttpMiddleware.cors({ exposedHeaders: ["retry-after", "x-request-id"], maxAge: 600 })

const answer = (exchange: Exchange): HttpApp.Default<never, Scope.Scope> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const listener = Listener.of(request)
    if (listener !== undefined) exchange.listeners.add(listener)
    const body = yield* HttpIncomingMessage.withMaxBodySize(request.arrayBuffer, Option.none())
    const { headers, method, url: path } = request
    const reply = yield* exchange.handle({ method, path, headers, body: new Uint8Array(body) })
    yield* Effect.addFinalizer(() =>
      reply.closes === true || exchange.down ? endSocket(request, "destroySoon") : Effect.void
    )
    return serverResponse(request, reply, exchange)
  }).pipe(
    Effect.catchAll(() => Effect.flatMap(HttpServerRequest.HttpServerRequest, breakOff)),
    Effect.interruptible
  )

/** @internal */
export const make = (exchange: Exchange): HttpApp.Default<never, Scope.Scope> =>
  exchange.machine.settings.cors ? cors(answer(exchange)) : answer(exchange)
