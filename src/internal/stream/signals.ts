/**
 * The types of a stream's state machine: its state, the signals it gets, what it tells, and its commands.
 */
import type * as Duration from "effect/Duration"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import type { RWKVError, StreamTruncatedError, TaskFailure } from "../../RWKVError.js"
import type { Frame } from "../wire/sse.js"
import type { Matcher, Place } from "./stops.js"
import type { Count } from "./tokens.js"

export type FollowFailure = TaskFailure | StreamTruncatedError

export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  readonly fromToken: number
  /** How long a task may run and not move, and how long it may wait for its turn. */
  readonly stallTimeout: Duration.Duration
  readonly queueTimeout: Duration.Duration
  /** The most tokens of the run and the time of its prefill, where they are known. */
  readonly maxTokens?: number | undefined
  readonly prefillTime?: Duration.Duration | undefined
  readonly stops?: Matcher | undefined
  /** Whether the caller gets a result, whose tokens are counted. */
  readonly counts: boolean
}

export interface Silence {
  /** Asked before any silence, of a run that may have ended without a token (H4). */
  readonly early?: boolean
  /** No text for the idle timeout, not even known text. */
  readonly silent: boolean
  /** No new text or tokens for the stall timeout, and no status that the task waits for its turn. */
  readonly late: boolean
  /** No new text or tokens for the queue timeout. */
  readonly overdue: boolean
}

export interface State {
  /** All text that is known. */
  readonly delivered: string
  /** UTF-16 units of it that the consumer was told: all but what is held back, or follows a stop sequence. */
  readonly told: number
  /** Where the text is in the stop sequences, and the one that has ended it. */
  readonly place: Place | undefined
  readonly sequence: string | undefined
  readonly started: boolean
  /** Whether a frame has come. */
  readonly heard: boolean
  /** UTF-16 units of `delivered` that came on this connection, for the first time or again. */
  readonly offset: number
  /** Whether the frames of this connection still add up to the text. */
  readonly aligned: boolean
  /** Whether this connection is the run's own `POST` stream: its text is not what the server's buffer says (H15). */
  readonly witnessed: boolean
  /** The tokens of a witnessed connection. */
  readonly count: Count
  /** Whether new text came on this connection. */
  readonly grown: boolean
  /** Whether its end mark came, without a gap and after all that was delivered. */
  readonly marked: boolean
  /** Whether the server has said that the task has ended, and nothing else since. */
  readonly ended: boolean
  /** Frames after a gap that are let pass before the next connection; more each time that one found nothing new. */
  readonly letPass: number
  readonly passed: number
  /** Tokens at the last question; -1 before the first. */
  readonly tokens: number
  /** The silence that the open question is about: when it began, or when the connection was cut. */
  readonly question: Silence
  /** What follows the cut that the open question is about: with an answer, and without. */
  readonly cut: { readonly answered: Command; readonly otherwise: Command } | undefined
  /** The result whose tail is being read. */
  readonly result: TaskResult | undefined
  /** Whether no other run of this program has written to the server's buffer since this one began (H15). */
  readonly alone: boolean
}

export type Signal =
  | { readonly _tag: "Frames"; readonly frames: ReadonlyArray<Frame> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Broken"; readonly error: TaskFailure }
  /** No new text for the idle timeout. */
  | { readonly _tag: "Idle" } & Silence
  | { readonly _tag: "Closing" }
  | { readonly _tag: "Connected" }
  | { readonly _tag: "Result"; readonly result: TaskResult }
  | { readonly _tag: "Tail"; readonly text: string | undefined }
  | { readonly _tag: "Status"; readonly info: TaskInfo }
  /** No result or tail (`Unread`), or no status (`Unasked`) could be read. `unread`: signals came meanwhile. */
  | { readonly _tag: "Unread"; readonly error: TaskFailure }
  | { readonly _tag: "Unasked"; readonly error: TaskFailure; readonly unread: boolean }
  /**
   * No answer within the rest of the stall timeout (at least a second), or within 5 seconds after a cut. `error`: the
   * failure that was being repeated.
   */
  | { readonly _tag: "Unanswered"; readonly unread: boolean; readonly error?: RWKVError | undefined }
  /** The run is over: what the server said of it then, as far as it did, and whether this program has stopped it. */
  | { readonly _tag: "Concluded" } & Concluded

export interface Concluded {
  readonly result: TaskResult | undefined
  readonly tokens: number | undefined
  readonly stopped: boolean
  /** What a proxy named the request that started the run, if this program sent it. */
  readonly requestId: string | undefined
}

export type Told =
  | { readonly _tag: "Started"; readonly prefillTime: Duration.Duration }
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Finished"; readonly result: TaskResult }

export type Command =
  | { readonly _tag: "Listen" }
  | { readonly _tag: "Reconnect" }
  /** Reconnect when the retry schedule says so; fail with `otherwise` where it has ended. */
  | { readonly _tag: "Retry"; readonly error: FollowFailure; readonly otherwise: FollowFailure }
  | { readonly _tag: "ReadResult" }
  | { readonly _tag: "ReadTail"; readonly whole: string }
  /** `again`: with retries, as after a silence; once and for a few seconds after a cut, or early. */
  | { readonly _tag: "AskStatus"; readonly again: boolean }
  /** Without a result: the text has ended before the run, which is stopped. */
  | { readonly _tag: "Conclude"; readonly result: TaskResult | undefined }
  | { readonly _tag: "Fail"; readonly error: FollowFailure }
  | { readonly _tag: "End" }

export interface Step {
  readonly state: State
  readonly told: ReadonlyArray<Told>
  readonly command: Command
  /** What the watchdog is told: known text, the task waits for its turn, or new text or tokens. */
  readonly life: "none" | "repeated" | "queued" | "progress"
}
