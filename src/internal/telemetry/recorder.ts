/**
 * Who keeps records of operations, if a program asks for them. Nothing here knows how: a program without them loads
 * nothing of it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Observed } from "./record.js"

/** Whether an operation follows the run that it starts, only starts one, or is a span by the name of its verb. */
export type Kind = "run" | "start" | "call"

export interface Operation {
  readonly operation: string
  readonly kind: Kind
  /** Its first argument: told of if it is the id of a task. */
  readonly about: unknown
  readonly baseUrl: string | undefined
}

export interface Begin {
  readonly begin: (operation: Operation) => Effect.Effect<Observed>
}

export class Recorder extends Context.Reference<Recorder>()("effect-rwkv/Recorder", {
  defaultValue: (): Begin | undefined => undefined
}) {}
