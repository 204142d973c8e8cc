// One machine: `npx tsx scratchpad/durable/one.ts`. All that it has to remember is in one file, DATABASE.
import { NodeRuntime } from "@effect/platform-node"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Config, Effect, Layer } from "effect"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import { layer, program } from "./job.js"
import * as Server from "./server.js"

// In WAL mode, as this driver has it.
const database = SqliteClient.layerConfig({
  filename: Config.string("DATABASE").pipe(Config.withDefault("durable.db"))
})

const engine = RWKVDurable.layerSingle().pipe(Layer.provideMerge(database))

NodeRuntime.runMain(program.pipe(Effect.provide(Layer.provideMerge(layer, Layer.merge(engine, Server.layer)))))
