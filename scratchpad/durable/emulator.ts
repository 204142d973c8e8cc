// The emulator as a process of its own: `npx tsx scratchpad/durable/emulator.ts`, at PORT (8765 by default).
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

/** Some words more than the prompt has, so that each run takes a second or two. */
const reply = ({ text }: Emulator.PromptRequest) => ({ tokens: [`<${text}>`, ...Array<string>(20).fill(".")] })

const server = Layer.unwrapEffect(Effect.gen(function*() {
  const port = yield* Config.integer("PORT").pipe(Config.withDefault(8765))
  return NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" })
}))

const live = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`an emulator of RWKV-Server is at ${address}`))
).pipe(
  Layer.provideMerge(Emulator.layerServer({ reply, pulse: "50 millis", tokensPerPulse: 1 })),
  Layer.provide(server)
)

NodeRuntime.runMain(Layer.launch(live))
