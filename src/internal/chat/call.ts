/**
 * A tool call in a reply, from its opening string to its closing one.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ReplyPart, ToolCall } from "../../RWKVMessage.js"
import { isRecord, parse } from "../input/json.js"
import { fence } from "./format.js"

export interface Opener {
  readonly text: string
  readonly closer: string
  /** Whether it surely announces a call: a fence alone may hold any JSON. */
  readonly explicit: boolean
}

export const forced: Opener = { text: fence.open, closer: fence.close, explicit: true }

const announcing = (gap: string): Opener => ({ ...forced, text: `**Tool Call:**${gap}${fence.open}` })

export const openers: ReadonlyArray<Opener> = [
  { ...forced, explicit: false },
  { text: "<tool_call>", closer: "</tool_call>", explicit: true },
  ...["", " ", "\n", "\n\n"].map(announcing)
]

const beginnings = [`{"name"`, `{"arguments"`]

const mayBegin = (compact: string) =>
  beginnings.some((beginning) => beginning.startsWith(compact) || compact.startsWith(beginning))

const isCall = Schema.is(ToolCall)

const decode = (value: unknown): Option.Option<ToolCall> => {
  const call = isRecord(value) ? { _tag: "ToolCall", name: value["name"], arguments: value["arguments"] } : undefined
  return isCall(call) ? Option.some(call) : Option.none()
}

/** Reads the text between the two strings. After a fence alone it is text, unless it names arguments. */
const read = ({ closer, explicit, text }: Opener, body: string, closed: boolean): ReplyPart => {
  const whole = `${text}${body}${closed ? closer : ""}`
  const value = parse(body)
  return Option.getOrElse(Option.flatMap(value, decode), (): ReplyPart => {
    if (!explicit && !/"arguments"\s*:/.test(body)) return { _tag: "Text", text: whole }
    const reason = Option.isSome(value) ? "shape" : closed ? "json" : "unclosed"
    return { _tag: "MalformedToolCall", reason, text: whole }
  })
}

/** A part, and the text after it. */
interface Taken {
  readonly part: ReplyPart
  readonly rest: string
}

export interface Reading {
  /** Undefined while the call goes on. If a fence holds no call, its opener is text and its body is in `rest`. */
  readonly push: (piece: string) => Taken | undefined
  /** At the end of the text: a call that lacks only its closing string is still a call. */
  readonly end: () => ReplyPart
}

/**
 * Reads a call piece by piece, each character once. A closing string within a JSON string is part of that; a JSON
 * string ends with its line, so that a missing quote does not hide the closing string.
 */
export const make = (opener: Opener): Reading => {
  const { closer, explicit } = opener
  let body = ""
  /** The first characters without white space, which soon show whether a fence holds a call. */
  let compact = ""
  let inString = false
  let escaped = false
  let matched = 0

  const onCharacter = (character: string): void => {
    if (inString) {
      inString = character !== "\n" && (escaped || character !== "\"")
      escaped = !escaped && character === "\\"
      return
    }
    inString = character === "\""
    escaped = false
    matched = character === closer[matched] ? matched + 1 : character === closer[0] ? 1 : 0
  }

  const diverges = (character: string): boolean => {
    if (explicit || compact.length > 12 || character.trim() === "") return false
    compact += character
    return !mayBegin(compact)
  }

  return {
    push: (piece) => {
      for (let at = 0; at < piece.length; at++) {
        const character = piece.charAt(at)
        if (diverges(character)) return { part: { _tag: "Text", text: opener.text }, rest: body + piece }
        onCharacter(character)
        if (matched === closer.length) {
          const whole = body + piece.slice(0, at + 1)
          return { part: read(opener, whole.slice(0, -closer.length), true), rest: piece.slice(at + 1) }
        }
      }
      body += piece
      return undefined
    },
    end: () => read(opener, body, false)
  }
}
