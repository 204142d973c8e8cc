/**
 * Faults between the server and its client.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { decodeLossy } from "../model/text.js"
import * as Reply from "./reply.js"
import type { RecordedRequest } from "./request.js"
import { refused, reset, type SocketError } from "./socket.js"

/**
 * What goes wrong. Body faults count bytes of the decoded body, not of HTTP chunks.
 *
 * - `Refuse`: the connection is refused; nothing reaches the server, and nothing is recorded.
 * - `Reset`: the connection breaks before the first byte of an answer; `executed` says whether the server did the work.
 * - `Delay`: the server looks at the request only after `duration`; `executed` (default false) does the work first and
 *   holds the answer back.
 * - `Hang`: no answer ever.
 * - `Status`: another answer, by default the server's 500 text or `{"detail": ...}`; `executed` (default false) does
 *   the work all the same.
 * - `Respond`: the work is done, but the answer replaced; its body may be a stream, for any timing.
 * - `Cut`: the body ends after `afterBytes`, by ECONNRESET, or `clean` as if it were complete.
 * - `Stall`: after `afterBytes` the body is silent for ever, or until the server is restarted.
 * - `Corrupt`: every chunk of the body goes through `transform`.
 * - `Split`: chunks are cut into pieces of `size` bytes, `delay` before each.
 * - `DropFrame`: the data frame number `index` (from 0; the head is no data frame) is left out.
 *
 * @since 0.1.0
 * @category models
 */
export type FaultKind = Data.TaggedEnum<{
  Refuse: object
  Reset: { readonly executed: boolean }
  Delay: { readonly duration: Duration.DurationInput; readonly executed?: boolean | undefined }
  Hang: { readonly executed: boolean }
  Status: {
    readonly status: number
    readonly body?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly executed?: boolean | undefined
  }
  Respond: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string | Uint8Array | Stream.Stream<Uint8Array, SocketError>
  }
  Cut: { readonly afterBytes: number; readonly clean: boolean }
  Stall: { readonly afterBytes: number }
  Corrupt: { readonly transform: (bytes: Uint8Array, index: number) => Uint8Array }
  Split: { readonly size: number; readonly delay?: Duration.DurationInput | undefined }
  DropFrame: { readonly index: number }
}>

/**
 * Constructors and matchers of the kinds of faults.
 *
 * @since 0.1.0
 * @category constructors
 */
export const FaultKind = Data.taggedEnum<FaultKind>()

/**
 * A fault and whom it hits: the first `times` (default 1, may be Infinity) requests that match `on` (default: any).
 * A request takes at most one fault, the first injected that matches.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fault {
  readonly on?:
    | {
      readonly method?: string | undefined
      /** Tested against path and query: a pattern, or a text contained in them. */
      readonly path?: RegExp | string | undefined
      readonly when?: ((request: RecordedRequest) => boolean) | undefined
    }
    | undefined
  readonly times?: number | undefined
  readonly kind: FaultKind
}

/** @internal */
export const isHit = (fault: Fault, request: RecordedRequest): boolean => {
  const { method, path, when } = fault.on ?? {}
  return (method === undefined || method.toUpperCase() === request.method) &&
    (path === undefined ||
      (typeof path === "string" ? request.path.includes(path) : request.path.search(path) >= 0)) &&
    (when === undefined || when(request))
}

type Body = Reply.Bytes

/** A changed body may be silent while the original is not, so it cannot be cut from within. */
const withBody = (reply: Reply.Reply, body: (body: Body) => Body): Reply.Reply => ({
  ...reply,
  body: body(Reply.bodyStream(reply)),
  cut: undefined
})

/** The first `size` bytes, then whatever follows instead of the rest. */
const takeBytes = (body: Body, size: number, then: Body): Body =>
  Stream.suspend(() => {
    let left = size
    return body.pipe(
      Stream.rechunk(1),
      Stream.map((chunk) => {
        const part = chunk.subarray(0, left)
        left -= part.length
        return part
      }),
      Stream.takeUntil(() => left <= 0),
      (taken) => size <= 0 ? Stream.empty : taken,
      Stream.concat(Stream.suspend(() => left <= 0 ? then : Stream.empty))
    )
  })

const pieces = (chunk: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from(
    { length: Math.ceil(chunk.length / Math.max(1, size)) },
    (_, index) => chunk.subarray(index * Math.max(1, size), (index + 1) * Math.max(1, size))
  )

const dropFrame = (body: Body, index: number): Body =>
  Stream.suspend(() => {
    let seen = 0
    return Stream.filter(body, (chunk) => !decodeLossy(chunk).startsWith("data: {\"data\"") || seen++ !== index)
  })

const statusReply = (
  status: number,
  body: string | undefined,
  headers: Readonly<Record<string, string>> = {}
): Reply.Reply => {
  if (body !== undefined) return Reply.fixed(status, { "content-type": "text/plain; charset=utf-8", ...headers }, body)
  return status === 500 ?
    { ...Reply.crash, headers: { ...Reply.crash.headers, ...headers } } :
    Reply.detail(status, `injected ${status}`, headers)
}

/**
 * `death` fails when the process of the server ends, and its connections with it.
 *
 * @internal
 */
export const apply = (
  kind: FaultKind,
  run: Effect.Effect<Reply.Reply, SocketError>,
  death: Effect.Effect<never, unknown>
): Effect.Effect<Reply.Reply, SocketError> =>
  FaultKind.$match(kind, {
    Refuse: () => Effect.fail(refused),
    Reset: ({ executed }) => Effect.zipRight(Effect.when(run, () => executed), Effect.fail(reset)),
    Delay: ({ duration, executed }) =>
      executed === true ? Effect.zipLeft(run, Effect.sleep(duration)) : Effect.delay(run, duration),
    Hang: ({ executed }) => Effect.zipRight(Effect.when(run, () => executed), Effect.mapError(death, () => reset)),
    Status: ({ body, executed, headers, status }) =>
      Effect.as(Effect.when(run, () => executed === true), statusReply(status, body, headers)),
    Respond: ({ body, headers, status }) =>
      Effect.as(
        run,
        typeof body === "string" || body instanceof Uint8Array ?
          Reply.fixed(status, headers, body) :
          { status, headers, body }
      ),
    Cut: ({ afterBytes, clean }) =>
      Effect.map(run, (reply) =>
        withBody(reply, (body) => takeBytes(body, afterBytes, clean ? Stream.empty : Stream.fail(reset)))),
    Stall: ({ afterBytes }) =>
      Effect.map(run, (reply) =>
        withBody(reply, (body) =>
          takeBytes(
            body,
            afterBytes,
            Stream.fromEffect(Effect.mapError(death, () =>
              reset))
          ))),
    Corrupt: ({ transform }) =>
      Effect.map(run, (reply) =>
        withBody(reply, (body) =>
          Stream.map(Stream.zipWithIndex(body), ([bytes, index]) =>
            transform(bytes, index)))),
    Split: ({ delay, size }) =>
      Effect.map(run, (reply) =>
        withBody(reply, (body) => {
          const split = Stream.rechunk(
            Stream.mapConcat(body, (chunk) =>
              pieces(chunk, size)),
            1
          )
          return delay === undefined ? split : Stream.tap(split, () => Effect.sleep(delay))
        })),
    DropFrame: ({ index }) => Effect.map(run, (reply) => withBody(reply, (body) => dropFrame(body, index)))
  })
