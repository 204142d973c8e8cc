/**
 * One request to the server: bounded in time and size, and decoded.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, RWKVConnectionError, RWKVDecodeError, RWKVTimeoutError } from "../../RWKVError.js"
import * as Json from "../input/json.js"
import * as Body from "./body.js"
import { breach } from "./breach.js"
import * as Client from "./client.js"
import { about, type Call, make as makeExchange } from "./exchange.js"
import { toStream } from "./frames.js"
import { type Frame, makeDecoder } from "./sse.js"

export interface Requests {
  /** The answer decoded by a Schema. */
  readonly json: <A, I, E = never>(call: Call<E>, schema: Schema.Schema<A, I>) => Effect.Effect<A, CallFailure | E>
  /** Any 2xx answer: its body if it has this shape. */
  readonly accepted: <A, I, E = never>(
    call: Call<E>,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<Option.Option<A>, CallFailure | E>
  /** The frames of an event stream; the connection is closed with the stream. */
  readonly frames: <E = never>(call: Effect.Effect<Call<E>, CallFailure>) => Stream.Stream<Frame, CallFailure | E>
}

const parse = <A, I>(call: Call<unknown>, schema: Schema.Schema<A, I>, body: string) => {
  const unreadable = (description: string) => new RWKVDecodeError({ ...about(call), description })
  if (body === "") return Either.left(unreadable("empty"))
  const json = Json.parse(body)
  if (Option.isNone(json)) return Either.left(unreadable("not JSON"))
  return Either.mapLeft(ParseResult.decodeUnknownEither(schema)(json.value), (error) => unreadable(breach(error)))
}

/** What every call to a service that was closed fails with. */
export const closedBefore = (operation: string, taskId?: string): RWKVConnectionError =>
  new RWKVConnectionError({
    operation,
    taskId,
    description: "the client was closed before, and nothing was sent",
    requestSent: false,
    retryable: false
  })

export const make = (
  platformClient: HttpClient.HttpClient,
  config: RWKVConfig.Service,
  closed: () => boolean
): Requests => {
  const { broken, readBody, sayOf, send } = makeExchange(config)
  const client = Client.make(config.transformClient(platformClient), Object.keys(Redacted.value(config.headers)))
  const scopedClient = HttpClient.withScope(client)

  const bounded = <A, E, R>(call: Call<unknown>, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | RWKVConnectionError | RWKVTimeoutError, R> => {
      if (closed()) return Effect.fail(closedBefore(call.operation, call.taskId))
      const limit = config.requestTimeout
      return Effect.exit(effect).pipe(
        // A finalizer's request has a limit too: in a region that cannot be interrupted nothing else could end it.
        Effect.interruptible,
        Effect.timeoutFail({
          duration: limit,
          onTimeout: () => new RWKVTimeoutError({ ...about(call), kind: "request", limit })
        }),
        // What a middleware wrote to FiberRefs is the caller's even where its request failed: that came as an exit.
        Effect.flatten
      )
    })

  const answer = <A, E>(call: Call<E>, use: (body: string) => Effect.Effect<A, CallFailure>) =>
    bounded(
      call,
      send(call, client, "application/json").pipe(
        Effect.flatMap((response) => readBody(call, response)),
        Effect.flatMap(use)
      )
    )

  const open = <E>(call: Call<E>) =>
    bounded(call, send(call, scopedClient, "text/event-stream")).pipe(
      Effect.filterOrFail(
        (response) => /^text\/event-stream\b/i.test(response.headers["content-type"] ?? ""),
        () => new RWKVDecodeError({ ...about(call), description: "not an event stream" })
      ),
      Effect.flatMap((response) =>
        Body.pullFrames(response, makeDecoder(config.maxFrameSize, sayOf(call)), broken(call))
      )
    )

  return {
    json: (call, schema) => answer(call, (body) => parse(call, schema, body)),
    accepted: (call, schema) => answer(call, (body) => Effect.succeed(Either.getRight(parse(call, schema, body)))),
    frames: (call) => toStream(Effect.flatMap(call, open))
  }
}
