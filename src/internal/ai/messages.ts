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
  readonly parts: Array<Prompt.Part>
}

const messagesOfTurn = (where: Where) => ({ parts, role }: Turn) => {
  const [file] = ofType(parts, "file")
  if (file !== undefined) {
    return malformedInput(where, `a file (${file.mediaType}) is no text, and the model reads text`)
  }
  const [calls, results] = [ofType(parts, "tool-call"), ofType(parts, "tool-result")]
  const resultOf = (call: Prompt.ToolCallPart) => results.find(({ id }) => id === call.id)
  const orphan = results.find((result) => !calls.some((call) => resultOf(call) === result))
  if (orphan !== undefined) return malformedInput(where, `a result of ${orphan.name} has no call that it answers`)
  const text = ofType(parts, "text").map((part) => part.text)
  if (role === "user") return Effect.succeed([{ _tag: "User", content: text.join("\n") }])
  // Results go by their order in this format, and not by ids. Of calls that were answered in part, those are told.
  const told = calls.filter((call) => results.length === 0 || resultOf(call) !== undefined)
  return Effect.succeed([
    { _tag: "Assistant", content: text.join("") },
    ...told.map(({ name, params }) => ({ _tag: "ToolCall", name, arguments: plain(params) })),
    ...told.flatMap((call) => resultOf(call) ?? []).map(({ isFailure, result }) => ({
      _tag: "ToolResult",
      result: isFailure ? { error: plain(result) } : plain(result)
    }))
  ])
}

/** The texts of the system are one message here, and results belong to the turn with their calls. */
export const messagesOf = (where: Where, { content }: Prompt.Prompt, instructions: ReadonlyArray<string>) => {
  const system: Array<string> = []
  const turns: Array<Turn> = []
  for (const message of content) {
    if (message.role === "system") system.push(message.content)
    else if (message.role === "tool" && turns.length > 0) turns.at(-1)?.parts.push(...message.content)
    else turns.push({ role: message.role, parts: [...message.content] })
  }
  const told = [...system, ...instructions].filter((text) => text.trim() !== "").join("\n")
  return Effect.map(Effect.forEach(turns, messagesOfTurn(where)), (messages) => [
    ...told === "" ? [] : [{ _tag: "System", content: told }],
    ...messages.flat()
  ])
}
