// A proxy that streams to browsers, one POST a run: `PORT=3000 npx tsx scratchpad/sse-proxy.ts`, with RWKV_BASE_URL.
import { HttpRouter, HttpServer, HttpServerRequest } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schema } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import * as EventResponse from "effect-rwkv/EventResponse"
import { createServer } from "node:http"

const generate = Effect.gen(function*() {
  const { prompt } = yield* HttpServerRequest.schemaBodyJson(Schema.Struct({ prompt: Schema.NonEmptyString }))
  return yield* EventResponse.make(StreamService.open({ prompt }))
})

const server = NodeHttpServer.layerConfig(createServer, { port: Config.withDefault(Config.integer("PORT"), 3000) })
const model = Layer.provide(RWKV.layerConfig(), NodeHttpClient.layerUndici)
const app = HttpServer.serve(HttpRouter.post(HttpRouter.empty, "/generate", generate))
NodeRuntime.runMain(Layer.launch(Layer.provide(app, [server, model])))
