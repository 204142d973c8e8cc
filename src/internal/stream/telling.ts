/**
 * The forms in which a run is told: its texts, its events, or only its end; and the types by which it is pulled.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { StreamEvent, type TaskId, type TaskResult } from "../../Protocol.js"
import type { BranchFailure } from "../../RWKVError.js"
import type { FollowFailure, Told } from "./signals.js"

/** The next elements; `None` is the end. */
export type Pull<A> = Effect.Effect<Chunk.Chunk<A>, Option.Option<FollowFailure>>

/** Opens a run for its first pull. Readers inside the SDK pull without a Stream in between. */
export type Opening<A, E = BranchFailure> = Effect.Effect<Pull<A>, E, Scope.Scope>

export const pulled = <A, E>(opening: Opening<A, E>): Stream.Stream<A, E | FollowFailure> =>
  Stream.unwrapScoped(Effect.map(opening, Stream.repeatEffectChunkOption))

/** A form in which a run is told. */
export interface Telling<A> {
  /** The element that is made of what was told, if any. */
  readonly element: (told: Told, taskId: TaskId) => A | undefined
  /** Whether it tells a result, whose tokens are counted. */
  readonly counts: boolean
}

export const texts: Telling<string> = {
  element: (told) => told._tag === "Text" ? told.text : undefined,
  counts: false
}

export const events: Telling<StreamEvent> = {
  element: (told, taskId) =>
    told._tag === "Started" ? StreamEvent.Started({ ...told, taskId }) : told._tag === "Text"
      ? StreamEvent.Text(told)
      : StreamEvent.Finished(told),
  counts: true
}

export const ends: Telling<TaskResult> = {
  element: (told) => told._tag === "Finished" ? told.result : undefined,
  counts: true
}
