/**
 * Answers, whatever the transport.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Stream from "effect/Stream"
import { encode } from "../model/text.js"
import type { SocketError } from "./socket.js"

/** @internal */
export type Bytes = Stream.Stream<Uint8Array, SocketError>

/** @internal */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | Bytes
  /** Ends a streamed body by a failure; absent if the body cannot be cut. */
  readonly cut?: ((cause: SocketError) => void) | undefined
  /** The server closes the socket behind this answer without announcing it. */
  readonly closes?: boolean
}

/** @internal */
export const fixed = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array
): Reply => {
  const bytes = typeof body === "string" ? encode(body) : body
  return { status, headers: { "content-length": String(bytes.length), ...headers }, body: bytes }
}

/** @internal */
export const json = (body: string, status = 200): Reply => fixed(status, { "content-type": "application/json" }, body)

/** @internal */
export const detail = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): Reply =>
  fixed(status, { ...headers, "content-type": "application/json" }, `{"detail":${JSON.stringify(text)}}`)

/** @internal */
export const crash: Reply = {
  ...fixed(500, { "content-type": "text/plain; charset=utf-8" }, "Internal Server Error"),
  closes: true
}

/**
 * The answer to a HEAD.
 *
 * @internal
 */
export const withoutBody = (self: Reply): Reply => ({ ...self, body: new Uint8Array() })

/** @internal */
export const events = (body: Bytes, cut: (cause: SocketError) => void): Reply => ({
  status: 200,
  headers: {
    "cache-control": "no-cache",
    connection: "keep-alive",
    "x-accel-buffering": "no",
    "content-type": "text/event-stream; charset=utf-8"
  },
  body,
  cut
})

/** @internal */
export const bodyStream = (self: Reply): Bytes =>
  self.body instanceof Uint8Array ? (self.body.length === 0 ? Stream.empty : Stream.make(self.body)) : self.body

/**
 * Ends a handler early with an answer.
 *
 * @internal
 */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly reply: Reply }> {}
