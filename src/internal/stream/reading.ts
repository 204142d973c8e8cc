/**
 * How the machine answers frames: new text, known text, gaps, and ends.
 */
import * as Duration from "effect/Duration"
import { RWKVServerError } from "../../RWKVError.js"
import { about } from "../input/failure.js"
import { type Frame, undecodable } from "../wire/sse.js"
import type { State, Step, Subject } from "./signals.js"
import { begin, deliver, fail, go, goOn, guarded, readResult, reconnect, retry, rewritten, undecoded } from "./step.js"
import * as Tokens from "./tokens.js"

type Text = Extract<Frame, { readonly _tag: "Data" }>

/** A gap, or a frame after one: that only says that there is more text, not where it belongs (H12). */
const onGap = (subject: Subject, state: State): Step => {
  if (state.aligned) return go({ ...state, aligned: false })
  if (state.passed < state.letPass) return go({ ...state, passed: state.passed + 1 })
  const later = { ...state, letPass: Math.min(2 * state.letPass + 1, 63) }
  return go(later, guarded(subject, later, reconnect))
}

const onFrame = (subject: Subject, state: State, frame: Exclude<Frame, { readonly _tag: "Data" }>): Step => {
  switch (frame._tag) {
    case "Head":
      return begin(state, Duration.seconds(frame.prefillTime))
    case "Done": {
      const marked = state.aligned && state.offset === state.delivered.length
      return go({ ...state, marked, ended: marked || state.ended }, readResult)
    }
    case "Unreadable":
      return go(state, guarded(subject, state, retry(undecoded(subject, frame.description))))
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

/** Takes frames up to the first that asks for a command; consecutive texts are joined. */
export const onFrames = (subject: Subject, before: State, frames: ReadonlyArray<Frame>): Step => {
  let step = go(before.heard || frames.length === 0 ? before : { ...before, heard: true })
  let texts: Array<Text> = []
  const flush = (next: (state: State) => Step) => {
    const joined = texts
    texts = []
    if (joined.length > 0) step = goOn(step, (state) => onTexts(subject, state, joined))
    step = goOn(step, next)
  }
  for (const frame of frames) {
    if (frame._tag !== "Data") flush((state) => onFrame(subject, state, frame))
    else if (step.state.aligned && frame.text !== undecodable) texts.push(frame)
    else flush((state) => ({ ...onGap(subject, state), life: "repeated" }))
    if (step.command._tag !== "Listen") return step
  }
  flush(go)
  return step
}
