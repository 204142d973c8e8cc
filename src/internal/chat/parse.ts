/**
 * Parses a prompt back to its messages.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Messages from "../../RWKVMessage.js"
import type { Message } from "../../RWKVMessage.js"
import * as Json from "../input/json.js"
import * as Format from "./format.js"
import { fromParts, messagesOf, partsOf, thinking } from "./reply.js"

export interface Parsed {
  readonly messages: ReadonlyArray<Message>
  /** The options that the prompt was made with. */
  readonly options: {
    readonly think: Format.Think
    readonly toolChoice: Format.ToolChoice
    readonly tools: ReadonlyArray<Messages.Tool>
  }
}

const tools = Schema.decodeUnknownOption(Schema.NonEmptyArray(Messages.Tool))

interface SystemTurn {
  readonly messages: ReadonlyArray<Message>
  readonly tools: ReadonlyArray<Messages.Tool>
}

/** The tools end the system's turn, as one line of JSON. */
const systemTurn = (content: string): SystemTurn => {
  const none: SystemTurn = { messages: [{ _tag: "System", content }], tools: [] }
  const head = content.startsWith(Format.toolsHead) ? 0 : content.lastIndexOf(`\n${Format.toolsHead}`)
  if (head < 0 || !content.endsWith(Format.toolsTail)) return none
  const list = content.slice(content.indexOf("[", head), -Format.toolsTail.length)
  return Option.match(Option.flatMap(Json.parse(list), tools), {
    onNone: () => none,
    onSome: (tools) => ({ messages: head === 0 ? [] : [{ _tag: "System", content: content.slice(0, head) }], tools })
  })
}

const isResult = Schema.is(Messages.ToolResult)

/** A result that is not JSON was not rendered by this SDK, and is kept as text. */
const userTurn = (content: string): Message => {
  if (!content.startsWith(Format.resultHead)) return { _tag: "User", content }
  const text = content.slice(Format.resultHead.length)
  const value = Option.map(Json.parse(text), (result) => ({ _tag: "ToolResult", result }))
  return Option.getOrElse(Option.filter(value, isResult), () => ({ _tag: "ToolResult", result: text }))
}

const assistantTurn = (content: string): ReadonlyArray<Message> => {
  const reply = fromParts(partsOf(content, {}))
  // Content that begins with an empty thought is parsed too, to leave that out.
  return reply.toolCalls.length === 0 && reply.reasoning === "" && !content.startsWith(thinking.open)
    ? [{ _tag: "Assistant", content }]
    : messagesOf(reply)
}

const modeOf = (last: string): Format.Think | undefined =>
  Format.thinkModes.find((mode) => last === `${Format.reply}${Format.ends[mode]}`)

const head = /^(System|User|Assistant):(?: |$)/

/** Removes from the last user's message the suffix that says how long to think. */
const withoutSuffix = (messages: ReadonlyArray<Message>) => {
  const asked = messages.findLastIndex(({ _tag }) => _tag === "User")
  const message = messages[asked]
  const content = message?._tag === "User" ? message.content : ""
  const think = Format.thinkModes.find((mode) =>
    Format.suffixes[mode] !== "" && content.endsWith(Format.suffixes[mode])
  )
  if (think === undefined) return { think: "on" as const, messages }
  const shorter = content.slice(0, -Format.suffixes[think].length)
  return { think, messages: messages.with(asked, { _tag: "User", content: shorter }) }
}

export const parse = (prompt: string): Option.Option<Parsed> =>
  Option.gen(function*() {
    const turns = prompt.split(/\n\n(?=(?:System|User|Assistant):)/)
    const last = turns.pop() ?? ""
    const forced = last === `${Format.reply}${Format.forced}`
    const think = yield* Option.fromNullable(forced ? "off" : modeOf(last))
    const tools: Array<Messages.Tool> = []
    const messages: Array<Message> = []
    for (const turn of turns) {
      const [start, role] = yield* Option.fromNullable(head.exec(turn))
      const content = turn.slice(start.length)
      if (role === "Assistant") messages.push(...assistantTurn(content))
      if (role === "User") messages.push(userTurn(content))
      if (role !== "System") continue
      const system = systemTurn(content)
      messages.push(...system.messages)
      tools.push(...system.tools)
    }
    const asked = think === "on" ? withoutSuffix(messages) : { think, messages }
    return {
      messages: asked.messages,
      options: { think: asked.think, tools, toolChoice: forced ? "required" : "auto" }
    }
  })
