/**
 * The parts that the state machine builds its steps of: commands, failures, and text that is delivered or held back.
 */
import * as Duration from "effect/Duration"
import type { TaskResult } from "../../Protocol.js"
import { RWKVDecodeError, StreamTruncatedError, type TaskFailure } from "../../RWKVError.js"
import { about, bare } from "../input/failure.js"
import type { Command, FollowFailure, State, Step, Subject, Told } from "./signals.js"

/** UTF-16 units that no text reaches: the server's longest run, 40,960 tokens, is far below. */
const longest = 64 * 1024 * 1024

export const listen: Command = { _tag: "Listen" }
export const readResult: Command = { _tag: "ReadResult" }
export const reconnect: Command = { _tag: "Reconnect" }
export const fail = (error: FollowFailure): Command => ({ _tag: "Fail", error })

export const end: Command = { _tag: "End" }
export const conclude = (result: TaskResult | undefined): Command => ({ _tag: "Conclude", result })

export const go = (
  state: State,
  command: Command = listen,
  told: ReadonlyArray<Told> = [],
  life: Step["life"] = "none"
): Step => ({ state, told, command, life })

export const undecoded = (subject: Subject, description: string) =>
  new RWKVDecodeError({ ...about(subject), description })

export const truncated = (
  subject: Subject,
  { delivered, told }: State,
  description: string,
  more: { readonly cause?: FollowFailure; readonly unconfirmed?: boolean } = {}
) => new StreamTruncatedError({ ...about(subject), text: delivered.slice(0, told), description, ...more })

/** The error itself before the first frame; later a truncation, with the error as its cause. */
export const cutBy = (subject: Subject, state: State, error: TaskFailure) =>
  state.heard ? truncated(subject, state, bare(error), { cause: error }) : error

export const retry = (error: FollowFailure, otherwise = error): Command => ({ _tag: "Retry", error, otherwise })

export const missing = (subject: Subject, state: State) =>
  fail(truncated(subject, state, "frames are missing: there are fewer tokens than were asked for"))

export const rewritten = (subject: Subject, state: State) =>
  fail(truncated(subject, state, "the task's text no longer continues what was delivered"))

/** Allows a command that reads the buffer only if no other run wrote to it; otherwise fails (H15). */
export const guarded = (subject: Subject, state: State, command: Command): Command =>
  state.alone || command._tag === "Fail"
    ? command
    : fail(
      truncated(subject, state, "forks that ran at the same time share the buffer that the rest would be read from")
    )

export const begin = (state: State, prefillTime: Duration.Duration): Step =>
  state.started ? go(state) : go({ ...state, started: true }, listen, [{ _tag: "Started", prefillTime }])

/** Goes on from a step that only listens. */
export const goOn = (step: Step, next: (state: State) => Step): Step => {
  if (step.command._tag !== "Listen") return step
  const { command, life, state, told } = next(step.state)
  return go(state, command, [...step.told, ...told], life === "none" || step.life === "progress" ? step.life : life)
}

const textOf = (text: string): ReadonlyArray<Told> => text === "" ? [] : [{ _tag: "Text", text }]

/** Text that continues what was delivered. */
export const deliver = (subject: Subject, state: State, text: string): Step => {
  if (text === "") return go(state)
  if (state.delivered.length + text.length > longest) {
    return go(state, fail(undecoded(subject, "more text than a run can have")))
  }
  const { stops } = subject
  const { matched, place, text: told } = stops === undefined
    ? { matched: undefined, place: undefined, text }
    : stops.push(state.place ?? stops.start, text)
  const longer = {
    ...state,
    delivered: state.delivered + text,
    told: state.told + told.length,
    place,
    sequence: matched,
    offset: state.offset + text.length,
    letPass: 0,
    grown: true
  }
  const command = matched === undefined ? listen : conclude(undefined)
  return goOn(begin(longer, Duration.zero), (state) => go(state, command, textOf(told), "progress"))
}

/** Ends a run that ended by itself: what was held back is no stop sequence, and is told. */
export const finish = (subject: Subject, state: State, result: TaskResult): Step => {
  const rest = state.place === undefined ? "" : subject.stops?.end(state.place) ?? ""
  const whole = { ...state, told: state.told + rest.length, place: undefined }
  const life = rest === "" ? "none" : "progress"
  return subject.counts
    ? go(whole, conclude(result), textOf(rest), life)
    : go(whole, end, [...textOf(rest), { _tag: "Finished", result }], life)
}
