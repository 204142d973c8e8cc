/**
 * Answers before they meet a transport.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Stream from "effect/Stream"

/**
 * A connection that broke, with the `code` of Node's socket errors (`"ECONNREFUSED"`, `"ECONNRESET"`). It is the
 * `cause` of the platform's error, as with a real HTTP client.
 *
 * @since 0.1.0
 * @category errors
 */
export class SocketError extends Data.TaggedError("SocketError")<{
  readonly code: string
  readonly message: string
}> {}

/** @internal */
export const reset = new SocketError({ code: "ECONNRESET", message: "read ECONNRESET" })

/** @internal */
export const refused = new SocketError({ code: "ECONNREFUSED", message: "connect ECONNREFUSED 127.0.0.1:8000" })

/** @internal */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | Stream.Stream<Uint8Array, SocketError>
  /** The server closes the socket behind this answer without announcing it. */
  readonly closes?: boolean
}

const encoder = new TextEncoder()

/** @internal */
export const fixed = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array
): Reply => {
  const bytes = typeof body === "string" ? encoder.encode(body) : body
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

/** @internal */
export const events = (body: Stream.Stream<Uint8Array, SocketError>): Reply => ({
  status: 200,
  headers: {
    "cache-control": "no-cache",
    connection: "keep-alive",
    "x-accel-buffering": "no",
    "content-type": "text/event-stream; charset=utf-8"
  },
  body
})

/** @internal */
export const bodyStream = (self: Reply): Stream.Stream<Uint8Array, SocketError> =>
  self.body instanceof Uint8Array ? (self.body.length === 0 ? Stream.empty : Stream.make(self.body)) : self.body

/**
 * Ends a handler early with an answer.
 *
 * @internal
 */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly reply: Reply }> {}
