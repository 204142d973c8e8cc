import { FetchHttpClient, type HttpClient, HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RWKV, type RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

export const story = "Once upon a time there was a river. 从前有一条河 🌊. ".repeat(8)

const server: Emulator.Options = {
  pulse: 5,
  pollInterval: 5,
  reply: ({ endpoint, text }) =>
    endpoint === "fim"
      ? "return a + b"
      : text.startsWith("Tell")
      ? story
      : text === "endless"
      ? { tokens: ["tick "], end: "loop" }
      : `${text}!`
}

export type Env = RWKV.RWKV | Emulator.Emulator
export type Wiring = (options: Emulator.Options, config: RWKVConfig.Options) => Layer.Layer<Env, unknown>

const overSocket = (client: Layer.Layer<HttpClient.HttpClient>): Wiring => (options, config) =>
  Layer.unwrapEffect(HttpServer.addressWith((address) =>
    Effect.succeed(RWKV.layer({
      ...config,
      baseUrl: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    }))
  )).pipe(
    Layer.provide(client),
    Layer.provideMerge(Emulator.layerServer(options)),
    Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
  )

const inProcess: Wiring = (options, config) => RWKV.layer(config).pipe(Layer.provideMerge(Emulator.layer(options)))

export const wirings: ReadonlyArray<readonly [string, Wiring]> = [
  ["fetch over a socket", overSocket(FetchHttpClient.layer)],
  ["undici over a socket", overSocket(NodeHttpClient.layerUndici)],
  ["in process", inProcess]
]

/** Declares a test against a server of its own. */
export const promising = (wiring: Wiring) =>
<A, E>(
  what: string,
  program: Effect.Effect<A, E, Env>,
  options: Emulator.Options = {},
  config: RWKVConfig.Options = {}
) => it.live(what, () => Effect.provide(program, wiring({ ...server, ...options }, config)))
