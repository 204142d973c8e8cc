/**
 * Tasks as the server holds them in memory, and the text of their tokens.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type * as Queue from "effect/Queue"
import type { Sampling } from "./model.js"
import type * as Session from "./session.js"

/** @internal */
export type Status = 0 | 1 | 2 | 3
/** @internal */
export const PREFILL = 0
/** @internal */
export const READY = 1
/** @internal */
export const RUNNING = 2
/** @internal */
export const FINISHED = 3

/** @internal */
export interface Parameters extends Sampling {
  readonly maxTokens: number
}

/** @internal */
export type Signal =
  | { readonly _tag: "Tokens"; readonly tokens: ReadonlyArray<Uint8Array>; readonly at: number }
  | { readonly _tag: "End" }

/**
 * The callbacks of one POST stream. Until the stream registers its queue, signals are lost.
 *
 * @internal
 */
export interface Hub {
  queue: Queue.Enqueue<Signal> | undefined
}

/**
 * The scheduler's place for one run. A task keeps pointing at its last one, which is why a stop may be lost.
 *
 * @internal
 */
export interface Slot {
  readonly task: Task
  readonly maxTokens: number
  readonly sampling: Sampling
  produced: number
  session: Session.Session
  plan: Session.Plan | undefined
  stop: boolean
}

/** @internal */
export interface Task {
  /** The object's own id: for a fork or template of the current server, its ancestor's. */
  readonly ownId: string
  status: Status
  /** Shared by all forks of a task on the current server. */
  readonly buffer: Array<Uint8Array>
  parameters: Parameters
  session: Session.Session
  /** False = no model handle: nothing can be decoded or read. */
  readonly handle: boolean
  prefillTime: number
  /** Times restored from storage are the integer 0 instead of a float. */
  integerTimes: boolean
  start: number
  finish: number
  slot: Slot | undefined
  hub: Hub | undefined
  /** The last token of the prompt cannot be looked up: the first pulse with it breaks the scheduler. */
  poison: boolean
}

/** @internal */
export const copy = (
  self: Task,
  changes: { readonly ownId?: string; readonly buffer?: Array<Uint8Array>; readonly handle?: boolean }
): Task => ({
  ownId: changes.ownId ?? self.ownId,
  status: self.status,
  buffer: changes.buffer ?? self.buffer,
  parameters: self.parameters,
  session: self.session,
  handle: changes.handle ?? self.handle,
  prefillTime: 0,
  integerTimes: true,
  start: 0,
  finish: 0,
  slot: undefined,
  hub: undefined,
  poison: self.poison
})

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lossy = new TextDecoder("utf-8", { ignoreBOM: true })

/** @internal */
export const join = (tokens: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(tokens.reduce((size, token) => size + token.length, 0))
  let at = 0
  for (const token of tokens) {
    bytes.set(token, at)
    at += token.length
  }
  return bytes
}

/**
 * The server's decoding: one bad byte anywhere turns the whole text into a single U+FFFD.
 *
 * @internal
 */
export const decode = (tokens: ReadonlyArray<Uint8Array>): string =>
  Either.getOrElse(Either.try(() => strict.decode(join(tokens))), () => "\ufffd")

/** @internal */
export const decodeLossy = (tokens: ReadonlyArray<Uint8Array>): string => lossy.decode(join(tokens))

/** Bytes at the end that begin a character without finishing it. */
const openTail = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
    if (byte < 0x80) return 0
  }
  return 0
}

/**
 * Decoding as documented: an unfinished character at the end is held back.
 *
 * @internal
 */
export const decodeWhole = (bytes: Uint8Array): { readonly text: string; readonly rest: Uint8Array } => {
  const end = bytes.length - openTail(bytes)
  return { text: lossy.decode(bytes.subarray(0, end)), rest: bytes.slice(end) }
}
