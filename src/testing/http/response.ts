/**
 * A response of the platform's HttpClient read straight from a reply: no Response object and no promise, so that the
 * TestClock sees every wait.
 *
 * @since 0.1.0
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { join } from "../model/text.js"
import type { Bytes, Reply } from "./reply.js"
import type { SocketError } from "./socket.js"

const decoder = new TextDecoder()

class EmulatedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies: Cookies.Cookies = Cookies.empty
  readonly remoteAddress = Option.none<string>()
  readonly stream: Stream.Stream<Uint8Array, HttpClientError.ResponseError>
  readonly bytes: Effect.Effect<Uint8Array, HttpClientError.ResponseError>

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    reply: Reply,
    stream: Stream.Stream<Uint8Array, SocketError>,
    bytes: Effect.Effect<Uint8Array, SocketError>
  ) {
    super()
    this.request = request
    this.status = reply.status
    this.headers = Headers.fromInput(reply.headers)
    this.stream = Stream.mapError(stream, (cause) => this.unreadable(cause))
    this.bytes = Effect.mapError(bytes, (cause) => this.unreadable(cause))
  }

  unreadable(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }

  get text() {
    return Effect.map(this.bytes, (bytes) => decoder.decode(bytes))
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: (): unknown => text === "" ? null : JSON.parse(text),
        catch: (cause) => this.unreadable(cause)
      }))
  }

  get arrayBuffer() {
    return Effect.map(this.bytes, (bytes) => {
      const buffer = new ArrayBuffer(bytes.length)
      new Uint8Array(buffer).set(bytes)
      return buffer
    })
  }

  get urlParamsBody() {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.fail(this.unreadable("the emulator sends no form data"))
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }
}

/**
 * The body can be read whole any number of times; its bytes are fetched once.
 *
 * @internal
 */
export const make = (
  request: HttpClientRequest.HttpClientRequest,
  reply: Reply,
  body: Uint8Array | Bytes
): Effect.Effect<HttpClientResponse.HttpClientResponse> => {
  if (body instanceof Uint8Array) {
    const stream = body.length === 0 ? Stream.empty : Stream.make(body)
    return Effect.succeed(new EmulatedResponse(request, reply, stream, Effect.succeed(body)))
  }
  const whole = Effect.map(Stream.runCollect(body), (chunks) => join(Chunk.toReadonlyArray(chunks)))
  return Effect.map(Effect.cached(whole), (bytes) => new EmulatedResponse(request, reply, body, bytes))
}
