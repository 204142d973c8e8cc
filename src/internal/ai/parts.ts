/**
 * From pieces of a reply to parts of a response. A block of text or reasoning is always ended before something else
 * begins: histories drop a block without its end.
 */
import { IdGenerator } from "@effect/ai/IdGenerator"
import type * as Response from "@effect/ai/Response"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { FinishReason } from "../../Finish.js"
import type { TaskResult } from "../../Protocol.js"
import type { ReplyPart } from "../../RWKVMessage.js"
import type { Choice } from "./choice.js"
import { malformedOutput, type Where } from "./failure.js"

type Parts = ReadonlyArray<Response.StreamPartEncoded>

const broken = {
  unclosed: "the answer ended within a tool call",
  json: "a tool call that is no JSON",
  shape: "a tool call without a name and arguments"
}

const reasonOf = (reason: FinishReason): Response.FinishReason =>
  reason === "stop-sequence" ? "stop" : reason === "cancelled" ? "other" : reason

export const make = (where: Where, { check }: Pick<Choice, "check">) => {
  let open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  let blocks = 0
  let called = false

  /** What ends the open block, if there is one. */
  const close = (): Parts => {
    const ended = open
    open = undefined
    return ended === undefined ? [] : [{ type: `${ended.kind}-end`, id: ended.id }]
  }

  const say = (kind: "text" | "reasoning", delta: string): Parts => {
    if (open?.kind === kind) return [{ type: `${kind}-delta`, id: open.id, delta }]
    const before = close()
    const id = `${blocks++}`
    open = { kind, id }
    return [...before, { type: `${kind}-start`, id }, { type: `${kind}-delta`, id, delta }]
  }

  const tell = Effect.fnUntraced(function*(part: ReplyPart) {
    if (part._tag === "Text") return say("text", part.text)
    if (part._tag === "Reasoning") return say("reasoning", part.text)
    if (part._tag === "MalformedToolCall") return yield* malformedOutput(where, broken[part.reason])
    const { name } = part
    const params = yield* check(part)
    const id = yield* Effect.flatMap(IdGenerator, (generator) => generator.generateId())
    called = true
    const told: Parts = [
      { type: "tool-params-start", id, name },
      { type: "tool-params-delta", id, delta: JSON.stringify(params) },
      { type: "tool-params-end", id },
      { type: "tool-call", id, name, params }
    ]
    return [...close(), ...told]
  })

  const finish = ({ finishReason, stopSequence, tokensPerSecond, usage }: TaskResult): Response.FinishPartEncoded => ({
    type: "finish",
    reason: called && finishReason !== "length" && finishReason !== "cancelled" ? "tool-calls" : reasonOf(finishReason),
    usage: { inputTokens: undefined, outputTokens: usage.outputTokens, totalTokens: undefined },
    metadata: { rwkv: { finishReason, stopSequence, tokensPerSecond } }
  })

  return { close, tell, finish }
}

export const metadata = (id: string, modelId: string | undefined, begun: DateTime.Utc) =>
  ({ type: "response-metadata", id, modelId, timestamp: DateTime.formatIso(begun) }) as const

/** The parts of a stream as those of a whole answer. */
export const whole = (parts: Iterable<Response.StreamPartEncoded>): Array<Response.PartEncoded> => {
  const all: Array<Response.PartEncoded> = []
  for (const part of parts) {
    const last = all.at(-1)
    if (part.type === "text-start") all.push({ type: "text", text: "" })
    if (part.type === "reasoning-start") all.push({ type: "reasoning", text: "" })
    if (part.type === "tool-call" || part.type === "response-metadata" || part.type === "finish") all.push(part)
    if (part.type !== "text-delta" && part.type !== "reasoning-delta") continue
    if (last?.type === "text" || last?.type === "reasoning") {
      all[all.length - 1] = { type: last.type, text: last.text + part.delta }
    }
  }
  return all
}

/** With an object for the text, and the cost of all answers. */
export const withObject = (
  parts: ReadonlyArray<Response.PartEncoded>,
  text: string,
  outputTokens: number | undefined
) =>
  parts.flatMap((part): ReadonlyArray<Response.PartEncoded> =>
    part.type === "text" ? [] : part.type !== "finish" ? [part] : [
      { type: "text", text },
      { ...part, usage: { ...part.usage, outputTokens } }
    ]
  )
