// An emulator of RWKV-Server as a process of its own, for programs that are killed. It ends when nobody asks any more.
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

/** A second or two each. */
const reply = ({ text }: Emulator.PromptRequest) => ({ tokens: [`<${text}>`, ...Array<string>(30).fill(".")] })

const live = Emulator.layerServer({ reply, pulse: "50 millis", tokensPerPulse: 1 }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 38_765, host: "127.0.0.1" }))
)

const idle = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  yield* emulator.clearRequests
  yield* Effect.sleep("5 minutes")
  return (yield* emulator.requests).length === 0
})

const program = Effect.gen(function*() {
  yield* HttpServer.addressFormattedWith((address) => Console.log(`an emulator of RWKV-Server, at ${address}`))
  yield* Effect.repeat(idle, { until: (idle) => idle })
})

NodeRuntime.runMain(Effect.provide(program, live))
