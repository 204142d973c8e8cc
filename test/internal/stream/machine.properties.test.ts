/**
 * A stream's state machine against servers of any kind: whatever the frames, the faults and their order, the text is
 * complete and exactly once, or the stream fails. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { RWKVError } from "effect-rwkv"
import * as Machine from "../../../src/internal/stream/machine.js"
import type { Command, State, Subject } from "../../../src/internal/stream/signals.js"
import { undecodable } from "../../../src/internal/wire/sse.js"
import * as Stops from "../../../src/internal/stream/stops.js"
import { certain, search } from "./search.js"
import { choicesOf, type Heard, makeServer, play, worldOf } from "./server.js"
import { anyAnswer, makeLiar } from "./liar.js"
import { closing, frames, hear, say, subject, textOf, toldBy } from "./words.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 600)

// Without a size FastCheck makes arrays of a few elements only.
const choices = FastCheck.array(FastCheck.nat(10_000), { maxLength: 200, size: "max" })

/** Of the characters of texts, so that many match. */
const sequences = FastCheck.array(
  FastCheck.string({ unit: FastCheck.constantFrom(...Array.from("abé🌍")), minLength: 1, maxLength: 4 }),
  { maxLength: 3 }
)

const fair = FastCheck.record({
  // Few characters, so that texts repeat themselves, of one to four bytes each.
  text: FastCheck.string({
    unit: FastCheck.constantFrom(...Array.from("ababababé語🌍\u0301")),
    maxLength: 24,
    size: "max"
  }),
  cuts: FastCheck.array(FastCheck.nat(4), { minLength: 1, maxLength: 6 }),
  torn: FastCheck.boolean(),
  kind: FastCheck.constantFrom("subscribed", "from a token", "direct", "shared"),
  started: FastCheck.boolean(),
  counts: FastCheck.boolean(),
  stop: sequences,
  choices
})

type Fair = typeof fair extends FastCheck.Arbitrary<infer A> ? A : never

/** More steps than a server needs that is good from now on. */
const enough = 40

const playFair = ({ choices, counts, cuts, kind, started, stop, text, torn }: Fair) => {
  const fromToken = kind === "from a token" ? 2 : 0
  // Only what starts a run has stop sequences.
  const cut = fromToken > 0 ? [] : stop
  const about: Subject = { ...subject, fromToken, counts, stops: cut.length === 0 ? undefined : Stops.make(cut) }
  const direct = kind === "direct" || kind === "shared"
  const world = worldOf(text, cuts, { torn, direct, shared: kind === "shared" })
  const picked = choicesOf(choices)
  const most = choices.length + enough
  return {
    about,
    stop: cut,
    world,
    most,
    path: play(about, Machine.initial(direct, started), makeServer(world, picked, about), most)
  }
}

const fairly = (name: string, holds: (played: ReturnType<typeof playFair>, fair: Fair) => void) =>
  it.prop(name, { fair }, ({ fair }) => holds(playFair(fair), fair), { fastCheck: { numRuns } })

const ends = ({ _tag }: Command) => _tag === "Fail" || _tag === "End"

const finishedBy = ({ step }: Heard) => step.told.find((told) => told._tag === "Finished")?.result

/** What must be true of every step, whoever the server is. */
const wellFormed = (path: ReadonlyArray<Heard>) => {
  let delivered = ""
  for (const { before, signal, step } of path) {
    delivered += textOf(step)
    expect(step.state.delivered.slice(0, step.state.told)).toBe(delivered)
    expect(step.told.every((told) => told._tag !== "Text" || told.text !== "" && told.text.isWellFormed())).toBe(true)
    expect(toldBy(step).includes("Finished")).toBe(step.command._tag === "End")
    const { command } = step
    if (textOf(step) !== "") expect(step.life).toBe("progress")
    if (command._tag === "Fail" && command.error._tag === "StreamTruncatedError") {
      expect(command.error.text).toBe(delivered)
    }
    if (command._tag === "Retry") {
      // The schedule sees what went wrong; the caller sees that as what cut the text, once there is a text to cut.
      expect(RWKVError.isRWKVError(command.error)).toBe(true)
      if (signal._tag === "Broken") {
        expect(command.error).toBe(signal.error)
        expect(command.otherwise._tag).toBe(before.heard ? "StreamTruncatedError" : signal.error._tag)
      }
      if (command.otherwise._tag === "StreamTruncatedError") expect(command.otherwise.text).toBe(delivered)
    }
  }
  const told = path.flatMap(({ step }) => toldBy(step))
  const starts = told.filter((tag) => tag === "Started")
  expect(starts.length).toBe(told.length === 0 || path[0]?.before.started === true ? 0 : 1)
  if (starts.length > 0) expect(told[0]).toBe("Started")
  expect(path.slice(0, -1).some(({ step }) => ends(step.command))).toBe(false)
}

/** The same frames one by one, up to the one that asks for a command. */
const singly = (about: Subject, { before, signal }: Heard): ReadonlyArray<Heard> => {
  if (signal._tag !== "Frames" || signal.frames.length === 0) {
    return [{ before, signal, step: hear(about, before, signal) }]
  }
  const all = signal.frames.map((frame) => frames(frame))
  const replies = all.values()
  return play(about, before, {
    alone: () => before.alone,
    answer: ({ _tag }) => _tag === "Listen" ? replies.next().value : undefined
  }, Infinity)
}

/**
 * For each connection that a gap asked for: frames with text that came after the gap, and whether there was new text, told
 * or held back for a stop sequence that it may begin.
 */
const passes = (about: Subject, path: ReadonlyArray<Heard>) => {
  const found: Array<{ readonly frames: number; readonly progress: boolean }> = []
  let gap = false
  let frames = 0
  let read = 0
  let progress = false
  for (const { signal, step } of path.flatMap((heard) => singly(about, heard))) {
    progress = progress || step.state.delivered.length > read
    read = step.state.delivered.length
    if (signal._tag === "Connected") {
      gap = false
      frames = 0
    }
    const frame = signal._tag === "Frames" ? signal.frames[0] : undefined
    if (frame?._tag !== "Data") continue
    if (gap) frames++
    gap = gap || frame.text === undecodable
    if (step.command._tag !== "Reconnect") continue
    found.push({ frames, progress })
    progress = false
  }
  return found
}

describe("a stream of a server that may fail, and is good in the end", () => {
  fairly("delivers the text, in order and once", ({ path, world }) => {
    for (const { step } of path) expect(world.text.startsWith(step.state.delivered)).toBe(true)
    wellFormed(path)
  })

  fairly("tells at every moment all that no stop sequence can take away, and nothing else", ({ path, stop }) => {
    let told = ""
    for (const { step } of path) {
      told += textOf(step)
      const { delivered, sequence } = step.state
      const { length, matched } = search(stop, delivered)
      expect(sequence).toBe(matched)
      if (matched !== undefined) expect(told).toBe(delivered.slice(0, length))
      else if (ends(step.command) || step.command._tag === "Conclude") expect(delivered.startsWith(told)).toBe(true)
      else expect(told).toBe(delivered.slice(0, certain(stop, delivered)))
    }
  })

  fairly("listens to nothing once a stop sequence has ended the text", ({ path }) => {
    for (const { before, signal } of path) {
      if (before.sequence !== undefined) expect(signal._tag).toBe("Concluded")
    }
  })

  fairly("ends, or fails, when the server is good", ({ most, path }) => {
    expect(path.length).toBeLessThan(most)
    const last = path.at(-1)?.step.command._tag
    expect(last === "End" || last === "Fail" || last === "Retry").toBe(true)
  })

  fairly("ends well only with the whole text, or says that the end is missing", ({ about, path, stop, world }) => {
    for (const { step } of path.filter(({ step }) => step.command._tag === "End")) {
      const finished = path.flatMap((heard) => finishedBy(heard) ?? [])
      expect(finished.length).toBe(1)
      const [result] = finished
      const { length, matched } = search(stop, world.text)
      if (matched !== undefined && step.state.sequence !== undefined) {
        expect(result).toMatchObject({ text: world.text.slice(0, length), finishReason: "stop-sequence" })
        expect(result?.stopSequence).toBe(matched)
        continue
      }
      if (result?.undecodedTail !== true) {
        expect(matched).toBeUndefined()
        expect(step.state.delivered).toBe(world.text)
      }
      if (about.fromToken === 0) expect(result?.text).toBe(step.state.delivered)
    }
  })

  it("is met on many ways: what is tested here happens", () => {
    const paths = FastCheck.sample(fair, { numRuns: 1000, seed: 1 }).map((fair) => playFair(fair).path)
    const all = paths.flat()
    const count = (happens: (heard: Heard) => boolean) => all.filter(happens).length
    expect(count(({ signal, step }) => signal._tag === "Frames" && textOf(step) !== "")).toBeGreaterThan(400)
    expect(count(({ signal, step }) => signal._tag === "Result" && textOf(step) !== "")).toBeGreaterThan(30)
    expect(count(({ before, signal }) => signal._tag === "Connected" && before.delivered !== "")).toBeGreaterThan(200)
    expect(count(({ before, signal }) => signal._tag === "Connected" && before.letPass > 3)).toBeGreaterThan(3)
    expect(count(({ step }) => step.command._tag === "ReadTail")).toBeGreaterThan(30)
    expect(count(({ before }) => !before.alone)).toBeGreaterThan(100)
    expect(count(({ step }) => step.command._tag === "End")).toBeGreaterThan(400)
    expect(count(({ step }) => step.command._tag === "Conclude" && step.command.result === undefined)).toBeGreaterThan(
      100
    )
    expect(count(({ before, step }) =>
      step.state.sequence !== undefined && before.sequence === undefined &&
      step.command._tag === "Conclude" && step.command.result !== undefined
    )).toBeGreaterThan(5)
    expect(count(({ step }) => step.command._tag === "Fail")).toBeGreaterThan(100)
  })

  it.prop("ends well where nothing fails, whatever the frames", { fair }, ({ fair }) => {
    const { path, stop, world } = playFair({ ...fair, torn: false, choices: [] })
    const told = path.map(({ step }) => textOf(step)).join("")
    expect(path.at(-1)?.step.command._tag).toBe("End")
    expect(told).toBe(world.text.slice(0, search(stop, world.text).length))
  }, { fastCheck: { numRuns: 200 } })

  fairly("asks for no other connection twice without progress", ({ about, path }) => {
    const found = passes(about, path)
    found.forEach(({ frames, progress }, index) => {
      const last = index === 0 ? undefined : found[index - 1]
      if (last !== undefined && !progress) expect(frames).toBeGreaterThanOrEqual(Math.min(last.frames + 1, 64))
    })
    // One that a status asks for has seen the task move, and costs a silence.
    for (const { before, signal, step } of path) {
      if (step.command._tag !== "Reconnect" || signal._tag === "Frames") continue
      expect(signal._tag === "Status" && signal.info.generatedTokens !== before.tokens && before.question.silent).toBe(
        true
      )
    }
  })

  fairly("gives a good server's text where it fails for no reason of its own", ({ path }) => {
    // A failure is the answer to a signal that tells of one, and never to text, a result or a tail of a task of its own.
    const last = path.at(-1)
    if (last?.step.command._tag !== "Fail" || !last.before.alone) return
    expect(["Broken", "Unread", "Unasked", "Unanswered", "Status", "Closing"]).toContain(last.signal._tag)
  })
})

/** What a connection has told up to its first gap. */
const readBy = (path: ReadonlyArray<Heard>, upTo: number): string => {
  const since = path.slice(0, upTo + 1).findLastIndex(({ signal }) => signal._tag === "Connected")
  const all = path.slice(since + 1, upTo + 1)
    .flatMap(({ signal }) => signal._tag === "Frames" ? signal.frames : [])
    .flatMap((frame) => frame._tag === "Data" ? [frame.text] : [])
  const gap = all.indexOf(undecodable)
  return all.slice(0, gap === -1 ? all.length : gap).join("")
}

const answers = FastCheck.array(anyAnswer, { maxLength: 30, size: "max" })

/** Only a run from its beginning on may have others beside it. */
const lying = FastCheck.oneof(
  FastCheck.record({
    answers,
    mixes: FastCheck.oneof(FastCheck.constant(Infinity), FastCheck.nat(20)),
    direct: FastCheck.boolean(),
    fromToken: FastCheck.constant(0)
  }),
  FastCheck.record({
    answers,
    mixes: FastCheck.constant(Infinity),
    direct: FastCheck.constant(false),
    fromToken: FastCheck.constant(3)
  })
)

const playLying = (
  { answers, direct, fromToken, mixes }: typeof lying extends FastCheck.Arbitrary<infer A> ? A : never
) => play({ ...subject, fromToken }, Machine.initial(direct, false), makeLiar(answers, mixes), 100)

describe("a stream of a server that contradicts itself", () => {
  it.prop("grows only by what one connection told beyond all that was delivered", { lying }, ({ lying }) => {
    const path = playLying(lying)
    wellFormed(path)
    path.forEach(({ before, signal, step }, index) => {
      const { delivered } = step.state
      expect(delivered.startsWith(before.delivered)).toBe(true)
      if (delivered === before.delivered) return
      if (signal._tag === "Frames") expect(readBy(path, index).startsWith(delivered)).toBe(true)
      else expect(signal._tag === "Tail" ? signal.text : signal._tag === "Result" && signal.result.text).toBe(delivered)
    })
  }, { fastCheck: { numRuns } })

  it.prop("is finished only if its text is what was delivered", { lying }, ({ lying }) => {
    for (const { before, signal, step } of playLying(lying)) {
      if (step.command._tag !== "End") continue
      const { delivered } = step.state
      if (signal._tag === "Tail") expect(signal.text ?? delivered).toBe(delivered)
      else if (signal._tag !== "Result") expect.fail(`ended by ${signal._tag}`)
      // What its own connection told is better than a buffer of many, or one that cannot be decoded.
      else if (signal.result.undecodedTail || !before.alone) {
        expect(before.alone || before.witnessed && before.aligned).toBe(true)
        expect(delivered).toBe(before.delivered)
      } else expect(signal.result.text).toBe(delivered)
    }
  }, { fastCheck: { numRuns } })

  it.prop("tells nothing of a buffer that others have written to", { lying }, ({ lying }) => {
    const path = playLying(lying)
    path.forEach(({ before, step }) => {
      if (!before.alone && !before.witnessed) expect(textOf(step)).toBe("")
    })
  }, { fastCheck: { numRuns } })

  it.prop("hears frames together as it hears them one by one", { lying }, ({ lying }) => {
    const about = { ...subject, fromToken: lying.fromToken }
    for (const heard of playLying(lying)) {
      const alone = singly(about, heard)
      const last = alone.at(-1)?.step
      expect(say(heard.step.command)).toBe(say(last?.command ?? { _tag: "Listen" }))
      expect(textOf(heard.step)).toBe(alone.map(({ step }) => textOf(step)).join(""))
      if (heard.step.command._tag === "Fail") continue
      expect(heard.step.state).toEqual(last?.state)
      const most = (["progress", "repeated"] as const).find((life) => alone.some(({ step }) => step.life === life))
      expect(heard.step.life).toBe(most ?? "none")
    }
  }, { fastCheck: { numRuns } })

  it.prop("fails when its client is closed, whatever it was doing", { lying }, ({ lying }) => {
    const states: ReadonlyArray<State> = playLying(lying).map(({ step }) => step.state)
    for (const state of states) {
      const { command, told } = Machine.step(subject)(state, closing)
      expect(command).toMatchObject({ _tag: "Fail", error: { _tag: "RWKVConnectionError", taskId: subject.taskId } })
      expect(told).toEqual([])
    }
  }, { fastCheck: { numRuns: 100 } })
})
