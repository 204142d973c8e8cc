/**
 * The verbs of a service end with its layer, whether or not what they are built on goes on for others.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { TaskId } from "../../Protocol.js"
import type { RWKVConnectionError } from "../../RWKVError.js"
import { closed, closedBefore } from "../wire/closed.js"
import type * as Ledger from "./ledger.js"

/** Refuses what is asked for after the end, so that nothing is sent; `about` is told of if it is the id of a task. */
export type Gate = (operation: string, about?: unknown) => Effect.Effect<void, RWKVConnectionError>

const isTaskId = Schema.is(TaskId)

/** Closed with its scope, and with what its service shares with others. */
export const of = ({ lifetime }: Ledger.Service): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.map(closed, (isClosed) => (operation, about) =>
    Effect.suspend(() =>
      isClosed() || lifetime.closing()
        ? Effect.fail(closedBefore(operation, isTaskId(about) ? about : undefined))
        : Effect.void
    ))
