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
import type { Decoder, Frame } from "./sse.js"

type Answer = HttpClientResponse.HttpClientResponse

const utf8 = new TextEncoder()

/** What breaks in a stream that others made is no mistake of ours: a client of the program's own may have read it. */
const brokenBody = (response: Answer, cause: Cause.Cause<unknown>) => {
  if (Cause.isInterruptedOnly(cause)) return Stream.failCause(Cause.stripFailures(cause))
  const { request } = response
  return Stream.fail(
    new HttpClientError.ResponseError({ request, response, reason: "Decode", cause: Cause.squash(cause) })
  )
}

const hasNoContent = ({ status }: Answer) => status === 204 || status === 205

/** Some runtimes have no stream of a body, only its whole text. */
const bytesOf = (response: Answer): Stream.Stream<Uint8Array, HttpClientError.ResponseError> =>
  Stream.catchAllCause(response.stream, (cause) =>
    Either.match(Cause.failureOrCause(cause), {
      onLeft: (error) =>
        error.reason === "EmptyBody"
          ? hasNoContent(response)
            ? Stream.empty
            : Stream.fromEffect(Effect.map(response.text, (text) => utf8.encode(text)))
          : Stream.fail(error),
      onRight: (defect) => brokenBody(response, defect)
    }))

/**
 * Whether the platform may read the whole body: the HTTP layer holds the server to the length that it announced, and
 * some runtimes have nothing else.
 */
const isShort = ({ headers }: Answer, limit: number): boolean =>
  headers["content-encoding"] === undefined && Number(headers["content-length"] || Infinity) <= limit ||
  !hasProperty(globalThis.Response?.prototype, "body")

/** A whole body as text. It fails with `tooLarge` when there are more bytes than the limit; the rest is not read. */
export const text = <E>(
  response: Answer,
  limit: number,
  tooLarge: () => E
): Effect.Effect<string, HttpClientError.ResponseError | E> =>
  Effect.suspend((): Effect.Effect<string, HttpClientError.ResponseError | E> => {
    const whole = Effect.filterOrFail(response.text, (text) => text.length <= limit, tooLarge)
    if (isShort(response, limit)) return whole
    const decoder = new TextDecoder()
    let size = 0
    let text = ""
    return Stream.runForEachWhile(bytesOf(response), (bytes) =>
      Effect.sync(() => {
        size += bytes.length
        if (size <= limit) text += decoder.decode(bytes, { stream: true })
        return size <= limit
      })).pipe(
        Effect.flatMap(() => size <= limit ? Effect.sync(() => text + decoder.decode()) : Effect.fail(tooLarge())),
        // The platform remembers the text of a body that a client of the program's own has read already.
        Effect.catchAll((error) => size === 0 ? Effect.orElseFail(whole, () => error) : Effect.fail(error))
      )
  })

/**
 * Pulls the frames of an event stream, up to its end. What follows the end is left to the HTTP layer.
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
