/**
 * From the prompt of `@effect/ai` to messages of a chat. What a message may hold is checked where it is rendered.
 */
import type * as Prompt from "@effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { malformedInput, type Where } from "./failure.js"

/** Values as JSON has them: a history holds decoded arguments. What JSON cannot hold stays, to be refused. */
const plain = (value: unknown): unknown =>
  Option.getOrElse(Option.liftThrowable((): unknown => JSON.parse(JSON.stringify(value) ?? "null"))(), () => value)

const ofType = <Type extends Prompt.Part["type"]>(parts: ReadonlyArray<Prompt.Part>, type: Type) =>
  parts.filter((part): part is Extract<Prompt.Part, { readonly type: Type }> => part.type === type)

interface Turn {
  readonly role: "user" | "assistant" | "tool"
  readonly parts: ReadonlyArray<Prompt.Part>
  readonly results: Array<Prompt.ToolResultPart>
}

const messagesOfTurn = ({ parts, results, role }: Turn): ReadonlyArray<object> => {
  const text = ofType(parts, "text").map((part) => part.text)
  if (role === "user") return [{ _tag: "User", content: text.join("\n") }]
  // Results go by their order in this format, and not by ids. Of calls that were answered in part, those are told.
  const calls = ofType(parts, "tool-call").map((call) => ({ call, result: results.find(({ id }) => id === call.id) }))
    .filter(({ result }) => results.length === 0 || result !== undefined)
  return [
    { _tag: "Assistant", content: text.join("") },
    ...calls.map(({ call }) => ({ _tag: "ToolCall", name: call.name, arguments: plain(call.params) })),
    ...calls.flatMap(({ result }) => result ?? []).map(({ isFailure, result }) => ({
      _tag: "ToolResult",
      result: isFailure ? { error: plain(result) } : plain(result)
    }))
  ]
}

/** The texts of the system are one message here. */
export const messagesOf = (where: Where, { content }: Prompt.Prompt, instructions: ReadonlyArray<string>) => {
  const turns: Array<Turn> = []
  for (const { content: parts, role } of content) {
    if (role === "system" || typeof parts === "string") continue
    if (role !== "tool" || turns.length === 0) turns.push({ role, parts, results: [] })
    turns.at(-1)?.results.push(...ofType(parts, "tool-result"))
  }
  const system = content.flatMap((message) => message.role === "system" ? [message.content] : []).concat(instructions)
    .filter((text) => text.trim() !== "").join("\n")
  const file = turns.flatMap(({ parts }) => ofType(parts, "file"))[0]
  if (file !== undefined) {
    return malformedInput(where, `a file (${file.mediaType}) is no text, and the model reads text`)
  }
  const orphan =
    turns.flatMap(({ parts, results }) =>
      results.filter(({ id }, index) =>
        !ofType(parts, "tool-call").some((call) => call.id === id) || results.findIndex((one) => one.id === id) < index
      )
    )[0]
  if (orphan !== undefined) return malformedInput(where, `a result of ${orphan.name} has no call that it answers`)
  return Effect.succeed([
    ...system === "" ? [] : [{ _tag: "System", content: system }],
    ...turns.flatMap(messagesOfTurn)
  ])
}
