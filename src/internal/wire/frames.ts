/**
 * A stream of frames that remembers how it is opened.
 *
 * Programs get a Stream. What follows a text pulls the frames themselves: a Stream between them would take a third of
 * an open stream's memory, and as many steps for each piece of text as everything else.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Frame } from "./sse.js"

/** Opens a connection, which lives as long as the scope, and pulls what it tells; `None` is the end. */
type Opening<E> = Effect.Effect<Effect.Effect<Chunk.Chunk<Frame>, Option.Option<E>>, E, Scope.Scope>

const OpeningId: unique symbol = Symbol.for("effect-rwkv/Opening")

const remembers = <E>(frames: Stream.Stream<Frame, E>): frames is Stream.Stream<Frame, E> & Remembering<E> =>
  hasProperty(frames, OpeningId)

interface Remembering<E> {
  readonly [OpeningId]: Opening<E>
}

export const toStream = <E>(opening: Opening<E>): Stream.Stream<Frame, E> =>
  Object.assign(Stream.unwrapScoped(Effect.map(opening, Stream.repeatEffectChunkOption)), { [OpeningId]: opening })

/** The frames of a client of the program's own are pulled from its Stream. */
export const openingOf = <E>(frames: Stream.Stream<Frame, E>): Opening<E> =>
  remembers(frames) ? frames[OpeningId] : Stream.toPull(frames)
