// Many machines: `npx tsx scratchpad/durable/many.ts` on each, at one PostgreSQL, DATABASE_URL. Each has an ADDRESS and
// a PORT where the others find it. The first one starts the batch; the others join it, and share its work.
import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { NodeClusterSocket, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Option } from "effect"
import { layer, program } from "./job.js"
import * as Server from "./server.js"

const database = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })

const runner = Layer.unwrapEffect(Effect.gen(function*() {
  const host = yield* Config.string("ADDRESS").pipe(Config.withDefault("127.0.0.1"))
  const port = yield* Config.integer("PORT").pipe(Config.withDefault(34_431))
  const runnerAddress = Option.some(RunnerAddress.make(host, port))
  return NodeClusterSocket.layer({ storage: "sql", shardingConfig: { runnerAddress } })
}))

const engine = ClusterWorkflowEngine.layer.pipe(Layer.provide(runner), Layer.provideMerge(database))

NodeRuntime.runMain(program.pipe(Effect.provide(Layer.provideMerge(layer, Layer.merge(engine, Server.layer)))))
