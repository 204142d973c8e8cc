/**
 * From the prompt of `@effect/ai` to messages of a chat. What a message may hold is checked where it is rendered.
 */
import type { MalformedInput } from "@effect/ai/AiError"
import type * as Prompt from "@effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { malformedInput, type Where } from "./failure.js"

/** Values as JSON has them: a history holds decoded arguments. What JSON cannot hold stays, to be refused. */
const plain = (value: unknown): unknown =>
  Option.getOrElse(
    Option.liftThrowable((): unknown => JSON.parse(JSON.stringify(value) ?? "null"))(),
    () => value
  )

type Part = Prompt.UserMessagePart | Prompt.AssistantMessagePart

const textOf = (parts: ReadonlyArray<Part>, between: string): string =>
  parts.flatMap((part) => part.type === "text" ? [part.text] : []).join(between)

const ofType = <Type extends Part["type"]>(parts: ReadonlyArray<Part>, type: Type) =>
  parts.filter((part): part is Extract<Part, { readonly type: Type }> => part.type === type)

/** Results go by their order in this format, and not by ids. Of calls that were answered in part, only those are told. */
const answered = (calls: ReadonlyArray<Prompt.ToolCallPart>, results: ReadonlyArray<Prompt.ToolResultPart>) => {
  const resultOf = ({ id }: Prompt.ToolCallPart) => results.find((result) => result.id === id)
  const told = results.length === 0 ? calls : calls.filter((call) => resultOf(call) !== undefined)
  return [
    ...told.map(({ name, params }) => ({ _tag: "ToolCall", name, arguments: plain(params) })),
    ...told.flatMap((call) => resultOf(call) ?? []).map(({ isFailure, result }) => ({
      _tag: "ToolResult",
      result: isFailure ? { error: plain(result) } : plain(result)
    }))
  ]
}

/** A prompt without the texts of the system, which are one message here. */
export const messagesOf = (
  where: Where,
  prompt: Prompt.Prompt,
  instructions: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<object>, MalformedInput> =>
  Effect.gen(function*() {
    const all = prompt.content
    const system = all.flatMap((message) => message.role === "system" ? [message.content] : []).concat(instructions)
      .filter((text) => text.trim() !== "")
    const messages: Array<object> = system.length === 0 ? [] : [{ _tag: "System", content: system.join("\n") }]
    const known = new Set<Prompt.ToolResultPart>()
    for (const [index, message] of all.entries()) {
      if (message.role === "system") continue
      if (message.role === "tool") {
        const orphan = message.content.find((part) => !known.has(part))
        if (orphan === undefined) continue
        return yield* malformedInput(where, `a result of ${orphan.name} has no call before it, or another result`)
      }
      const file = ofType(message.content, "file")[0]
      if (file !== undefined) {
        return yield* malformedInput(where, `message ${index} holds a file (${file.mediaType}): the model reads text`)
      }
      if (message.role === "user") {
        messages.push({ _tag: "User", content: textOf(message.content, "\n") })
        continue
      }
      const calls = ofType(message.content, "tool-call")
      const next = all.slice(index + 1).findIndex(({ role }) => role !== "tool")
      const after = all.slice(index + 1, next < 0 ? undefined : index + 1 + next)
      const results = [message, ...after].flatMap(({ content }) =>
        typeof content === "string" ? [] : ofType(content, "tool-result")
      )
      for (const call of calls) {
        const result = results.find(({ id }) => id === call.id)
        if (result !== undefined) known.add(result)
      }
      messages.push({ _tag: "Assistant", content: textOf(message.content, "") }, ...answered(calls, results))
    }
    return messages
  })
