/**
 * Turns a prompt of `@effect/ai` into messages of a chat. `render` checks their contents.
 */
import type * as Prompt from "@effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { malformedInput, type Where } from "./failure.js"

/** A value as JSON holds it, for a history has decoded arguments. What JSON cannot hold is left, to be refused. */
const asJson = (value: unknown): unknown =>
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
  // The format pairs calls and results by order, not by id, so calls without a result are left out if others have one.
  const kept = calls.filter((call) => results.length === 0 || resultOf(call) !== undefined)
  return Effect.succeed([
    { _tag: "Assistant", content: text.join("") },
    ...kept.map(({ name, params }) => ({ _tag: "ToolCall", name, arguments: asJson(params) })),
    ...kept.flatMap((call) => resultOf(call) ?? []).map(({ isFailure, result }) => ({
      _tag: "ToolResult",
      result: isFailure ? { error: asJson(result) } : asJson(result)
    }))
  ])
}

/** Joins the system's texts to one message, and puts results into the turn of their calls. */
export const messagesOf = (where: Where, { content }: Prompt.Prompt, instructions: ReadonlyArray<string>) => {
  const system: Array<string> = []
  const turns: Array<Turn> = []
  for (const message of content) {
    if (message.role === "system") system.push(message.content)
    else if (message.role === "tool" && turns.length > 0) turns.at(-1)?.parts.push(...message.content)
    else turns.push({ role: message.role, parts: [...message.content] })
  }
  const systemText = [...system, ...instructions].filter((text) => text.trim() !== "").join("\n")
  return Effect.map(Effect.forEach(turns, messagesOfTurn(where)), (messages) => [
    ...systemText === "" ? [] : [{ _tag: "System", content: systemText }],
    ...messages.flat()
  ])
}
