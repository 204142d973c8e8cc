/**
 * The failures of a closed client, which sends nothing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { RWKVConnectionError } from "../../RWKVError.js"

const failure = (description: string, requestSent: boolean) => (operation: string, taskId?: string) =>
  new RWKVConnectionError({ operation, taskId, description, requestSent, retryable: false })

/** The failure of a call that is made after the client was closed. */
export const closedBefore = failure("the client was closed before, and nothing was sent", false)

/** The failure of what is under way when the client is closed. */
export const clientClosed = failure("the client was closed", true)

/** Whether an error is one of these two. */
export const isClosed = (error: { readonly _tag: string; readonly description?: string }): boolean =>
  error._tag === "RWKVConnectionError" && error.description?.startsWith("the client was closed") === true

/** Makes a check that is true once the scope has closed. */
export const closed: Effect.Effect<() => boolean, never, Scope.Scope> = Effect.suspend(() => {
  let isClosed = false
  const close = Effect.sync(() => {
    isClosed = true
  })
  return Effect.as(Effect.addFinalizer(() => close), () => isClosed)
})
