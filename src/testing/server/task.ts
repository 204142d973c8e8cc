/**
 * Tasks as the server holds them in memory.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Sampling } from "../model/model.js"
import type { EndedBy } from "../model/script.js"
import type * as Session from "../model/session.js"

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
type Signal =
  | { readonly _tag: "Tokens"; readonly tokens: ReadonlyArray<Uint8Array>; readonly at: number }
  | { readonly _tag: "End" }

/**
 * The callbacks of one POST stream. Signals that come before the stream has registered are lost (H1).
 *
 * @internal
 */
export interface Hub {
  registered: boolean
  readonly signals: Array<Signal>
  readonly wake: Effect.Latch
}

/** @internal */
export const notify = (hub: Hub | undefined, signal: Signal): void => {
  if (hub === undefined || !hub.registered) return
  hub.signals.push(signal)
  hub.wake.unsafeOpen()
}

/**
 * One run of a task in the batch.
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
  /** Opened at every change of the buffer or the status; shared by those who share the buffer. */
  readonly watchers: Set<Effect.Latch>
  parameters: Parameters
  session: Session.Session
  /** False = no model handle: nothing can be decoded or read. */
  readonly handle: boolean
  prefillTime: number
  /** Times restored from storage are the integer 0 instead of a float. */
  integerTimes: boolean
  start: number
  finish: number
  /** Why the last run ended; undefined before, and for tasks restored from the database. */
  endedBy: EndedBy | undefined
  /** The slot that the last run began in. A stop is written there, whoever is in it by then (H29). */
  place: number | undefined
  hub: Hub | undefined
  /**
   * The last token of the prompt cannot be looked up, and the first pulse with it breaks the scheduler; or it cannot
   * even be put into a slot, and the task never runs.
   */
  poison: "server" | "task" | undefined
}

/** @internal */
export const copy = (
  self: Task,
  changes: { readonly ownId?: string; readonly buffer?: Array<Uint8Array>; readonly handle?: boolean }
): Task => ({
  ownId: changes.ownId ?? self.ownId,
  status: self.status,
  buffer: changes.buffer ?? self.buffer,
  watchers: changes.buffer === undefined ? self.watchers : new Set(),
  parameters: self.parameters,
  session: self.session,
  handle: changes.handle ?? self.handle,
  prefillTime: 0,
  integerTimes: true,
  start: 0,
  finish: 0,
  endedBy: self.endedBy,
  place: undefined,
  hub: undefined,
  poison: self.poison
})

/**
 * Tells the watchers that the buffer or the status has changed.
 *
 * @internal
 */
export const touch = (task: Task): void => {
  for (const watcher of task.watchers) watcher.unsafeOpen()
}
