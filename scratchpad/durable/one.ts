import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import { RWKV } from "effect-rwkv"
import { layer, program } from "./job.js"

const filename = process.env["DATABASE"] ?? "durable.db"

const engine = ClusterWorkflowEngine.layer.pipe(
  Layer.provideMerge(SingleRunner.layer()),
  Layer.provideMerge(SqliteClient.layer({ filename }))
)

NodeRuntime.runMain(
  program.pipe(Effect.provide(layer.pipe(
    Layer.provideMerge(engine),
    Layer.provideMerge(RWKV.layerConfig()),
    Layer.provide(NodeHttpClient.layerUndici)
  )))
)
