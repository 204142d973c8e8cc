/**
 * Ids of a pool: the server's own id, `~`, and the server's name, which has no `~` in it. So whoever reads one finds
 * the server whatever its own id looks like, and an id keeps its prefix, which says how the task is kept.
 */
import * as Effect from "effect/Effect"
import type { TaskId } from "../../Protocol.js"
import { RWKVDecodeError } from "../../RWKVError.js"
import { isTaskId } from "../input/validate.js"

export const nameRule = "must be 1 to 32 letters, digits, \"_\" or \"-\""

export const isName = (name: unknown): name is string => typeof name === "string" && /^[A-Za-z0-9_-]{1,32}$/.test(name)

/** Not checked: a server's id may be so long that no id of a pool can be made of it. */
export const join = (own: string, name: string): string => `${own}~${name}`

/** The name of the server, and its own id; neither is checked. */
export const split = (id: string): { readonly name: string; readonly own: string } => {
  const at = id.lastIndexOf("~")
  return at < 0 ? { name: "", own: id } : { name: id.slice(at + 1), own: id.slice(0, at) }
}

/** The id of a pool for what a server has named. */
export const named = (operation: string, own: string, name: string): Effect.Effect<TaskId, RWKVDecodeError> => {
  const id = join(own, name)
  const description = "a task whose id is too long for a pool"
  return isTaskId(id) ? Effect.succeed(id) : Effect.fail(new RWKVDecodeError({ operation, taskId: own, description }))
}
