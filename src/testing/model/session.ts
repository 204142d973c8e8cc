/**
 * What a task remembers between two tokens: the toy model's state and its place in a script. Sessions are values:
 * whoever advances one works on a copy.
 *
 * @since 0.1.0
 */
import * as Model from "./model.js"
import type { CompiledScript } from "./script.js"
import { byteToken } from "./text.js"

/** @internal */
export interface Session {
  readonly model: Model.ModelState
  script: CompiledScript | undefined
  at: number
  /** The last run ended by the end of the text: the next prompt is put behind a token 0. */
  ended: boolean
}

/** @internal */
export const make = (seed: number): Session => ({
  model: Model.makeState(seed),
  script: undefined,
  at: 0,
  ended: false
})

/** @internal */
export const clone = (self: Session): Session => ({ ...self, model: Model.cloneState(self.model) })

/** @internal */
export const read = (self: Session, ids: ReadonlyArray<number>, script: CompiledScript | undefined): Session => {
  const next = clone(self)
  if (next.ended) Model.observe(next.model, 0)
  Model.prefill(next.model, ids)
  next.script = script
  next.at = 0
  next.ended = false
  return next
}

/** @internal */
export interface Plan {
  readonly tokens: ReadonlyArray<Uint8Array>
  /** Steps of the pulse used, the one that met the end of the text included. */
  readonly steps: number
  readonly ended: boolean
  readonly session: Session
}

/** Undefined is the end of the text. */
const step = (self: Session, sampling: Model.Sampling): Uint8Array | undefined => {
  if (self.script === undefined) {
    const id = Model.sample(self.model, sampling)
    return id === 0 ? undefined : byteToken(id - 1)
  }
  if (self.at >= self.script.tokens.length && self.script.loop) self.at = 0
  const token = self.script.tokens[self.at]
  if (token === undefined) return undefined
  self.at++
  for (const byte of token) Model.observe(self.model, byte + 1)
  return token
}

/**
 * Generates for up to `limit` steps and up to `wanted` tokens (but always one: `max_tokens` is tested afterwards).
 *
 * @internal
 */
export const plan = (self: Session, sampling: Model.Sampling, limit: number, wanted: number): Plan => {
  const session = clone(self)
  const tokens: Array<Uint8Array> = []
  for (let steps = 1; steps <= limit; steps++) {
    const token = step(session, sampling)
    if (token === undefined) {
      session.ended = true
      return { tokens, steps, ended: true, session }
    }
    tokens.push(token)
    if (tokens.length >= wanted) return { tokens, steps, ended: true, session }
  }
  return { tokens, steps: limit, ended: false, session }
}
