import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { NodeClusterSocket, NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Option } from "effect"
import { RWKV } from "effect-rwkv"
import { layer, program } from "./job.js"

const runner = Layer.unwrapEffect(
  Effect.gen(function*() {
    const port = yield* Config.integer("PORT").pipe(Config.withDefault(34431))
    const host = yield* Config.string("ADDRESS").pipe(Config.withDefault("127.0.0.1"))
    const runnerAddress = Option.some(RunnerAddress.make(host, port))
    return NodeClusterSocket.layer({ storage: "sql", shardingConfig: { runnerAddress } })
  })
)

const engine = ClusterWorkflowEngine.layer.pipe(
  Layer.provideMerge(runner),
  Layer.provideMerge(PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") }))
)

NodeRuntime.runMain(
  program.pipe(Effect.provide(layer.pipe(
    Layer.provideMerge(engine),
    Layer.provideMerge(RWKV.layerConfig()),
    Layer.provide(NodeHttpClient.layerUndici)
  )))
)
