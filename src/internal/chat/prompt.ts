/**
 * Renders messages as a prompt.
 */
import * as Effect from "effect/Effect"
import type { Message, Tool } from "../../RWKVMessage.js"
import { relabelled } from "../input/validate.js"
import { type Checked, checked, refuse } from "./check.js"
import { type Change, clean } from "./clean.js"
import * as Format from "./format.js"

interface MessageChanges {
  /** The place of the message, from 0 on. */
  readonly index: number
  readonly changes: ReadonlyArray<Change>
}

export interface Prompt {
  readonly prompt: string
  /** The messages as the prompt holds them: cleaned, and without reasoning. */
  readonly messages: ReadonlyArray<Message>
  /** Which messages were cleaned, and how. */
  readonly changes: ReadonlyArray<MessageChanges>
}

interface CleanMessage {
  readonly message: Message
  readonly changes: ReadonlyArray<Change>
}

const cleaned = (message: Message, index: number): Checked<CleanMessage> => {
  if (message._tag === "ToolCall" || message._tag === "ToolResult") return Effect.succeed({ message, changes: [] })
  const { _tag, content } = message
  const { changes, text } = clean(content, _tag)
  // Only a model's answer may be empty.
  if (text === "" && _tag !== "Assistant") return refuse(`messages.${index}.content`, "must hold more than white space")
  return Effect.succeed({ message: { _tag, content: text }, changes })
}

const turn = (role: string, content: string): string => content === "" ? `${role}:` : `${role}: ${content}`

const contentOf = (message: Message): string => {
  switch (message._tag) {
    case "ToolCall":
      return Format.call(message)
    case "ToolResult":
      return `${Format.resultHead}${Format.json(message.result)}`
    default:
      return message.content
  }
}

const toolsOf = (tools: ReadonlyArray<Tool>): ReadonlyArray<string> => {
  const plain = tools.map(({ arguments: given, description, name }) => ({ name, description, arguments: given }))
  return plain.length === 0 ? [] : [`${Format.toolsHead}${Format.json(plain)}${Format.toolsTail}`]
}

/** The turns of the prompt. An answer and the calls after it are one turn. */
const turnsOf = (messages: ReadonlyArray<Message>, tools: ReadonlyArray<Tool>, suffix: string): Array<string> => {
  const turns: Array<string> = []
  const asked = messages.findLastIndex(({ _tag }) => _tag === "User")
  const [first] = messages
  const system = [...(first?._tag === "System" ? [first.content] : []), ...toolsOf(tools)]
  if (system.length > 0) turns.push(turn("System", system.join("\n")))
  messages.forEach((message, index) => {
    const before = messages[index - 1]?._tag
    const content = contentOf(message)
    if (message._tag === "User") turns.push(turn("User", index === asked ? `${content}${suffix}` : content))
    if (message._tag === "ToolResult") turns.push(turn("User", content))
    if (message._tag === "Assistant") turns.push(turn("Assistant", content))
    if (message._tag !== "ToolCall") return
    if (before === "Assistant" || before === "ToolCall") turns.push(`${turns.pop() ?? ""}\n${content}`)
    else turns.push(turn("Assistant", content))
  })
  return turns
}

/** Leaves out an empty answer before a call, which would leave an empty line. */
const withoutEmptyAnswers = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> =>
  messages.reduceRight<Array<Message>>((kept, message) => {
    const isEmpty = message._tag === "Assistant" && message.content === "" && kept.at(-1)?._tag === "ToolCall"
    if (!isEmpty) kept.push(message)
    return kept
  }, []).toReversed()

/** `known`: how many of the messages, the system's included, the model has read before. */
const renderFrom = (operation: string, given: unknown, known: number, options: unknown): Checked<Prompt> =>
  Effect.gen(function*() {
    const { messages, options: { think = "off", toolChoice, tools = [] } } = yield* checked(given, options)
    const all = yield* Effect.forEach(messages.slice(known), (message, index) => cleaned(message, known + index))
    const kept = withoutEmptyAnswers(all.map(({ message }) => message))
    const end = Format.reply + (toolChoice === "required" ? Format.forced : Format.ends[think])
    return {
      prompt: [
        ...turnsOf(kept, known === 0 && toolChoice !== "none" ? tools : [], Format.suffixes[think]),
        end
      ].join(Format.between),
      messages: kept,
      changes: all.flatMap(({ changes }, index) => changes.length === 0 ? [] : [{ index: known + index, changes }])
    }
  }).pipe(Effect.mapError(relabelled(operation)))

export const render = (operation: string, given: unknown, options: unknown): Checked<Prompt> =>
  renderFrom(operation, given, 0, options)

/**
 * Renders the messages after the first `known` ones, at least 1, and the beginning of the reply, for a task that has
 * read the others. The blank line that ends the task's last turn is not included. All messages are checked together, so
 * that a result finds its call, and errors and changes name indices of the whole list. Calls at the beginning are a
 * turn of their own, because the turn of the answer before them has ended.
 */
export const renderTurns = (operation: string, given: unknown, known: number, options: unknown): Checked<Prompt> =>
  renderFrom(operation, given, Math.max(1, known), options)
