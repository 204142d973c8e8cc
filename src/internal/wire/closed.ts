/**
 * What was closed sends nothing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { RWKVConnectionError } from "../../RWKVError.js"

/** What every call to a service that was closed fails with. */
export const closedBefore = (operation: string, taskId?: string): RWKVConnectionError =>
  new RWKVConnectionError({
    operation,
    taskId,
    description: "the client was closed before, and nothing was sent",
    requestSent: false,
    retryable: false
  })

/** Whether the scope that this is made in was closed. */
export const closed: Effect.Effect<() => boolean, never, Scope.Scope> = Effect.suspend(() => {
  let isClosed = false
  const close = Effect.sync(() => {
    isClosed = true
  })
  return Effect.as(Effect.addFinalizer(() => close), () => isClosed)
})
