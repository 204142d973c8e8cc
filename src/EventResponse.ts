/**
 * The events of a run as the response of a web server (server-sent events), for browsers and other programs to read.
 *
 * An entry of its own, `effect-rwkv/EventResponse`, because it needs the platform's server.
 *
 * @since 0.1.0
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { duration as validDuration, invalid } from "./internal/input/validate.js"
import { StreamEvent } from "./Protocol.js"
import { RWKVError, type RWKVValidationError } from "./RWKVError.js"

/**
 * What {@link make} needs of a run that has begun.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opened {
  /** What is sent; a failure, one of `RWKVError`, is sent as the last event. */
  readonly events: Stream.Stream<StreamEvent, RWKVError>
}

/**
 * How a run is sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How often a comment is sent, so that no proxy takes silence for a dead connection; 15 seconds by default,
   * `Duration.infinity` for never. The first one is sent at once. Zero, or what is no duration, fails with
   * `RWKVValidationError`.
   */
  readonly heartbeat?: Duration.DurationInput | undefined
}

const operation = "EventResponse.make"

/** JSON has no line break, so it is one line of an event. */
const frame = (event: string, json: string) => `event: ${event}\ndata: ${json}\n\n`

const encodeEvent = Schema.encode(Schema.parseJson(StreamEvent))
const encodeError = Schema.encode(Schema.parseJson(RWKVError))

/** Joins the events of one chunk. Encoding cannot fail, for these Schemas decoded or made the events. */
const framesOf = (events: Chunk.Chunk<StreamEvent>) =>
  Effect.forEach(events, (event) => Effect.map(encodeEvent(event), (json) => frame(event._tag, json))).pipe(
    Effect.map((frames) => Chunk.of(frames.join(""))),
    Effect.orDie
  )

const lastFrame = (error: RWKVError) =>
  Stream.fromEffect(Effect.orDie(Effect.map(encodeError(error), (json) => frame("error", json))))

const body = ({ events }: Opened, heartbeat: Duration.Duration) =>
  events.pipe(
    Stream.mapChunksEffect(framesOf),
    Stream.catchAll(lastFrame),
    Stream.merge(Stream.as(Stream.tick(heartbeat), ": \n\n"), { haltStrategy: "left" }),
    Stream.encodeText
  )

const contentType = "text/event-stream"

const headers = {
  "cache-control": "no-cache, no-transform",
  // Keeps Nginx and similar proxies from buffering.
  "x-accel-buffering": "no"
}

/**
 * Makes a response of a run: each event is sent under its tag, as the JSON of `Protocol.StreamEvent`, and is to be
 * decoded by that Schema. A failure before the run has begun fails this effect, so the handler can still choose the
 * status; a later one is sent as the last event, `error`, the JSON of `RWKVError.RWKVError`. Comments keep the
 * connection alive. When the client leaves, the request's Scope ends, and with it the run. A `HEAD` request opens
 * nothing.
 *
 * Browsers' `EventSource` connects again when a response ends: close it at `Finished` and at `error`.
 *
 * @example
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import { StreamService } from "effect-rwkv"
 * import * as EventResponse from "effect-rwkv/EventResponse"
 *
 * const router = HttpRouter.empty.pipe(HttpRouter.get(
 *   "/story",
 *   EventResponse.make(StreamService.open({ prompt: "Tell me a story", maxTokens: 200 }))
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R>(
  opening: Effect.Effect<Opened, E, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, E | RWKVValidationError, R> =>
  Effect.gen(function*() {
    const heartbeat = yield* validDuration(operation, "heartbeat", options.heartbeat, "15 seconds")
    if (Duration.equals(heartbeat, Duration.zero)) {
      return yield* Effect.fail(invalid(operation, "heartbeat", "must be longer than nothing"))
    }
    const isHead = Option.exists(
      yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest),
      ({ method }) => method === "HEAD"
    )
    // Nobody would read the body of a HEAD, so its Scope would not end.
    return isHead
      ? HttpServerResponse.empty({ status: 200, headers: { ...headers, "content-type": contentType } })
      : HttpServerResponse.stream(body(yield* opening, heartbeat), { contentType, headers })
  })
