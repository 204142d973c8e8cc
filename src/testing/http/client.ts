/**
 * The emulator behind the platform's HttpClient, without a socket.
 *
 * @since 0.1.0
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { encode, join } from "../model/text.js"
import type { Exchange } from "./exchange.js"
import type { Bytes, Reply } from "./reply.js"
import * as Response from "./response.js"
import { aborted, reset, type SocketError } from "./socket.js"

const requestBody = (body: HttpBody.HttpBody): Effect.Effect<Uint8Array, SocketError> => {
  switch (body._tag) {
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Raw":
      return Effect.succeed(body.body instanceof Uint8Array ? body.body : encode(String(body.body)))
    case "Stream":
      return Effect.mapBoth(Stream.runCollect(body.stream), {
        onFailure: () => reset,
        onSuccess: (chunks) => join(Chunk.toReadonlyArray(chunks))
      })
    case "Empty":
    case "FormData":
      return Effect.succeed(new Uint8Array())
  }
}

const untilAborted = (signal: AbortSignal): Effect.Effect<never, SocketError> =>
  Effect.async((resume) => {
    const fail = () => resume(Effect.fail(aborted))
    if (signal.aborted) return fail()
    signal.addEventListener("abort", fail)
    return Effect.sync(() => signal.removeEventListener("abort", fail))
  })

/** A body that can be cut listens to the signal itself; any other is read by a fiber that can be interrupted. */
const abortable = (body: Bytes, cut: Reply["cut"], signal: AbortSignal): Bytes => {
  if (cut === undefined) return Stream.interruptWhen(body, untilAborted(signal))
  return Stream.suspend(() => {
    const leave = () => cut(aborted)
    if (signal.aborted) leave()
    signal.addEventListener("abort", leave)
    return Stream.ensuring(body, Effect.sync(() => signal.removeEventListener("abort", leave)))
  })
}

/** @internal */
export const make = (exchange: Exchange): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal) =>
    requestBody(request.body).pipe(
      Effect.flatMap((body) =>
        exchange.handle({
          method: request.method,
          path: url.pathname + url.search,
          headers: { host: url.host, ...request.headers },
          body
        })
      ),
      Effect.mapError((cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause })),
      Effect.flatMap((reply) => {
        const { body, cut } = reply
        return Response.make(
          request,
          reply,
          body instanceof Uint8Array ? body : exchange.count(abortable(body, cut, signal))
        )
      })
    )
  )
