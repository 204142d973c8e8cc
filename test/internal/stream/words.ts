/** The words of a stream's state machine, as its tests say them. */
import { Duration } from "effect"
import { Protocol, RWKVError } from "effect-rwkv"
import * as Machine from "../../../src/internal/stream/machine.js"
import type { Command, Signal, State, Step, Subject } from "../../../src/internal/stream/signals.js"
import { type Frame, undecodable } from "../../../src/internal/wire/sse.js"

export const taskId = Protocol.TaskId.make("TASK_1")

export const about = { operation: "Test.stream", taskId }

export const subject: Subject = {
  ...about,
  fromToken: 0,
  stallTimeout: Duration.minutes(10),
  queueTimeout: Duration.hours(1),
  counts: false
}

export const head: Frame = { _tag: "Head", taskId, prefillTime: 0.5 }
export const data = (text: string): Frame => ({ _tag: "Data", text })
export const done: Frame = { _tag: "Done" }
/** What a frame is that the server could not decode (H10). */
export const gap = data(undecodable)
export const unreadable: Frame = { _tag: "Unreadable", description: "no JSON" }

export const frames = (...all: ReadonlyArray<Frame>): Signal => ({ _tag: "Frames", frames: all })
export const ended: Signal = { _tag: "Ended" }
export const broken = (error: RWKVError.TaskFailure): Signal => ({ _tag: "Broken", error })
export const connected: Signal = { _tag: "Connected" }
export const idle = (silent = true, late = false, overdue = false): Signal => ({ _tag: "Idle", silent, late, overdue })
export const status = (status: Protocol.TaskStatus, generatedTokens: number): Signal => ({
  _tag: "Status",
  info: { taskId, status, generatedTokens }
})
export const unasked = (error: RWKVError.TaskFailure, unread = false): Signal => ({ _tag: "Unasked", error, unread })
export const unread = (error: RWKVError.TaskFailure): Signal => ({ _tag: "Unread", error })
export const unanswered = (unread: boolean): Signal => ({ _tag: "Unanswered", unread })
export const tail = (text: string | undefined): Signal => ({ _tag: "Tail", text })
export const closing: Signal = { _tag: "Closing" }

export const resultOf = (text: string, more: Partial<Protocol.TaskResult> = {}): Protocol.TaskResult => ({
  taskId,
  text,
  finished: true,
  speed: 0,
  prefillTime: Duration.seconds(0.25),
  generationTime: Duration.seconds(1),
  undecodedTail: false,
  usage: { outputTokens: undefined },
  finishReason: "unknown",
  tokensPerSecond: undefined,
  ...more
})

export const result = (text: string, more: Partial<Protocol.TaskResult> = {}): Signal => ({
  _tag: "Result",
  result: resultOf(text, more)
})

/** What is known of a run that is over. */
export const concluded = (
  result: Protocol.TaskResult | undefined,
  tokens: number | undefined = undefined,
  stopped = false
): Signal => ({ _tag: "Concluded", result, tokens, stopped, requestId: undefined })

/** What the server says of a text that ends inside a character (H11). */
export const undecoded = result("", { undecodedTail: true })

export const reset = new RWKVError.RWKVConnectionError({
  ...about,
  description: "reset",
  requestSent: true,
  retryable: true
})

export const gone = new RWKVError.TaskNotFoundError(about)

export const slow = new RWKVError.RWKVTimeoutError({ ...about, kind: "request", limit: Duration.minutes(2) })

export const beginning = Machine.initial(false, false)

/** A direct run, whose own connection is the best witness of its text. */
export const direct = Machine.initial(true, false)

/** The last step of a machine that hears these signals one after the other. */
export const hear = (about: Subject, state: State, first: Signal, ...more: ReadonlyArray<Signal>): Step =>
  more.reduce((step, signal) => Machine.step(about)(step.state, signal), Machine.step(about)(state, first))

/** A state in which `text` was delivered by an open connection. */
export const after = (text: string, state: State = beginning): State =>
  hear(subject, state, frames(head, data(text))).state

export const textOf = ({ told }: Step): string => told.map((told) => told._tag === "Text" ? told.text : "").join("")

export const toldBy = ({ told }: Step): ReadonlyArray<string> => told.map(({ _tag }) => _tag)

/** A command as one line: what a failure is, and what it says. */
export const say = (command: Command): string => {
  switch (command._tag) {
    case "Fail":
      return `Fail ${command.error._tag}`
    case "Retry":
      return command.error === command.otherwise
        ? `Retry ${command.error._tag}`
        : `Retry ${command.error._tag}, then ${command.otherwise._tag}`
    case "ReadTail":
      return `ReadTail ${command.whole}`
    case "Conclude":
      return command.result === undefined ? "Conclude a run that is stopped" : "Conclude"
    default:
      return command._tag
  }
}
