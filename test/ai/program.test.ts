/** One program of `@effect/ai`, which knows no provider, over two of them. */
import { Chat, LanguageModel, Prompt } from "@effect/ai"
import { expect, it } from "@effect/vitest"
import { Effect, type Layer, Ref, Schema, Stream } from "effect"
import { asG1, type Decision, handlers, openAi, type Question, rwkv, toolkit } from "../support/ai.js"
import * as Clock from "../support/clock.js"

/** What any model of this test decides. */
const decide = ({ json, tools, turns }: Question): Decision => {
  const last = turns.at(-1)
  const said = last?.text ?? ""
  if (json) return { text: "{\"city\": \"Oslo\", \"founded\": \"1048\"}" }
  if (last?.by === "tool") return { text: said.includes("true") ? "Take an umbrella." : `The sum is ${said}.` }
  if (said.includes("rain") && tools.includes("weather")) {
    return { text: "Let me look.", call: { name: "weather", arguments: { city: "Oslo" } } }
  }
  if (said.includes("add") && tools.includes("add")) {
    return { text: "", call: { name: "add", arguments: { a: "1", b: 2 } } }
  }
  if (said.includes("first")) return { text: `You asked: ${turns[0]?.text}` }
  return { text: said.includes("story") ? "Once upon a time there was a river." : "Hello!" }
}

/** Calls the model until it calls no tool, with its history in hand. */
const agent = (question: string) =>
  Effect.gen(function*() {
    let prompt = Prompt.make([
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: question }] }
    ])
    for (let turn = 0; turn < 5; turn++) {
      const response = yield* LanguageModel.generateText({ prompt, toolkit })
      prompt = Prompt.merge(prompt, Prompt.fromResponseParts(response.content))
      if (response.finishReason !== "tool-calls") return { text: response.text, turns: prompt.content.length }
    }
    return yield* Effect.dieMessage("the agent does not come to an end")
  })

const program = Effect.gen(function*() {
  const text = yield* LanguageModel.generateText({ prompt: "Hi" })
  const story = yield* LanguageModel.streamText({ prompt: "Tell me a story" }).pipe(
    Stream.map((part) => part.type === "text-delta" ? part.delta : ""),
    Stream.mkString
  )
  const object = yield* LanguageModel.generateObject({
    prompt: "Which city?",
    schema: Schema.Struct({ city: Schema.NonEmptyString, founded: Schema.NumberFromString })
  })
  const chat = yield* Chat.empty
  const greeting = yield* chat.generateText({ prompt: "Hi there" })
  const parts = yield* Stream.runCollect(chat.streamText({ prompt: "Will it rain?", toolkit }))
  const advice = yield* chat.generateText({ prompt: [], toolkit })
  const memory = yield* chat.generateText({ prompt: "What did I say first?" })
  const history = (yield* Ref.get(chat.history)).content
  return {
    text: text.text,
    reason: text.finishReason,
    story,
    object: object.value,
    sum: yield* agent("Please add 1 and 2"),
    umbrella: yield* agent("Will it rain?"),
    forced: (yield* LanguageModel.generateText({ prompt: "rain", toolkit, toolChoice: { tool: "weather" } }))
      .toolResults
      .map(({ name, result }) => [name, result]),
    greeting: greeting.text,
    types: [...new Set(Array.from(parts, ({ type }) => type))].filter((type) => !type.startsWith("tool-params")),
    advice: advice.text,
    memory: memory.text,
    roles: history.map(({ role }) => role)
  }
}).pipe(Effect.provide(handlers))

const expected = {
  text: "Hello!",
  reason: "stop",
  story: "Once upon a time there was a river.",
  object: { city: "Oslo", founded: 1048 },
  sum: { text: "The sum is 3.", turns: 5 },
  umbrella: { text: "Take an umbrella.", turns: 5 },
  forced: [["weather", { rain: true }]],
  greeting: "Hello!",
  types: ["response-metadata", "text-start", "text-delta", "text-end", "tool-call", "finish", "tool-result"],
  advice: "Take an umbrella.",
  memory: "You asked: Hi there",
  roles: ["user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant"]
}

type AnyProvider = Layer.Layer<LanguageModel.LanguageModel, unknown>

const providers: ReadonlyArray<readonly [name: string, layer: AnyProvider]> = [
  ["a provider in the shape of OpenAI", openAi(decide)],
  ["RWKV-7 G1", rwkv({ reply: asG1(decide) }, { maxTokens: 500 })]
]

it.effect.each(providers)(
  "text, a stream, an object, tools and a chat of several turns run on %s",
  ([, layer]) =>
    Effect.gen(function*() {
      const result = yield* program
      expect({ ...result, types: result.types.toSorted() }).toEqual({ ...expected, types: expected.types.toSorted() })
    }).pipe(Effect.provide(layer), Clock.run())
)
