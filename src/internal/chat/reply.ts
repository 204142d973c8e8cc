/**
 * Splits a model's text into reasoning, answer and calls: one reader for whole texts and for pieces of any size.
 */
import * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"
import type { Message, Reply, ReplyPart } from "../../RWKVMessage.js"
import * as Call from "./call.js"
import { reasons, type ReplyOptions } from "./format.js"

export const thinking = { open: "<think>", close: "</think>" }

/** How many UTF-16 units at the end of a text may begin the closing tag. */
const undecided = (text: string): number => {
  const at = text.lastIndexOf("<")
  return at >= 0 && thinking.close.startsWith(text.slice(at)) ? text.length - at : 0
}

/** Collects parts, reasoning and answer each trimmed: white space is held until text follows it. */
const makeTeller = () => {
  let parts: Array<ReplyPart> = []
  let spaces = ""
  let told = false
  return {
    text: (_tag: "Reasoning" | "Text", text: string): void => {
      const end = text.trimEnd()
      if (end === "") {
        if (told) spaces += text
        return
      }
      const news = told ? spaces + end : end.trimStart()
      spaces = text.slice(end.length)
      told = true
      const last = parts.at(-1)
      if (last?._tag === _tag) parts[parts.length - 1] = { _tag, text: last.text + news }
      else parts.push({ _tag, text: news })
    },
    part: (part: ReplyPart): void => void parts.push(part),
    /** Begins another text, which is trimmed by itself. */
    startText: (): void => {
      spaces = ""
      told = false
    },
    take: (): ReadonlyArray<ReplyPart> => {
      const taken = parts
      parts = []
      return taken
    }
  }
}

/** Takes pieces and gives parts as soon as they are certain, in linear time. */
class Reader {
  private readonly tell = makeTeller()
  private readonly afterBracket: "reasoning" | "answer"
  private readonly openers: ReadonlyArray<Call.Opener>
  private mode: "bracket" | "reasoning" | "answer"
  private call: Call.Reading | undefined
  /** The beginning of a tag or an opening string, which the next piece decides. */
  private waiting = ""
  private atLineStart = true
  /** Nothing but white space so far: the model may begin to think unasked. */
  private fresh = true

  constructor({ think = "off", toolChoice = "auto" }: ReplyOptions) {
    this.mode = think === "off" ? "answer" : "bracket"
    this.afterBracket = reasons(think) ? "reasoning" : "answer"
    this.openers = toolChoice === "none" ? [] : Call.openers
    this.call = toolChoice === "required" ? Call.make(Call.forced) : undefined
  }

  push(piece: string): ReadonlyArray<ReplyPart> {
    let rest = this.waiting + piece
    this.waiting = ""
    while (rest !== "") rest = this.step(rest)
    return this.tell.take()
  }

  end(): ReadonlyArray<ReplyPart> {
    if (this.call !== undefined) this.onPart(this.call.end())
    else this.tell.text(this.mode === "reasoning" ? "Reasoning" : "Text", this.waiting)
    return this.tell.take()
  }

  /** Reads a part of the text and returns the rest. */
  private step(rest: string): string {
    if (this.call !== undefined) return this.inCall(this.call, rest)
    if (this.mode === "reasoning") return this.inReasoning(rest)
    if (this.mode === "answer") return this.inAnswer(rest)
    this.mode = this.afterBracket
    return rest.startsWith(">") ? rest.slice(1) : rest
  }

  private inCall(call: Call.Reading, rest: string): string {
    const taken = call.push(rest)
    if (taken === undefined) return ""
    this.onPart(taken.part)
    return taken.rest
  }

  private onPart(part: ReplyPart): void {
    if (part._tag === "Text") this.tell.text("Text", part.text)
    else this.tell.part(part)
    this.call = undefined
    this.fresh = false
    this.atLineStart = false
  }

  private inReasoning(rest: string): string {
    const end = rest.indexOf(thinking.close)
    if (end < 0) {
      const certain = rest.length - undecided(rest)
      this.tell.text("Reasoning", rest.slice(0, certain))
      this.waiting = rest.slice(certain)
      return ""
    }
    this.tell.text("Reasoning", rest.slice(0, end))
    this.begin("answer")
    return rest.slice(end + thinking.close.length)
  }

  private begin(mode: "reasoning" | "answer"): void {
    this.mode = mode
    this.fresh = false
    this.atLineStart = true
    this.tell.startText()
  }

  private inAnswer(rest: string): string {
    const [white = ""] = /^\s*/.exec(rest) ?? []
    if (white !== "") {
      this.atLineStart ||= white.includes("\n")
      this.tell.text("Text", white)
      return rest.slice(white.length)
    }
    const opener = this.atLineStart ? this.opener(rest) : undefined
    if (opener !== undefined) return rest.slice(opener.length)
    this.atLineStart = false
    this.fresh = false
    const end = rest.indexOf("\n")
    const line = end < 0 ? rest : rest.slice(0, end)
    this.tell.text("Text", line)
    return rest.slice(line.length)
  }

  /** The opener that a line begins with, or all of the text if that may become one. */
  private opener(rest: string): string | undefined {
    if (this.fresh && rest.startsWith(thinking.open)) {
      this.begin("reasoning")
      return thinking.open
    }
    const opener = this.openers.find(({ text }) => rest.startsWith(text))
    if (opener !== undefined) {
      this.call = Call.make(opener)
      return opener.text
    }
    const mayCome = (text: string) => text.startsWith(rest)
    if (!this.openers.some(({ text }) => mayCome(text)) && !(this.fresh && mayCome(thinking.open))) return undefined
    this.waiting = rest
    return rest
  }
}

export const make = (options: ReplyOptions): Pick<Reader, "push" | "end"> => new Reader(options)

/** Splits a text while it comes. */
export const split = <E, R>(text: Stream.Stream<string, E, R>, options: ReplyOptions): Stream.Stream<ReplyPart, E, R> =>
  Stream.suspend(() => {
    const reader = make(options)
    return Stream.concat(
      Stream.mapChunks(text, (pieces) => Chunk.fromIterable(reader.push(Chunk.join(pieces, "")))),
      Stream.suspend(() => Stream.fromIterable(reader.end()))
    )
  })

export const partsOf = (text: string, options: ReplyOptions): ReadonlyArray<ReplyPart> => {
  const reader = make(options)
  return [...reader.push(text), ...reader.end()]
}

/** Puts parts together, those of a stream as well as those of a whole text. */
export const fromParts = (parts: Iterable<ReplyPart>): Reply => {
  const all = Array.from(parts)
  const textOf = (tag: "Reasoning" | "Text") => all.map((part) => part._tag === tag ? part.text : "").join("")
  return {
    reasoning: textOf("Reasoning"),
    text: textOf("Text"),
    toolCalls: all.filter((part) => part._tag === "ToolCall"),
    malformedToolCalls: all.filter((part) => part._tag === "MalformedToolCall")
  }
}

/** The messages that a reply adds to a chat. Malformed calls are added as text. */
export const messagesOf = ({ malformedToolCalls, reasoning, text, toolCalls }: Reply): ReadonlyArray<Message> => {
  const content = [text, ...malformedToolCalls.map((call) => call.text)].filter((part) => part !== "").join("\n")
  const onlyCalls = content === "" && reasoning === "" && toolCalls.length > 0
  return onlyCalls ? toolCalls : [
    reasoning === "" ? { _tag: "Assistant", content } : { _tag: "Assistant", content, reasoning },
    ...toolCalls
  ]
}
