/** Programs of `@effect/ai` against the emulator, and a provider in the shape of OpenAI's chat completions. */
import { IdGenerator, LanguageModel, type Prompt, type Response, Tool, Toolkit } from "@effect/ai"
import { Effect, Layer, Option, Schema, Stream } from "effect"
import { RWKV, type RWKVConfig } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "./clock.js"

/** Ids as a counter gives them, from 1 on in each layer. */
const counting = Layer.sync(IdGenerator.IdGenerator, () => {
  let last = 0
  return { generateId: () => Effect.sync(() => `call_${++last}`) }
})

export const rwkv = (
  options: Emulator.Options = {},
  model: RWKVLanguageModel.Config.Service = {},
  config: RWKVConfig.Options = {}
) =>
  RWKVLanguageModel.model(model).pipe(
    Layer.provideMerge(RWKV.layer(config)),
    Layer.provideMerge(Emulator.layer({ pulse: 0, ...options })),
    Layer.provideMerge(counting)
  )

type Env = Layer.Layer.Success<ReturnType<typeof rwkv>>

/** Runs a program against the emulator in virtual time. */
export const asked =
  (...setting: Parameters<typeof rwkv>) => <A, E>(program: Effect.Effect<A, E, Env>): Effect.Effect<A, unknown> =>
    program.pipe(Effect.provide(rwkv(...setting)), Clock.run())

export const Weather = Tool.make("weather", {
  description: "The weather in a city",
  parameters: { city: Schema.String, days: Schema.optional(Schema.Int) },
  success: Schema.Struct({ rain: Schema.Boolean })
})

export const Add = Tool.make("add", {
  parameters: { a: Schema.NumberFromString, b: Schema.Number },
  success: Schema.Number
})

export const toolkit = Toolkit.make(Weather, Add)

/** Handlers that note what was run. */
export const handlersTo = (ran: Array<string>) =>
  toolkit.toLayer({
    weather: ({ city }) => Effect.sync(() => (ran.push(`weather ${city}`), { rain: city === "Oslo" })),
    add: ({ a, b }) => Effect.sync(() => (ran.push(`add ${a} ${b}`), a + b))
  })

export const handlers = handlersTo([])

export const callOf = (name: string, given: object) => JSON.stringify({ name, arguments: given })

export const fenced = (json: string) => `\`\`\`json\n${json}\n\`\`\``

/** What a model is asked, whoever's: turns of texts, and whether JSON is wanted. */
export interface Question {
  readonly turns: ReadonlyArray<{ readonly by: "user" | "assistant" | "tool"; readonly text: string }>
  readonly tools: ReadonlyArray<string>
  readonly json: boolean
}

export interface Decision {
  readonly text: string
  readonly call?: { readonly name: string; readonly arguments: object }
}

/** A model that decides by a script, as RWKV-7 G1 writes it. */
export const asG1 = (decide: (question: Question) => Decision) => ({ text }: Emulator.PromptRequest): string => {
  const json = text.endsWith("```json") && text.includes("JSON Schema")
  const { messages, options } = Option.getOrThrow(RWKVChat.parse(json ? text.slice(0, -" ```json".length) : text))
  const forced = options.toolChoice === "required"
  const decision = decide({
    turns: messages.flatMap((message): Question["turns"] => {
      if (message._tag === "User") return [{ by: "user", text: message.content }]
      if (message._tag === "Assistant") return [{ by: "assistant", text: message.content }]
      return message._tag === "ToolResult" ? [{ by: "tool", text: JSON.stringify(message.result) }] : []
    }),
    tools: options.tools.map(({ name }) => name),
    json
  })
  const call = decision.call === undefined ? "" : callOf(decision.call.name, decision.call.arguments)
  if (json) return `\n${decision.text}\n\`\`\`\n\n`
  if (forced) return `\n${call}\n\`\`\`\n\n`
  return ` ${[decision.text, call === "" ? "" : fenced(call)].filter((part) => part !== "").join("\n")}\n\n`
}

interface Completion {
  readonly id: string
  readonly message: {
    readonly content: string
    readonly tool_calls: ReadonlyArray<{ readonly name: string; readonly arguments: string }>
  }
  readonly finish_reason: "stop" | "tool_calls"
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

/** `POST /v1/chat/completions`, as far as the program below needs it. */
const complete = (decide: (question: Question) => Decision) =>
  Effect.fnUntraced(function*({ prompt, responseFormat, tools }: LanguageModel.ProviderOptions) {
    const turns = prompt.content.flatMap((message): Question["turns"] => {
      if (message.role === "system") return []
      if (message.role === "tool") {
        return message.content.map(({ result }) => ({ by: "tool", text: JSON.stringify(result) }))
      }
      const parts: ReadonlyArray<Prompt.Part> = message.content
      return [{ by: message.role, text: parts.map((part) => part.type === "text" ? part.text : "").join("") }]
    })
    const { call, text } = decide({
      turns,
      tools: tools.map(({ name }) => name),
      json: responseFormat.type === "json"
    })
    const completion: Completion = {
      id: "chatcmpl-1",
      message: {
        content: text,
        tool_calls: call === undefined ? [] : [{ name: call.name, arguments: JSON.stringify(call.arguments) }]
      },
      finish_reason: call === undefined ? "stop" : "tool_calls",
      usage: { prompt_tokens: 10, completion_tokens: text.length }
    }
    const generator = yield* IdGenerator.IdGenerator
    const calls = yield* Effect.forEach(
      completion.message.tool_calls,
      (call) => Effect.map(generator.generateId(), (id) => ({ ...call, id }))
    )
    return { completion, calls }
  })

type Completed = Effect.Effect.Success<ReturnType<ReturnType<typeof complete>>>

const callParts = ({ calls }: Completed) =>
  calls.map((call) => ({
    type: "tool-call" as const,
    id: call.id,
    name: call.name,
    params: Tool.unsafeSecureJsonParse(call.arguments)
  }))

const finishOf = ({ completion: { finish_reason, usage } }: Completed): Response.FinishPartEncoded => ({
  type: "finish",
  reason: finish_reason === "tool_calls" ? "tool-calls" : "stop",
  usage: { inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens, totalTokens: undefined }
})

/** A provider whose server is a script. */
export const openAi = (decide: (question: Question) => Decision) =>
  Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      generateText: (options) =>
        Effect.map(complete(decide)(options), (completed) => [
          { type: "response-metadata", id: completed.completion.id },
          ...(completed.completion.message.content === ""
            ? []
            : [{ type: "text" as const, text: completed.completion.message.content }]),
          ...callParts(completed),
          finishOf(completed)
        ]),
      streamText: (options) =>
        Stream.unwrap(Effect.map(complete(decide)(options), (completed) =>
          Stream.make<Array<Response.StreamPartEncoded>>(
            { type: "response-metadata", id: completed.completion.id },
            { type: "text-start", id: "0" },
            ...Array.from(completed.completion.message.content, (delta) => ({
              type: "text-delta" as const,
              id: "0",
              delta
            })),
            { type: "text-end", id: "0" },
            ...callParts(completed),
            finishOf(completed)
          )))
    })
  ).pipe(Layer.provideMerge(counting))
