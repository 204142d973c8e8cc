/**
 * The words of a stream's state machine: what it knows, what it hears, what it tells and what it asks for.
 */
import type * as Duration from "effect/Duration"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import type { StreamTruncatedError, TaskFailure } from "../../RWKVError.js"
import type { Frame } from "../wire/sse.js"

export type FollowFailure = TaskFailure | StreamTruncatedError

export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  readonly fromToken: number
  readonly stallTimeout: Duration.Duration
  /** Whether a task that waits for its turn is waited for without a limit; a server that does not answer is not. */
  readonly patient: boolean
}

export interface State {
  /** What the consumer has of the text. */
  readonly delivered: string
  readonly started: boolean
  /** Whether any connection has told anything. */
  readonly heard: boolean
  /** UTF-16 units of `delivered` that this connection has told, or repeated. */
  readonly offset: number
  /** Whether the frames of this connection still add up to the text. */
  readonly aligned: boolean
  /** Whether the text is this connection's alone, and not what the server's buffer says (H15). */
  readonly witnessed: boolean
  /** Frames after a gap that are let pass before the next connection; more each time that one found nothing new. */
  readonly letPass: number
  readonly passed: number
  /** Tokens at the last question; -1 before the first. */
  readonly tokens: number
  /** The silence that the open question is about. */
  readonly question: { readonly silent: boolean; readonly late: boolean }
  /** The result whose tail is being read. */
  readonly result: TaskResult | undefined
  /** Whether no other run of this program has written to the server's buffer since this one began (H15). */
  readonly alone: boolean
}

export type Signal =
  | { readonly _tag: "Frames"; readonly frames: ReadonlyArray<Frame> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Broken"; readonly error: TaskFailure }
  /** No new text for the idle timeout. `silent`: nor a repeated one. `late`: no progress for the stall timeout. */
  | { readonly _tag: "Idle"; readonly silent: boolean; readonly late: boolean }
  | { readonly _tag: "Closing" }
  | { readonly _tag: "Connected" }
  | { readonly _tag: "Result"; readonly result: TaskResult }
  | { readonly _tag: "Tail"; readonly text: string | undefined }
  | { readonly _tag: "Status"; readonly info: TaskInfo }
  /** A question failed: for the result or its tail, or for the status. */
  | { readonly _tag: "Unread"; readonly error: TaskFailure }
  | { readonly _tag: "Unasked"; readonly error: TaskFailure }
  /**
   * No answer within what is left of the stall timeout, a second at least. `unread`: but signals that came meanwhile.
   */
  | { readonly _tag: "Unanswered"; readonly unread: boolean }

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
  | { readonly _tag: "AskStatus" }
  | { readonly _tag: "Fail"; readonly error: FollowFailure }
  | { readonly _tag: "End" }

export interface Step {
  readonly state: State
  readonly told: ReadonlyArray<Told>
  readonly command: Command
  /** What the watchdog hears: text that was known, or progress of text or task. */
  readonly life: "none" | "repeated" | "progress"
}
