/**
 * Requests as the server sees them.
 *
 * @since 0.1.0
 */

/**
 * A request on its way to a handler.
 *
 * @internal
 */
export interface Incoming {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/**
 * A request as it reached the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  readonly method: string
  /** Path and query, percent-encoding kept. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The body as text; `""` if there was none. */
  readonly body: string
}
