// How fast is it? `npx tsx scratchpad/tokens-per-second.ts "Tell me a story"`, at RWKV_BASE_URL.
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { RWKV, TaskService } from "effect-rwkv"

const program = TaskService.run({ prompt: process.argv[2] ?? "Tell me a story", maxTokens: 200 }).pipe(
  Effect.tap(({ finishReason, tokensPerSecond: speed, usage: { outputTokens } }) =>
    Console.log(`${outputTokens ?? "?"} tokens, ${speed?.toFixed(1) ?? "?"} per second, ended by ${finishReason}`)
  )
)
const live = Layer.provide(RWKV.layerConfig(), NodeHttpClient.layerUndici)
NodeRuntime.runMain(Effect.provide(program, live))
