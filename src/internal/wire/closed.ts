/**
 * What was closed sends nothing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { RWKVConnectionError } from "../../RWKVError.js"

const failure = (description: string, requestSent: boolean) => (operation: string, taskId?: string) =>
  new RWKVConnectionError({ operation, taskId, description, requestSent, retryable: false })

/** What every call to a service that was closed fails with. */
export const closedBefore = failure("the client was closed before, and nothing was sent", false)

/** What is open when the service ends fails with this. */
export const clientClosed = failure("the client was closed", true)

/** Whether it is one of these two. */
export const isClosed = (error: { readonly _tag: string; readonly description?: string }): boolean =>
  error._tag === "RWKVConnectionError" && error.description?.startsWith("the client was closed") === true

/** Whether the scope that this is made in was closed. */
export const closed: Effect.Effect<() => boolean, never, Scope.Scope> = Effect.suspend(() => {
  let isClosed = false
  const close = Effect.sync(() => {
    isClosed = true
  })
  return Effect.as(Effect.addFinalizer(() => close), () => isClosed)
})
