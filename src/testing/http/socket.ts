/**
 * Connections that break.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

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

/**
 * The client's own doing: its scope was closed.
 *
 * @internal
 */
export const aborted = new SocketError({ code: "ABORT_ERR", message: "request aborted" })
