/**
 * One call of the model: a prompt is rendered, a task is streamed, and its text is told as parts.
 */
import type { AiError } from "@effect/ai/AiError"
import type { IdGenerator } from "@effect/ai/IdGenerator"
import * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Response from "@effect/ai/Response"
import * as Telemetry from "@effect/ai/Telemetry"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { stops } from "../../RWKVChat.js"
import type * as StreamService from "../../StreamService.js"
import * as format from "../chat/format.js"
import { render } from "../chat/prompt.js"
import * as replies from "../chat/reply.js"
import { type Choice, choose, jsonSchema } from "./choice.js"
import { malformedOutput, operationOf, toAiError, type Where } from "./failure.js"
import { messagesOf } from "./messages.js"
import * as Answer from "./object.js"
import * as Parts from "./parts.js"
import { type Settings, settle, type Settled } from "./settings.js"

export interface Needs {
  readonly streams: StreamService.Service
  readonly baseUrl: string
  /** The settings that hold where they are asked for. */
  readonly settings: Effect.Effect<Settings>
}

/** What does not change if the model is asked again. */
interface Call {
  readonly where: Where
  readonly settled: Settled
  readonly choice: Choice
  readonly messages: ReadonlyArray<object>
  readonly options: LanguageModel.ProviderOptions
}

type PartStream = Stream.Stream<Response.StreamPartEncoded, AiError, IdGenerator>

const prepare = ({ baseUrl, settings }: Needs, method: Where["method"], options: LanguageModel.ProviderOptions) =>
  Effect.gen(function*() {
    const where: Where = { method, baseUrl }
    const given = yield* settings
    const settled = yield* Effect.mapError(settle(operationOf(where), given, options), toAiError(where))
    const choice = yield* choose(where, options)
    const { responseFormat } = options
    const instructions = responseFormat.type === "text" ? [] : [
      Answer.instruction(responseFormat.objectName, yield* jsonSchema(where, "the object", responseFormat.schema))
    ]
    const messages = yield* messagesOf(where, options.prompt, instructions)
    return { where, settled, choice, messages, options }
  })

const answer = ({ streams }: Needs, { choice, messages, options, settled, where }: Call): PartStream =>
  Stream.unwrapScoped(
    Effect.gen(function*() {
      const fail = toAiError(where)
      const { generation, model, stop } = settled
      const think = choice.toolChoice === "required" ? "off" : settled.think
      const reading = { think, toolChoice: choice.toolChoice }
      const rendered = yield* render(operationOf(where), messages, { ...reading, tools: choice.tools })
      const bare = options.responseFormat.type === "json" && choice.toolChoice === "none" && think === "off"
      const prompt = bare ? rendered.prompt + format.forced : rendered.prompt
      const opened = yield* streams.open({ ...generation, prompt }, { stop: [...stops, ...stop] })
      Telemetry.addGenAIAnnotations(options.span, { response: { id: opened.taskId, model } })
      const metadata: Response.ResponseMetadataPartEncoded = {
        type: "response-metadata",
        id: opened.taskId,
        modelId: model,
        timestamp: DateTime.formatIso(yield* DateTime.now)
      }
      const reader = replies.make(reading)
      const teller = Parts.make(where, choice)
      const told = Stream.concat(
        Stream.map(Stream.mapError(opened.text, fail), (text) => reader.push(text)),
        Stream.sync(() => reader.end())
      ).pipe(Stream.mapConcat(identity), Stream.mapConcatEffect(teller.tell))
      const end = Effect.map(opened.finished, (result) => {
        const finish = teller.finish(result)
        Telemetry.addGenAIAnnotations(options.span, {
          response: { finishReasons: [finish.reason] },
          usage: { outputTokens: result.usage.outputTokens }
        })
        return [...teller.close(), finish]
      }).pipe(Effect.mapError(fail), Effect.map(Stream.fromIterable), Stream.unwrap)
      return Stream.concat(Stream.make(metadata), Stream.concat(told, end)).pipe(
        Stream.catchAll((error) => Stream.concat(Stream.fromIterable(teller.close()), Stream.fail(error)))
      )
    }).pipe(Effect.mapError(toAiError(where)))
  )

const collect = (needs: Needs, call: Call) => Effect.map(Stream.runCollect(answer(needs, call)), Parts.whole)

type Answered = Effect.Effect<Array<Response.PartEncoded>, AiError, IdGenerator>

/** Asks again, with the reason, until the object fits. `spent` is what the answers before this one cost. */
const collectObject = (
  needs: Needs,
  call: Call,
  schema: Schema.Schema.Any,
  asked = 0,
  spent: number | undefined = 0
): Answered =>
  Effect.gen(function*() {
    const parts = yield* collect(needs, call)
    if (parts.some(({ type }) => type === "tool-call")) return parts
    const text = parts.map((part) => part.type === "text" ? part.text : "").join("")
    const finish = parts.find((part) => part.type === "finish")
    const tokens = finish?.usage.outputTokens
    const cost = tokens === undefined || spent === undefined ? undefined : spent + tokens
    const found = yield* Effect.either(Answer.check(schema, text))
    if (Either.isLeft(found) && asked < call.settled.objectRepairs) {
      const messages = [...call.messages, ...Answer.again(text, found.left)]
      return yield* collectObject(needs, { ...call, messages }, schema, asked + 1, cost)
    }
    const object = yield* Either.mapLeft(found, (reason) =>
      malformedOutput(call.where, `no object that fits in ${asked + 1} answers; the last one: ${reason}`))
    return parts.flatMap((part): ReadonlyArray<Response.PartEncoded> =>
      part.type === "text" ? [] : part.type !== "finish" ? [part] : [
        { type: "text", text: object },
        { ...part, usage: { ...part.usage, outputTokens: cost } }
      ]
    )
  })

export const make = (needs: Needs): Effect.Effect<LanguageModel.Service> =>
  LanguageModel.make({
    streamText: (options) =>
      Stream.unwrap(Effect.map(prepare(needs, "streamText", options), (call) => answer(needs, call))),
    generateText: (options) => {
      const { responseFormat } = options
      return responseFormat.type === "text"
        ? Effect.flatMap(prepare(needs, "generateText", options), (call) => collect(needs, call))
        : Effect.flatMap(prepare(needs, "generateObject", options), (call) =>
          collectObject(needs, call, responseFormat.schema))
    }
  })
