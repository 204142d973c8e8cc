/**
 * Turns pieces of a reply into parts of a response, which are joined or streamed as blocks.
 */
import { IdGenerator } from "@effect/ai/IdGenerator"
import type * as Response from "@effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { TaskResult } from "../../Protocol.js"
import type { ReplyPart } from "../../RWKVMessage.js"
import type { Choice } from "./choice.js"
import { malformedOutput, type Where } from "./failure.js"

const broken = {
  unclosed: "the answer ended within a tool call",
  json: "a tool call that is no JSON",
  shape: "a tool call without a name and arguments"
}

export const make = (where: Where, check: Choice["check"]) => {
  let called = false

  const piece = Effect.fnUntraced(function*(part: ReplyPart) {
    if (part._tag === "Text") return { type: "text", text: part.text } as const
    if (part._tag === "Reasoning") return { type: "reasoning", text: part.text } as const
    if (part._tag === "MalformedToolCall") return yield* malformedOutput(where, broken[part.reason])
    const params = yield* check(part)
    const id = yield* Effect.flatMap(IdGenerator, (generator) => generator.generateId())
    called = true
    return { type: "tool-call", id, name: part.name, params } as const
  })

  const finish = ({ finishReason, stopSequence, tokensPerSecond, usage }: TaskResult): Response.FinishPartEncoded => {
    const ended = finishReason === "stop-sequence" ? "stop" : finishReason === "cancelled" ? "other" : finishReason
    return {
      type: "finish",
      reason: called && finishReason !== "length" && finishReason !== "cancelled" ? "tool-calls" : ended,
      usage: { inputTokens: undefined, outputTokens: usage.outputTokens, totalTokens: undefined },
      metadata: { rwkv: { finishReason, stopSequence, tokensPerSecond } }
    }
  }

  return { piece, finish }
}

const proseOf = (part: Response.PartEncoded | undefined) =>
  part?.type === "text" || part?.type === "reasoning" ? part : undefined

/** The whole answer: texts of one kind that follow each other are one. */
export const whole = (pieces: Iterable<Response.PartEncoded>): Array<Response.PartEncoded> => {
  const all: Array<Response.PartEncoded> = []
  for (const piece of pieces) {
    const [before, prose] = [proseOf(all.at(-1)), proseOf(piece)]
    if (prose === undefined || prose.type !== before?.type) all.push(piece)
    else all[all.length - 1] = { type: prose.type, text: before.text + prose.text }
  }
  return all
}

/**
 * Streams text and reasoning as blocks. Each is ended before something else begins, also when the stream fails, because
 * histories drop a block without its end.
 */
export const blocks = <E, R>(pieces: Stream.Stream<Response.PartEncoded, E, R>) =>
  Stream.suspend(() => {
    let open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
    let begun = 0

    /** What ends the open block, if there is one. */
    const close = (): ReadonlyArray<Response.StreamPartEncoded> => {
      const ended = open
      open = undefined
      return ended === undefined ? [] : [{ type: `${ended.kind}-end`, id: ended.id }]
    }

    const tell = (part: Response.PartEncoded): ReadonlyArray<Response.StreamPartEncoded> => {
      if (part.type === "text" || part.type === "reasoning") {
        const { text: delta, type: kind } = part
        if (open?.kind === kind) return [{ type: `${kind}-delta`, id: open.id, delta }]
        const ended = close()
        const id = `${begun++}`
        open = { kind, id }
        return [...ended, { type: `${kind}-start`, id }, { type: `${kind}-delta`, id, delta }]
      }
      if (part.type !== "tool-call") return [...close(), part]
      const { id, name, params } = part
      return [
        ...close(),
        { type: "tool-params-start", id, name },
        { type: "tool-params-delta", id, delta: JSON.stringify(params) },
        { type: "tool-params-end", id },
        part
      ]
    }

    return Stream.mapConcat(pieces, tell).pipe(
      Stream.catchAll((error) => Stream.concat(Stream.fromIterable(close()), Stream.fail(error)))
    )
  })
