/**
 * Streams as what they are pulled from: one layer between a source and its consumer, where each operator would add one.
 *
 * @internal
 */
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * The next elements; `None` is the end.
 *
 * @internal
 */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

/**
 * What has to happen before the first pull.
 *
 * @internal
 */
export type Opening<A, E, R = never> = Effect.Effect<Pull<A, E>, E, R | Scope.Scope>

const OpeningId: unique symbol = Symbol.for("effect-rwkv/Opening")

interface Opened<A, E, R> extends Stream.Stream<A, E, R> {
  readonly [OpeningId]: Opening<A, E, R>
}

const isOpened = <A, E, R>(stream: Stream.Stream<A, E, R>): stream is Opened<A, E, R> => hasProperty(stream, OpeningId)

/** Written out: `Stream.unwrapScoped` and `Stream.repeatEffectChunkOption` are a layer each. */
const channelOf = <A, E, R>(
  opening: Opening<A, E, R>
): Channel.Channel<Chunk.Chunk<A>, unknown, E, unknown, unknown, unknown, Exclude<R, Scope.Scope>> => {
  type Elements = Channel.Channel<Chunk.Chunk<A>, unknown, E, unknown, unknown, unknown>
  const loop = (pull: Pull<A, E>): Elements => {
    const next: Effect.Effect<Elements, E> = Effect.matchEffect(pull, {
      onFailure: Option.match({ onNone: () => Effect.succeed(Channel.void), onSome: Effect.fail }),
      onSuccess: (chunk) => Effect.succeed(Channel.flatMap(Channel.write(chunk), () => again))
    })
    const again: Elements = Channel.flatMap(Channel.fromEffect(next), identity)
    return again
  }
  return Channel.acquireUseRelease(
    Scope.make(),
    (scope) => Channel.flatMap(Channel.fromEffect(Scope.extend(opening, scope)), loop),
    (scope, exit) => Scope.close(scope, exit)
  )
}

/**
 * A Stream that remembers how it is opened.
 *
 * @internal
 */
export const pulled = <A, E, R>(opening: Opening<A, E, R>): Stream.Stream<A, E, Exclude<R, Scope.Scope>> =>
  Object.assign(Stream.fromChannel(channelOf(opening)), { [OpeningId]: opening })

/**
 * How a Stream is opened: others than ours by running them.
 *
 * @internal
 */
export const openingOf = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>, E, R | Scope.Scope> =>
  isOpened(stream) ? stream[OpeningId] : Stream.toPull(stream)
