/**
 * A Stream of frames that carries the effect which opens its connection.
 *
 * Programs use the Stream. `stream/connection` uses the effect and pulls frames without a Stream, which would take a
 * third of an open stream's memory and double the steps for each text.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Frame } from "./sse.js"

/** Opens a connection that lives as long as its scope. The inner effect pulls frames; `None` is the end. */
type Opening<E> = Effect.Effect<Effect.Effect<Chunk.Chunk<Frame>, Option.Option<E>>, E, Scope.Scope>

const OpeningId: unique symbol = Symbol.for("effect-rwkv/Opening")

const remembers = <E>(frames: Stream.Stream<Frame, E>): frames is Stream.Stream<Frame, E> & Remembering<E> =>
  hasProperty(frames, OpeningId)

interface Remembering<E> {
  readonly [OpeningId]: Opening<E>
}

export const toStream = <E>(opening: Opening<E>): Stream.Stream<Frame, E> =>
  Object.assign(Stream.unwrapScoped(Effect.map(opening, Stream.repeatEffectChunkOption)), { [OpeningId]: opening })

/** The effect that a Stream carries; a Stream that carries none is pulled from. */
export const openingOf = <E>(frames: Stream.Stream<Frame, E>): Opening<E> =>
  remembers(frames) ? frames[OpeningId] : Stream.toPull(frames)
