/**
 * What a task remembers between two tokens: the toy model's state and its place in a script. Sessions are values:
 * whoever advances one works on a copy.
 *
 * @since 0.1.0
 */
import * as Model from "./model.js"
import { type CompiledScript, type EndedBy, endsTurn, newline } from "./script.js"
import { byteToken, decodeLossy, join } from "./text.js"

/**
 * A prompt that a task has read, and what it said to it.
 *
 * @since 0.2.0
 * @category models
 */
export interface PastRun {
  /** The prompt as text; of a prompt sent as ids, those that stand for bytes (1..256). */
  readonly prompt: string
  /** All that was said, decoded character by character; empty for a task that has only read. */
  readonly text: string
  /** The run ended by itself: the server put the token 0 before the next prompt. */
  readonly ended: boolean
}

/** A list of the tokens of each plan, the newest plan first. */
interface Spoken {
  readonly before: Spoken | undefined
  readonly tokens: ReadonlyArray<Uint8Array>
}

/** @internal */
export interface Session {
  readonly model: Model.ModelState
  script: CompiledScript | undefined
  at: number
  /** Tokens of this run, and the last of them. */
  said: number
  last: Uint8Array | undefined
  /** The last run ended by the end of the text: the next prompt is put behind a token 0. */
  ended: boolean
  /** Runs before the last prompt. */
  past: ReadonlyArray<PastRun>
  /** The last prompt; undefined before the first. */
  prompt: string | undefined
  /** What was said to it, shared with earlier sessions. */
  spoken: Spoken | undefined
}

/** @internal */
export const make = (seed: number): Session => ({
  model: Model.makeState(seed),
  script: undefined,
  at: 0,
  said: 0,
  last: undefined,
  ended: false,
  past: [],
  prompt: undefined,
  spoken: undefined
})

/** @internal */
const clone = (self: Session): Session => ({ ...self, model: Model.cloneState(self.model) })

const textOf = (last: Spoken | undefined): string => {
  const plans: Array<ReadonlyArray<Uint8Array>> = []
  for (let spoken = last; spoken !== undefined; spoken = spoken.before) plans.push(spoken.tokens)
  return decodeLossy(join(plans.toReversed().flat()))
}

/**
 * All runs so far, those of the tasks included that this one was forked from.
 *
 * @internal
 */
export const runs = ({ ended, past, prompt, spoken }: Session): ReadonlyArray<PastRun> =>
  prompt === undefined ? past : [...past, { prompt, text: textOf(spoken), ended }]

/** @internal */
export const read = (
  self: Session,
  prompt: string,
  ids: ReadonlyArray<number>,
  script: CompiledScript | undefined
): Session => {
  const next = clone(self)
  next.past = runs(self)
  next.prompt = prompt
  next.spoken = undefined
  if (next.ended) Model.observe(next.model, 0)
  Model.prefill(next.model, ids)
  next.script = script
  next.at = 0
  next.said = 0
  next.last = undefined
  next.ended = false
  return next
}

/** @internal */
export interface Plan {
  readonly tokens: ReadonlyArray<Uint8Array>
  /** Steps of the pulse used, the one that met the end of the text included. */
  readonly steps: number
  readonly endedBy: EndedBy | undefined
  readonly session: Session
}

type Ending = "eos" | "user" | "stop"

const sampled = (self: Session, sampling: Model.Sampling): Uint8Array | Ending => {
  const id = Model.sample(self.model, sampling)
  return id === 0 ? "eos" : byteToken(id - 1)
}

const scripted = (self: Session, { ends, loop, tokens }: CompiledScript): Uint8Array | Ending => {
  if (ends !== undefined && self.said >= ends.after) {
    return ends.by === "user" && self.said === ends.after ? newline : ends.by
  }
  if (self.at >= tokens.length && loop) self.at = 0
  return tokens[self.at++] ?? "eos"
}

/** The next token, or why there is none. */
const step = (self: Session, sampling: Model.Sampling): Uint8Array | Ending => {
  const next = self.script === undefined ? sampled(self, sampling) : scripted(self, self.script)
  if (typeof next === "string") return next
  if (endsTurn(self.last, next)) return "user"
  self.said++
  self.last = next
  if (self.script !== undefined) { for (const byte of next) Model.observe(self.model, byte + 1) }
  return next
}

/**
 * Generates for up to `limit` steps and up to `wanted` tokens (but always one: `max_tokens` is tested afterwards).
 *
 * @internal
 */
export const plan = (self: Session, sampling: Model.Sampling, limit: number, wanted: number): Plan => {
  const session = clone(self)
  const tokens: Array<Uint8Array> = []
  session.spoken = { before: self.spoken, tokens }
  for (let steps = 1; steps <= limit; steps++) {
    const token = step(session, sampling)
    if (typeof token === "string") {
      session.ended = token !== "stop"
      return { tokens, steps, endedBy: token, session }
    }
    tokens.push(token)
    if (tokens.length >= wanted) return { tokens, steps, endedBy: "length", session }
  }
  return { tokens, steps: limit, endedBy: undefined, session }
}
