/**
 * How requests that make a server read a prompt are let through: to the one server of a client by its lane, or to one
 * of a pool.
 */
import type * as Effect from "effect/Effect"
import { constant, constVoid } from "effect/Function"
import type { CallFailure } from "../../RWKVError.js"
import * as Lane from "./lane.js"
import type { Lifetime } from "./lifetime.js"

/** A request for which a server reads a prompt. */
export interface Asked {
  /** Whether the answer itself is the text. */
  readonly isDirect: boolean
  /** The task that goes on, or of which a copy does; none if the request makes a task. */
  readonly source?: string | undefined
  readonly request: unknown
}

/** Repeats what no other server can be asked for. */
export type Again<F> = <A, R>(
  acquired: Effect.Effect<A, F | CallFailure, R>
) => Effect.Effect<A, F | CallFailure, R>

/** How such requests are let through to the servers that there are. */
export interface Admission {
  /** {@link Lifetime.acquire}, once there is a way. */
  readonly admit: (lifetime: Lifetime) => <F>(asked: Asked, again: Again<F>) => <A, B, R>(
    operation: string,
    create: Effect.Effect<A, F>,
    owned: (created: A) => Effect.Effect<B, F, R>,
    abandoned: (created: A) => Effect.Effect<void>
  ) => Effect.Effect<B, F | CallFailure, R>
  /** Says that a task is wanted though nobody asks about it for a while; what is returned ends that. */
  readonly wants: (taskId: string) => () => void
  /** The server that a task lives on. */
  readonly hostOf: (taskId: string) => string
  /** How many servers there are. */
  readonly hosts: () => number
}

/** The one server of a client. */
export const toOne: Admission = {
  admit: (lifetime) => {
    const lane = Lane.make(lifetime)
    return ({ isDirect }, again) => (...acquired) => again(lane(isDirect)(...acquired))
  },
  wants: () => constVoid,
  hostOf: constant(""),
  hosts: constant(1)
}
