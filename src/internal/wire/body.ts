/**
 * The body of an answer: as one text of bounded size, or as the frames of an event stream.
 */
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { property } from "../input/json.js"
import type { Decoder, Frame } from "./sse.js"

type Answer = HttpClientResponse.HttpClientResponse

const utf8 = new TextEncoder()

/** A defect in a body is a failure here: the program's own HTTP client may have read that body before. */
const brokenBody = (response: Answer, cause: Cause.Cause<unknown>) => {
  if (Cause.isInterruptedOnly(cause)) return Stream.failCause(Cause.stripFailures(cause))
  const { request } = response
  return Stream.fail(
    new HttpClientError.ResponseError({ request, response, reason: "Decode", cause: Cause.squash(cause) })
  )
}

const hasNoContent = ({ status }: Answer) => status === 204 || status === 205

/** The body's bytes; its whole text, encoded, where the runtime has no body stream. */
const bytesOf = (response: Answer): Stream.Stream<Uint8Array, HttpClientError.ResponseError> =>
  Stream.catchAllCause(response.stream, (cause) =>
    Either.match(Cause.failureOrCause(cause), {
      onLeft: (error) =>
        property(error, "reason") === "EmptyBody"
          ? hasNoContent(response)
            ? Stream.empty
            : Stream.fromEffect(Effect.map(response.text, (text) => utf8.encode(text)))
          : Stream.fail(error),
      onRight: (defect) => brokenBody(response, defect)
    }))

const lengthOf = ({ headers }: Answer) => Number(headers["content-length"] || NaN)

/** Whether the announced length is within the limit; the HTTP layer enforces that length. */
const isShort = (response: Answer, limit: number): boolean =>
  response.headers["content-encoding"] === undefined && lengthOf(response) <= limit

/** React Native has no body stream. */
const hasStreams = () => hasProperty(globalThis.Response?.prototype, "body")

interface Reading<E> {
  /** The most bytes; the rest is not read. */
  readonly limit: number
  /**
   * Whether bytes that are not UTF-8 are a failure: the U+FFFD in their place would pass for the server's own (H11).
   */
  readonly exact: boolean
  readonly fail: (why: string) => E
}

/** A whole body as text. */
export const text = <E>(
  response: Answer,
  { exact, fail, limit }: Reading<E>
): Effect.Effect<string, HttpClientError.ResponseError | E> =>
  Effect.suspend((): Effect.Effect<string, HttpClientError.ResponseError | E> => {
    const tooLarge = () => fail(`larger than ${limit} bytes`)
    const whole = Effect.filterOrFail(response.text, (text) => text.length <= limit, tooLarge)
    if (!hasStreams() || !exact && isShort(response, limit)) return whole
    const decoder = new TextDecoder("utf-8", { fatal: exact })
    const decode = (...args: Parameters<typeof decoder.decode>) =>
      Effect.try({ try: () => decoder.decode(...args), catch: () => fail("bytes that are not UTF-8") })
    let size = 0
    let text = ""
    return Stream.runForEachWhile(bytesOf(response), (bytes) => {
      size += bytes.length
      return size > limit ? Effect.succeed(false) : Effect.map(decode(bytes, { stream: true }), (more) => {
        text += more
        return true
      })
    }).pipe(
      Effect.flatMap(() => size > limit ? Effect.fail(tooLarge()) : Effect.map(decode(), (last) => text + last)),
      // If the program's own HTTP client has read the body already, the platform still has its text.
      Effect.flatMap((text) => size === 0 && lengthOf(response) > 0 ? whole : Effect.succeed(text)),
      Effect.catchAll((error) => size === 0 ? Effect.orElseFail(whole, () => error) : Effect.fail(error))
    )
  })

/**
 * Pulls the frames of an event stream. Bytes after its end mark are left to the HTTP layer.
 */
export const pullFrames = <E>(
  response: Answer,
  decoder: Decoder,
  broken: (error: HttpClientError.ResponseError) => E
): Effect.Effect<Effect.Effect<Chunk.Chunk<Frame>, Option.Option<E>>, never, Scope.Scope> =>
  Effect.map(Stream.toPull(bytesOf(response)), (pull) => {
    let over = false
    const take = (frames: ReadonlyArray<Frame>) =>
      frames.length > 0 ? Effect.succeed(Chunk.unsafeFromArray(frames)) : next
    const next: Effect.Effect<Chunk.Chunk<Frame>, Option.Option<E>> = Effect.suspend(() =>
      over || decoder.ended() ? Effect.fail(Option.none()) : Effect.matchEffect(pull, {
        onFailure: Option.match({
          onNone: () => {
            over = true
            return take(decoder.flush())
          },
          onSome: (error) => Effect.fail(Option.some(broken(error)))
        }),
        onSuccess: (chunk) => take(Chunk.toReadonlyArray(chunk).flatMap(decoder.push))
      })
    )
    return next
  })
