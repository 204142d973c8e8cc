/**
 * A server as a stream's state machine sees it: a text in tokens, connections that read it from its start and cut it into
 * frames anywhere, and answers to questions. Everything that may go one way or another is a choice; choice 0 is what a
 * good server does, and all that is left when the choices have been used up.
 */
import * as Arr from "effect/Array"
import { step as machineStep } from "../../../src/internal/stream/machine.js"
import type { Command, Signal, State, Step, Subject } from "../../../src/internal/stream/signals.js"
import { type Frame, undecodable } from "../../../src/internal/wire/sse.js"
import {
  broken,
  closing,
  concluded,
  connected,
  data,
  done,
  ended,
  frames,
  gone,
  head,
  idle,
  reset,
  result,
  resultOf,
  slow,
  status,
  tail,
  unanswered,
  unasked,
  undecoded,
  unread,
  unreadable
} from "./words.js"

export interface Choices {
  /** One of `n`. */
  readonly pick: (n: number) => number
  readonly left: () => boolean
}

export const choicesOf = (all: ReadonlyArray<number>): Choices => {
  let at = 0
  return {
    pick: (n) => at < all.length ? (all[at++] ?? 0) % n : 0,
    left: () => at < all.length
  }
}

export interface World {
  /** What the task says, cut into tokens anywhere, also inside characters. */
  readonly tokens: ReadonlyArray<Uint8Array>
  /** All that can be read of it. */
  readonly text: string
  /** Whether the text ends inside a character (H11). */
  readonly torn: boolean
  /** Whether other runs of this program may write to the buffer (H15). */
  readonly shared: boolean
  readonly direct: boolean
}

const utf8 = new TextEncoder()

const decode = (tokens: ReadonlyArray<Uint8Array>): string => {
  try {
    const bytes = Uint8Array.from(tokens.flatMap((token) => Array.from(token)))
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undecodable
  }
}

export const worldOf = (
  text: string,
  cuts: ReadonlyArray<number>,
  kind: { readonly torn: boolean; readonly shared: boolean; readonly direct: boolean }
): World => {
  const bytes = utf8.encode(text)
  const tokens: Array<Uint8Array> = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = 1 + (cuts[turn % cuts.length] ?? 0)
    tokens.push(bytes.subarray(at, at + size))
    at += size
  }
  if (kind.torn) tokens.push(Uint8Array.of(0xf0, 0x9f))
  return { ...kind, text, tokens }
}

/** What other runs write. */
const noise = "\u2042noise\u2042"

export const makeServer = (world: World, { pick }: Choices, subject: Subject) => {
  let generated = 0
  let finished = false
  let mixed = false
  let own = world.direct
  let read = 0
  let deaf = false
  let begun = false

  const live = (chosen: () => boolean) => {
    generated = chosen() ? Math.min(world.tokens.length, generated + pick(4)) : world.tokens.length
    if (!chosen()) finished = true
  }
  const slowly = () => {
    const steps = pick(3)
    live(() => steps > 0)
  }

  /** A frame of the next tokens, as they are decoded: a part of a character spoils all of it. */
  const next = (): Frame => {
    const size = Math.max(1, pick(6) === 0 ? generated - read : pick(4))
    const told = world.tokens.slice(read, Math.min(generated, read + size))
    read += told.length
    if (mixed && !own) return data(noise)
    const fault = pick(12)
    return fault === 1 ? unreadable : fault === 2 ? data(undecodable) : data(decode(told))
  }

  const told = (): Signal => {
    slowly()
    const all: Array<Frame> = begun ? [] : [head]
    begun = true
    Arr.makeBy(1 + pick(4), () => {
      if (read < generated) all.push(next())
    })
    if (finished && read >= generated && pick(3) === 0) all.push(done)
    return frames(...all)
  }

  const silence = () => idle(pick(2) === 0, pick(8) === 1)
  const failure = () => broken(Arr.unsafeGet([reset, reset, slow, gone], pick(4)))

  const signal = (): Signal => {
    if (deaf) return pick(8) === 1 ? ended : silence()
    switch (pick(24)) {
      case 1:
        return silence()
      case 2:
        return ended
      case 3:
        return failure()
      case 4:
        return frames()
      case 5:
        return pick(10) === 1 ? closing : silence()
      default:
        return told()
    }
  }

  const connect = (): Signal => {
    own = false
    read = 0
    begun = false
    deaf = pick(5) === 1
    return connected
  }

  /** What `get_result` says. */
  const readResult = (): Signal => {
    slowly()
    const fault = pick(12)
    if (fault === 1) return unread(reset)
    if (mixed) return result(noise)
    if (fault === 2 || world.torn && finished) return undecoded
    if (!finished || fault === 3) return result(decode(world.tokens.slice(0, generated)), { finished: false })
    return result(subject.fromToken > 0 ? `before ${world.text}` : world.text)
  }

  const askStatus = (): Signal => {
    slowly()
    switch (pick(8)) {
      case 1:
        return unasked(pick(2) === 0 ? gone : reset)
      case 2:
        return unanswered(pick(2) === 0)
      case 3:
        return status("Ready", 0)
      default:
        return status(finished ? "Finished" : "Running", generated)
    }
  }

  return {
    /** The answer to a command; undefined where the schedule of retries has ended. */
    answer: (command: Command): Signal | undefined => {
      if (world.shared && pick(12) === 1) mixed = true
      switch (command._tag) {
        case "Listen":
          return signal()
        case "Reconnect":
          return connect()
        case "Retry":
          return pick(10) === 1 ? undefined : connect()
        case "ReadResult":
          return readResult()
        case "ReadTail":
          return pick(10) === 1 ? unread(reset) : tail(world.text)
        case "AskStatus":
          return askStatus()
        case "Conclude":
          return concluded(command.result ?? (pick(2) === 1 ? undefined : resultOf(`${world.text} and more`)))
        case "Fail":
        case "End":
          return undefined
      }
    },
    alone: () => !mixed
  }
}

export interface Heard {
  readonly before: State
  readonly signal: Signal
  readonly step: Step
}

/** All steps of a machine until it ends, or for so long that it will not. */
export const play = (
  subject: Subject,
  initial: State,
  server: { readonly answer: (command: Command) => Signal | undefined; readonly alone: () => boolean },
  most: number
): ReadonlyArray<Heard> => {
  const machine = machineStep(subject)
  const path: Array<Heard> = []
  let state = initial
  let command: Command = { _tag: "Listen" }
  while (path.length < most) {
    const signal = server.answer(command)
    if (signal === undefined) break
    const before = { ...state, alone: server.alone() }
    const step = machine(before, signal)
    path.push({ before, signal, step })
    state = step.state
    command = step.command
  }
  return path
}
