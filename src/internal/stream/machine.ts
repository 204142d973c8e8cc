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
import type { TaskInfo, TaskResult } from "../../Protocol.js"
import {
  RWKVDecodeError,
  RWKVServerError,
  RWKVTimeoutError,
  StreamTruncatedError,
  type TaskFailure
} from "../../RWKVError.js"
import { bare } from "../input/failure.js"
import { clientClosed } from "../wire/closed.js"
import { type Frame, undecodable } from "../wire/sse.js"
import type { Command, FollowFailure, Signal, Silence, State, Step, Subject, Told } from "./signals.js"
import * as Tokens from "./tokens.js"

/** UTF-16 units of a text that cannot be: the server's longest run, 40,960 tokens, is far below. */
const longest = 64 * 1024 * 1024

const listen: Command = { _tag: "Listen" }
const readResult: Command = { _tag: "ReadResult" }
const reconnect: Command = { _tag: "Reconnect" }
const fail = (error: FollowFailure): Command => ({ _tag: "Fail", error })
const noSilence: Silence = { silent: false, late: false, overdue: false }

/**
 * @param direct whether the first connection is the answer to the request itself
 * @param started whether the consumer is told of the task already
 */
export const initial = (direct: boolean, started: boolean): State => ({
  delivered: "",
  started,
  heard: false,
  offset: 0,
  aligned: true,
  witnessed: direct,
  count: Tokens.none,
  grown: false,
  marked: false,
  letPass: 0,
  passed: 0,
  tokens: -1,
  question: noSilence,
  cut: undefined,
  result: undefined,
  alone: true
})

/** What is known of a connection at its beginning. */
const anew = { offset: 0, passed: 0, aligned: true, witnessed: false, grown: false, marked: false }

const about = ({ operation, taskId }: Subject) => ({ operation, taskId })

const go = (
  state: State,
  command: Command = listen,
  told: ReadonlyArray<Told> = [],
  life: Step["life"] = "none"
): Step => ({ state, told, command, life })

const undecoded = (subject: Subject, description: string) => new RWKVDecodeError({ ...about(subject), description })

const truncated = (
  subject: Subject,
  { delivered }: State,
  description: string,
  more: { readonly cause?: FollowFailure; readonly unconfirmed?: boolean } = {}
) => new StreamTruncatedError({ ...about(subject), text: delivered, description, ...more })

/** A failure before anything was heard is told as it is; later it is what cut the text short. */
const cutBy = (subject: Subject, state: State, error: TaskFailure) =>
  state.heard ? truncated(subject, state, bare(error), { cause: error }) : error

const retry = (error: FollowFailure, otherwise = error): Command => ({ _tag: "Retry", error, otherwise })

const missing = (subject: Subject, state: State) =>
  fail(truncated(subject, state, "frames are missing: there are fewer tokens than were asked for"))

const rewritten = (subject: Subject, state: State) =>
  fail(truncated(subject, state, "the task's text no longer continues what was delivered"))

/** All but a run's own connection read what the buffer says: its text only if no other run wrote there (H15). */
const readAnew = (subject: Subject, state: State, command: Command): Command =>
  state.alone || command._tag === "Fail"
    ? command
    : fail(
      truncated(subject, state, "forks that ran at the same time share the buffer that the rest would be read from")
    )

const stalled = (subject: Subject) =>
  fail(new RWKVTimeoutError({ ...about(subject), kind: "stalled", limit: subject.stallTimeout }))

const queuedTooLong = (subject: Subject) =>
  fail(new RWKVTimeoutError({ ...about(subject), kind: "queue", limit: subject.queueTimeout }))

const begin = (state: State, prefillTime: Duration.Duration): Step =>
  state.started ? go(state) : go({ ...state, started: true }, listen, [{ _tag: "Started", prefillTime }])

/** Text that continues what was delivered. */
const deliver = (subject: Subject, state: State, text: string): Step => {
  if (text === "") return go(state)
  if (state.delivered.length + text.length > longest) {
    return go(state, fail(undecoded(subject, "more text than a run can have")))
  }
  const delivered = state.delivered + text
  const longer = { ...state, delivered, offset: state.offset + text.length, letPass: 0, grown: true }
  return then(begin(longer, Duration.zero), (state) => go(state, listen, [{ _tag: "Text", text }], "progress"))
}

/** Goes on from a step that only listens. */
const then = (step: Step, next: (state: State) => Step): Step => {
  if (step.command._tag !== "Listen") return step
  const { command, life, state, told } = next(step.state)
  return go(state, command, [...step.told, ...told], life === "none" || step.life === "progress" ? step.life : life)
}

type Text = Extract<Frame, { readonly _tag: "Data" }>

/** After a gap a frame only tells that there is more: what it continues is unknown (H12). */
const onMisread = (subject: Subject, state: State): Step => {
  if (state.aligned) return go({ ...state, aligned: false })
  if (state.passed < state.letPass) return go({ ...state, passed: state.passed + 1 })
  const later = { ...state, letPass: Math.min(2 * state.letPass + 1, 63) }
  return go(later, readAnew(subject, later, reconnect))
}

const onFrame = (subject: Subject, state: State, frame: Exclude<Frame, { readonly _tag: "Data" }>): Step => {
  switch (frame._tag) {
    case "Head":
      return begin(state, Duration.seconds(frame.prefillTime))
    case "Done":
      return go({ ...state, marked: state.aligned && state.offset === state.delivered.length }, readResult)
    case "Unreadable":
      return go(state, readAnew(subject, state, retry(undecoded(subject, frame.description))))
    case "Failed":
      return go(state, fail(new RWKVServerError({ ...about(subject), status: 500, description: frame.description })))
    case "TooLarge":
      return go(state, fail(undecoded(subject, "a frame larger than the limit")))
  }
}

/** The new part of frames of text, all at once; nothing if they contradict what was delivered. */
const continued = (state: State, texts: ReadonlyArray<string>): readonly [State, string] | undefined => {
  const text = texts.length === 1 ? texts[0] ?? "" : texts.join("")
  const known = state.delivered.length - state.offset
  if (known === 0) return [state, text]
  if (!state.delivered.startsWith(text.slice(0, known), state.offset)) return undefined
  return [{ ...state, offset: state.offset + Math.min(known, text.length) }, text.slice(known)]
}

const onTexts = (subject: Subject, before: State, frames: ReadonlyArray<Text>): Step => {
  const state = before.witnessed ? { ...before, count: frames.reduce(Tokens.add, before.count) } : before
  const texts = frames.map(({ text }) => text)
  const [known, fresh] = continued(state, texts) ?? []
  const step = known === undefined ? go(state, rewritten(subject, state)) : deliver(subject, known, fresh ?? "")
  const repeated = step.life === "none" && texts.some((text) => text !== "")
  return repeated ? { ...step, life: "repeated" } : step
}

/** Frames in one go, up to the first that asks for a command. */
const onFrames = (subject: Subject, before: State, frames: ReadonlyArray<Frame>): Step => {
  let step = go(before.heard || frames.length === 0 ? before : { ...before, heard: true })
  let texts: Array<Text> = []
  const settle = (next: (state: State) => Step) => {
    const together = texts
    texts = []
    if (together.length > 0) step = then(step, (state) => onTexts(subject, state, together))
    step = then(step, next)
  }
  for (const frame of frames) {
    if (frame._tag !== "Data") settle((state) => onFrame(subject, state, frame))
    else if (step.state.aligned && frame.text !== undecodable) texts.push(frame)
    else settle((state) => ({ ...onMisread(subject, state), life: "repeated" }))
    if (step.command._tag !== "Listen") return step
  }
  settle(go)
  return step
}

const complete = (subject: Subject, state: State, result: TaskResult, text: string): Step => {
  if (!text.startsWith(state.delivered)) return go(state, rewritten(subject, state))
  const known = state.delivered.length
  const rest = then(
    begin({ ...state, offset: known }, result.prefillTime),
    (state) => deliver(subject, state, text.slice(known))
  )
  return then(rest, (state) => go(state, { _tag: "End" }, [{ _tag: "Finished", result }]))
}

const onResult = (subject: Subject, state: State, result: TaskResult): Step => {
  if (!result.finished) {
    const command = retry(truncated(subject, state, "the stream ended, the task did not"))
    return go(state, readAnew(subject, state, command))
  }
  // Where other runs wrote to the buffer, only an own connection without a gap knows this run's text (H15).
  const told = state.witnessed && state.aligned
  if (!state.alone && !told) return go(state, readAnew(subject, state, listen))
  if (!state.alone || result.undecodedTail) {
    if (told && Tokens.judge(state.count, subject.maxTokens) === "short") return go(state, missing(subject, state))
    return complete(subject, state, { ...result, text: state.delivered, undecodedTail: !told }, state.delivered)
  }
  return subject.fromToken > 0
    ? go({ ...state, result }, { _tag: "ReadTail", whole: result.text })
    : complete(subject, state, result, result.text)
}

/** What the frames tell of a run whose result cannot be read. */
const resultOf = (subject: Subject, { count, delivered }: State, maxTokens: number): TaskResult => ({
  taskId: subject.taskId,
  text: delivered,
  finished: true,
  speed: count.seconds > 0 ? maxTokens / count.seconds : 0,
  prefillTime: subject.prefillTime ?? Duration.zero,
  generationTime: Duration.seconds(count.seconds),
  undecodedTail: false
})

/** A server that ends in good order lets its streams end and answers nothing after that (F99). */
const onUnread = (subject: Subject, state: State, error: TaskFailure): Step => {
  const { maxTokens } = subject
  if (!state.marked) return go(state, fail(cutBy(subject, state, error)))
  const frames = state.witnessed ? Tokens.judge(state.count, maxTokens) : "unknown"
  if (frames === "short") return go(state, missing(subject, state))
  if (frames === "whole" && maxTokens !== undefined) {
    return complete(subject, state, resultOf(subject, state, maxTokens), state.delivered)
  }
  // A task that was deleted has an end as well: only a server that cannot be asked leaves the end open.
  const open = truncated(subject, state, error.message, { cause: error, unconfirmed: true })
  return go(state, fail(error.isTransient ? open : cutBy(subject, state, error)))
}

const onStatus = (subject: Subject, state: State, { generatedTokens, status }: TaskInfo): Step => {
  const { cut, question: { late, overdue, silent } } = state
  const first = state.tokens === -1
  const moved = first ? generatedTokens > 0 : generatedTokens !== state.tokens
  const asked = { ...state, tokens: generatedTokens, cut: undefined }
  if (status === "Finished") return go({ ...asked, witnessed: false }, readResult, [], "progress")
  if (status === "Prefill" || status === "Ready") {
    return overdue ? go(asked, queuedTooLong(subject)) : go(asked, cut?.alive ?? listen, [], "queued")
  }
  const life = moved ? "progress" : "none"
  if (cut !== undefined) return go(asked, moved ? cut.alive : cut.still, [], life)
  // The task generates and this connection tells nothing: another one will. Forks count each other's tokens (H15).
  const deaf = moved && silent && state.alone && (!first || state.offset === 0)
  return go(asked, deaf ? reconnect : late && !moved ? stalled(subject) : listen, [], life)
}

/** The status is not known. */
const onNoStatus = (state: State, hopeless: Command | undefined): Step =>
  go({ ...state, cut: undefined }, state.cut?.still ?? hopeless ?? listen)

const onUnasked = (subject: Subject, state: State, error: TaskFailure, unread: boolean): Step => {
  // An evicted task is not found, and still generates into this connection (H35).
  const hopeless = state.question.late || !unread && error._tag !== "TaskNotFoundError"
  return onNoStatus(state, hopeless ? fail(cutBy(subject, state, error)) : undefined)
}

/**
 * A connection that told nothing new may have been cut for its silence: if the task is queued or moves, that is no
 * failure (F91).
 */
const onCut = (subject: Subject, state: State, again: Command, still = again): Step => {
  const alive = readAnew(subject, state, again)
  return state.grown || alive._tag === "Fail"
    ? go(state, alive._tag === "Fail" ? alive : still)
    : go({ ...state, question: noSilence, cut: { alive, still } }, { _tag: "AskStatus", again: false })
}

const onBroken = (subject: Subject, state: State, error: TaskFailure): Step => {
  const otherwise = cutBy(subject, state, error)
  if (!error.isTransient) return go(state, fail(otherwise))
  // A whole request timeout without an answer is not repeated, unless for a task that is queued or moves.
  const hopeless = !state.heard && error._tag === "RWKVTimeoutError"
  return onCut(subject, state, retry(error, otherwise), hopeless ? fail(otherwise) : undefined)
}

export const step = (subject: Subject) => (state: State, signal: Signal): Step => {
  switch (signal._tag) {
    case "Frames": {
      const command = state.witnessed ? listen : readAnew(subject, state, listen)
      return command._tag === "Listen" ? onFrames(subject, state, signal.frames) : go(state, command)
    }
    case "Ended":
      return onCut(subject, state, retry(truncated(subject, state, "the stream ended without its end mark")))
    case "Broken":
      return onBroken(subject, state, signal.error)
    case "Idle":
      return go({ ...state, question: signal }, { _tag: "AskStatus", again: true })
    case "Closing":
      return go(state, fail(clientClosed(subject.operation, subject.taskId)))
    case "Connected":
      return go({ ...state, ...anew }, readAnew(subject, state, listen))
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
    case "Unanswered":
      return onNoStatus(state, state.question.late || !signal.unread ? stalled(subject) : undefined)
  }
}
