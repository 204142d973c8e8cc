/**
 * What a run is told as: its text alone, its events, or only its end; and how that is pulled.
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

/** What has to happen before the first pull. What follows a stream to its end needs no Stream for it. */
export type Opening<A, E = BranchFailure> = Effect.Effect<Pull<A>, E, Scope.Scope>

export const pulled = <A, E>(opening: Opening<A, E>): Stream.Stream<A, E | FollowFailure> =>
  Stream.unwrapScoped(Effect.map(opening, Stream.repeatEffectChunkOption))

/** What a run is told as. */
export interface Telling<A> {
  /** The element that is made of what was told, if any. */
  readonly element: (told: Told, taskId: TaskId) => A | undefined
  /** Whether it tells a result, which is counted. */
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
