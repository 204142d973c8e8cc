// An agent with a tool: `npx tsx scratchpad/agent.ts "Will it rain in Oslo?"`. Without RWKV_BASE_URL a script answers.
import { Chat, Tool, Toolkit } from "@effect/ai"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { RWKV } from "effect-rwkv"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { Emulator } from "effect-rwkv/testing"

const weather = Tool.make("weather", {
  description: "The weather in a city",
  parameters: { city: Schema.String },
  success: Schema.Struct({ rain: Schema.Boolean })
})
const toolkit = Toolkit.make(weather)
const handlers = toolkit.toLayer({ weather: ({ city }) => Effect.succeed({ rain: city === "Oslo" }) })

const agent = (question: string) =>
  Effect.gen(function*() {
    const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }])
    let answer = yield* chat.generateText({ prompt: question, toolkit })
    for (let turn = 0; turn < 5 && answer.finishReason === "tool-calls"; turn++) {
      yield* Console.log("tool:", JSON.stringify(answer.toolResults.map(({ result }) => result)))
      answer = yield* chat.generateText({ prompt: [], toolkit })
    }
    yield* Console.log(answer.text)
  })

const call = " ```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n```"
const script = Emulator.layer({ reply: ({ text }) => text.includes("Function output") ? " Yes, it will." : call })
const server = Config.string("RWKV_BASE_URL").pipe(
  Effect.as(NodeHttpClient.layerUndici),
  Effect.orElseSucceed(() => script)
)
const model = RWKVLanguageModel.model({ maxTokens: 500 }).pipe(
  Layer.provide(RWKV.layerConfig()),
  Layer.provide(Layer.unwrapEffect(server))
)
NodeRuntime.runMain(Effect.provide(agent(process.argv[2] ?? "Will it rain in Oslo?"), [handlers, model]))
