/**
 * One call of the model: renders a prompt, streams a task, and gives its text in pieces.
 */
import type { AiError } from "@effect/ai/AiError"
import type { IdGenerator } from "@effect/ai/IdGenerator"
import * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Response from "@effect/ai/Response"
import * as Telemetry from "@effect/ai/Telemetry"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { stops } from "../../RWKVChat.js"
import type * as StreamService from "../../StreamService.js"
import * as format from "../chat/format.js"
import { render } from "../chat/prompt.js"
import { split } from "../chat/reply.js"
import { choose } from "./choice.js"
import { malformedOutput, operationOf, toAiError, type Where } from "./failure.js"
import { messagesOf } from "./messages.js"
import * as object from "./object.js"
import * as Parts from "./parts.js"
import { type Settings, settle } from "./settings.js"

interface Needs {
  readonly streams: StreamService.Service
  readonly baseUrl: string
  /** The settings with the overrides of the caller. */
  readonly settings: Effect.Effect<Settings>
}

const prepare = (needs: Needs, method: Where["method"], options: LanguageModel.ProviderOptions) =>
  Effect.gen(function*() {
    const where: Where = { method, baseUrl: needs.baseUrl }
    const settling = settle(operationOf(where), yield* needs.settings, options)
    const settled = yield* Effect.mapError(settling, toAiError(where))
    const choice = yield* choose(where, options)
    const { prompt, responseFormat, span } = options
    const isObject = responseFormat.type === "json"
    const instructions = isObject ? [yield* object.instruction(where, responseFormat)] : []
    const messages: ReadonlyArray<object> = yield* messagesOf(where, prompt, instructions)
    return { streams: needs.streams, where, settled, choice, isObject, messages, span }
  })

type Call = Effect.Effect.Success<ReturnType<typeof prepare>>

type Pieces = Stream.Stream<Response.PartEncoded, AiError, IdGenerator>

const answer = ({ choice, isObject, messages, settled, span, streams, where }: Call): Pieces =>
  Stream.unwrapScoped(
    Effect.gen(function*() {
      const { generation, model, stop } = settled
      const { toolChoice, tools } = choice
      const reading = { toolChoice, think: toolChoice === "required" ? "off" : settled.think }
      const rendered = yield* render(operationOf(where), messages, { ...reading, tools })
      // Without thinking and tools the prompt can force JSON, by opening a fence.
      const end = isObject && toolChoice === "none" && reading.think === "off" ? format.forced : ""
      const request = { ...generation, prompt: rendered.prompt + end }
      const opened = yield* streams.open(request, { stop: [...stops, ...stop] })
      const id = opened.taskId
      Telemetry.addGenAIAnnotations(span, { response: { id, model } })
      const timestamp = DateTime.formatIso(yield* DateTime.now)
      const { finish, piece } = Parts.make(where, choice.check)
      const finished = Effect.map(opened.finished, (result) => {
        const part = finish(result)
        const { usage: { outputTokens } } = result
        Telemetry.addGenAIAnnotations(span, { response: { finishReasons: [part.reason] }, usage: { outputTokens } })
        return part
      })
      return Stream.make({ type: "response-metadata", id, modelId: model, timestamp } as const).pipe(
        Stream.concat(Stream.mapEffect(split(opened.text, reading), piece)),
        Stream.concat(finished)
      )
    })
  ).pipe(Stream.mapError(toAiError(where)))

type Answered = Effect.Effect<Array<Response.PartEncoded>, AiError, IdGenerator>

const collect = (call: Call): Answered => Effect.map(Stream.runCollect(answer(call)), Parts.whole)

/** Asks again, with the reason, until the object fits. `spent` is what the answers before this one cost. */
const collectObject = (call: Call, schema: Schema.Schema.Any, asked = 1, spent: number | undefined = 0): Answered =>
  Effect.gen(function*() {
    const parts = yield* collect(call)
    // The answer to a tool call comes later, with the tool's result.
    if (parts.some(({ type }) => type === "tool-call")) return parts
    const text = parts.map((part) => part.type === "text" ? part.text : "").join("")
    const tokens = parts.find((part) => part.type === "finish")?.usage.outputTokens
    const outputTokens = tokens === undefined || spent === undefined ? undefined : spent + tokens
    const found = yield* Effect.either(object.check(schema, text))
    if (Either.isRight(found)) {
      return parts.flatMap((part): Array<Response.PartEncoded> => {
        if (part.type === "text") return []
        if (part.type !== "finish") return [part]
        return [{ type: "text", text: found.right }, { ...part, usage: { ...part.usage, outputTokens } }]
      })
    }
    const reason = found.left
    if (asked > call.settled.objectRepairs) {
      return yield* malformedOutput(call.where, `no object that fits in ${asked} answers; the last one: ${reason}`)
    }
    const messages = [...call.messages, ...object.again(text, reason)]
    return yield* collectObject({ ...call, messages }, schema, asked + 1, outputTokens)
  })

export const make = (needs: Needs): Effect.Effect<LanguageModel.Service> =>
  LanguageModel.make({
    streamText: (options) => Parts.blocks(Stream.unwrap(Effect.map(prepare(needs, "streamText", options), answer))),
    generateText: (options) => {
      const { responseFormat: format } = options
      return format.type === "text"
        ? Effect.flatMap(prepare(needs, "generateText", options), collect)
        : Effect.flatMap(prepare(needs, "generateObject", options), (call) => collectObject(call, format.schema))
    }
  })
