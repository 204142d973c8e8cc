/**
 * A stream as it is opened and pulled: what follows a stream to its end needs no Stream for it.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BranchFailure } from "../../RWKVError.js"
import type { FollowFailure } from "./signals.js"

/** The next elements; `None` is the end. */
export type Pull<A> = Effect.Effect<Chunk.Chunk<A>, Option.Option<FollowFailure>>

/** What has to happen before the first pull. */
export type Opening<A, E = BranchFailure> = Effect.Effect<Pull<A>, E, Scope.Scope>

export const pulled = <A, E>(opening: Opening<A, E>): Stream.Stream<A, E | FollowFailure> =>
  Stream.unwrapScoped(Effect.map(opening, Stream.repeatEffectChunkOption))
