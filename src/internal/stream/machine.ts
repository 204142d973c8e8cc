/**
 * The heart of a stream: a task's text, complete and exactly once, over connections that may lose, repeat or never end.
 *
 * What was delivered is a prefix of the task's text. Each connection reads the text from its start, and what is known
 * already is dropped from it. A frame that the server could not decode (H10), one that was damaged, a cut, an end
 * without its mark (H9) and silence (H1, H8) all lead to another connection or to `get_result`, which also closes the
 * gap of H31 at the end.
 *
 * Pure: a state and a signal give the next state, what to deliver, and one command. `follow` carries the commands out;
 * the table is in docs/architecture.md.
 */
import * as Duration from "effect/Duration"
import { unknownUsage } from "../../Finish.js"
import type { TaskInfo, TaskResult } from "../../Protocol.js"
import { type RWKVError, RWKVTimeoutError, type TaskFailure } from "../../RWKVError.js"
import { about, bare } from "../input/failure.js"
import { clientClosed } from "../wire/closed.js"
import { onFrames } from "./reading.js"
import { outcome } from "./outcome.js"
import type { Command, Concluded, Signal, Silence, State, Step, Subject } from "./signals.js"
import {
  begin,
  conclude,
  cutBy,
  deliver,
  end,
  fail,
  finish,
  go,
  goOn,
  guarded,
  listen,
  missing,
  readResult,
  reconnect,
  retry,
  rewritten,
  truncated
} from "./step.js"
import * as Tokens from "./tokens.js"

const noSilence: Silence = { silent: false, late: false, overdue: false }

/**
 * @param direct whether the first connection is the answer to the request itself
 * @param started whether the consumer is told of the task already
 */
export const initial = (direct: boolean, started: boolean): State => ({
  delivered: "",
  told: 0,
  place: undefined,
  sequence: undefined,
  started,
  heard: false,
  offset: 0,
  aligned: true,
  witnessed: direct,
  count: Tokens.none,
  grown: false,
  marked: false,
  ended: false,
  letPass: 0,
  passed: 0,
  tokens: -1,
  question: noSilence,
  cut: undefined,
  result: undefined,
  alone: true
})

/** The part of the state that begins anew with each connection. */
const anew = { offset: 0, passed: 0, aligned: true, witnessed: false, grown: false, marked: false }

const stalled = (subject: Subject, cause?: RWKVError) =>
  fail(
    new RWKVTimeoutError({ ...about(subject), kind: "stalled", limit: subject.stallTimeout, ...(cause && { cause }) })
  )

const queuedTooLong = (subject: Subject) =>
  fail(new RWKVTimeoutError({ ...about(subject), kind: "queue", limit: subject.queueTimeout }))

const complete = (subject: Subject, state: State, result: TaskResult, text: string): Step => {
  if (!text.startsWith(state.delivered)) return go(state, rewritten(subject, state))
  const known = state.delivered.length
  const rest = goOn(
    begin({ ...state, offset: known }, result.prefillTime),
    (state) => deliver(subject, state, text.slice(known))
  )
  return rest.command._tag === "Conclude"
    ? { ...rest, command: conclude(result) }
    : goOn(rest, (state) => finish(subject, state, result))
}

const onResult = (subject: Subject, state: State, result: TaskResult): Step => {
  if (!result.finished) {
    const command = retry(truncated(subject, state, "the stream ended, the task did not"))
    return go({ ...state, ended: false }, guarded(subject, state, command))
  }
  // Where other runs wrote to the buffer, only an own connection without a gap knows this run's text (H15).
  const isOwnText = state.witnessed && state.aligned
  if (!state.alone && !isOwnText) return go(state, guarded(subject, state, listen))
  if (!state.alone || result.undecodedTail) {
    if (isOwnText && Tokens.judge(state.count, subject.maxTokens) === "short") return go(state, missing(subject, state))
    return complete(subject, state, { ...result, text: state.delivered, undecodedTail: !isOwnText }, state.delivered)
  }
  return subject.fromToken > 0
    ? go({ ...state, result }, { _tag: "ReadTail", whole: result.text })
    : complete(subject, state, result, result.text)
}

/** A result made of the frames alone, where the server's cannot be read. */
const resultOf = (
  { prefillTime = Duration.zero, taskId }: Subject,
  { count, delivered, told }: State,
  maxTokens = 0
): TaskResult => ({
  taskId,
  text: delivered.slice(0, told),
  finished: true,
  speed: count.seconds > 0 ? maxTokens / count.seconds : 0,
  prefillTime,
  generationTime: Duration.seconds(count.seconds),
  undecodedTail: false,
  usage: unknownUsage,
  finishReason: "unknown",
  tokensPerSecond: undefined
})

/** The text is what was told, without what the server has beyond a stop sequence. */
const onConcluded = (subject: Subject, state: State, { requestId, result, stopped, tokens }: Concluded): Step => {
  const { sequence } = state
  const text = resultOf(subject, state)
  const final = sequence === undefined
    ? result ?? text
    : { ...text, generationTime: Duration.zero, ...result, text: text.text, finished: true, undecodedTail: false }
  const known = { tokens, stopped, sequence, maxTokens: subject.maxTokens, requestId }
  return go(state, end, [{ _tag: "Finished", result: outcome(final, known) }])
}

/** A server that shuts down sends the end marks of its streams and answers nothing after that (F99). */
const onUnread = (subject: Subject, state: State, error: TaskFailure): Step => {
  const { maxTokens } = subject
  if (!state.marked) return go(state, fail(cutBy(subject, state, error)))
  const frames = state.witnessed ? Tokens.judge(state.count, maxTokens) : "unknown"
  if (frames === "short") return go(state, missing(subject, state))
  if (frames === "whole" && maxTokens !== undefined) {
    return complete(subject, state, { ...resultOf(subject, state, maxTokens), text: state.delivered }, state.delivered)
  }
  // A deleted task has an end mark too, and a 404: the end is unconfirmed only if the server cannot be asked.
  const unconfirmed = truncated(subject, state, bare(error), { cause: error, unconfirmed: true })
  return go(state, fail(error.isTransient ? unconfirmed : cutBy(subject, state, error)))
}

const onStatus = (subject: Subject, state: State, { generatedTokens, status }: TaskInfo): Step => {
  const { cut, question: { early = false, late, overdue, silent } } = state
  const first = state.tokens === -1
  const moved = first ? generatedTokens > 0 : generatedTokens !== state.tokens
  const asked = { ...state, tokens: generatedTokens, cut: undefined }
  // It has tokens, whose frames are still to come.
  if (status === "Finished" && early && generatedTokens > 0) return go(asked)
  if (status === "Finished") return go({ ...asked, witnessed: false, ended: true }, readResult, [], "progress")
  if (status === "Prefill" || status === "Ready") {
    return overdue ? go(asked, queuedTooLong(subject)) : go(asked, cut?.answered ?? listen, [], "queued")
  }
  const life = moved ? "progress" : "none"
  const isStalled = late && !moved
  if (cut !== undefined) return go(asked, isStalled ? stalled(subject) : cut.answered, [], life)
  // The task generates, but not into this connection: open another. Forks count each other's tokens, so not for them.
  const deaf = moved && silent && state.alone && (!first || state.offset === 0)
  return go(asked, deaf ? reconnect : isStalled ? stalled(subject) : listen, [], life)
}

/** Without a status: what the cut asked for, or listening on after an early question, or `hopeless`. */
const onNoStatus = (state: State, hopeless: Command | undefined): Step =>
  go({ ...state, cut: undefined }, state.cut?.otherwise ?? (state.question.early ? listen : hopeless ?? listen))

const onUnasked = (subject: Subject, state: State, error: TaskFailure, unread: boolean): Step => {
  // A 404 alone is not hopeless: an evicted task still generates into this connection (H35).
  const hopeless = state.question.late || !unread && error._tag !== "TaskNotFoundError"
  return onNoStatus(state, hopeless ? fail(cutBy(subject, state, error)) : undefined)
}

/**
 * A connection without new text may have been cut for its silence, which is no failure unless the task is stalled
 * (F91).
 */
const onCut = (subject: Subject, state: State, again: Command, otherwise = again): Step => {
  const answered = guarded(subject, state, again)
  return state.grown || answered._tag === "Fail"
    ? go(state, answered._tag === "Fail" ? answered : otherwise)
    : go({ ...state, cut: { answered, otherwise } }, { _tag: "AskStatus", again: false })
}

const onBroken = (subject: Subject, state: State, error: TaskFailure): Step => {
  const otherwise = cutBy(subject, state, error)
  if (!error.isTransient) return go(state, fail(otherwise))
  // After a whole request timeout without a frame, only a task that the server knows is worth a retry.
  const hopeless = !state.heard && error._tag === "RWKVTimeoutError"
  return onCut(subject, state, retry(error, otherwise), hopeless ? fail(otherwise) : undefined)
}

export const step = (subject: Subject) => (state: State, signal: Signal): Step => {
  switch (signal._tag) {
    case "Frames": {
      const command = state.witnessed ? listen : guarded(subject, state, listen)
      return command._tag === "Listen" ? onFrames(subject, state, signal.frames) : go(state, command)
    }
    case "Ended":
      return onCut(subject, state, retry(truncated(subject, state, "the stream ended without its end mark")))
    case "Broken":
      return onBroken(subject, state, signal.error)
    case "Idle":
      return go({ ...state, question: signal }, { _tag: "AskStatus", again: signal.early !== true })
    case "Closing":
      return go(state, fail(clientClosed(subject.operation, subject.taskId)))
    case "Connected":
      return go({ ...state, ...anew }, guarded(subject, state, listen))
    case "Result":
      return onResult(subject, state, signal.result)
    case "Tail":
      return state.result === undefined
        ? go(state)
        : complete(subject, state, state.result, signal.text ?? state.delivered)
    case "Status":
      return onStatus(subject, state, signal.info)
    case "Unread":
      return onUnread(subject, state, signal.error)
    case "Unasked":
      return onUnasked(subject, state, signal.error, signal.unread)
    case "Concluded":
      return onConcluded(subject, state, signal)
    case "Unanswered":
      return onNoStatus(state, state.question.late || !signal.unread ? stalled(subject, signal.error) : undefined)
  }
}
