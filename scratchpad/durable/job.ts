// STAND-IN until effect-rwkv/RWKVDurable is there.
import { Activity, Workflow } from "@effect/workflow"
import { SqlClient } from "@effect/sql"
import { Console, Effect, Layer, Schema } from "effect"
import { TaskService } from "effect-rwkv"

const prompts = Number(process.env["PROMPTS"] ?? 500)

const Batch = Workflow.make({
  name: "Batch",
  payload: { key: Schema.String, prompts: Schema.Number },
  idempotencyKey: ({ key }) => key
})

const table = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS results (key VARCHAR(255) PRIMARY KEY, text TEXT NOT NULL, deliveries INTEGER NOT NULL DEFAULT 1)`
})

const one = (index: number) =>
  Effect.gen(function*() {
    const tasks = yield* TaskService.TaskService
    const sql = yield* SqlClient.SqlClient
    const id = yield* Activity.make({
      name: `create/${index}`,
      success: Schema.String,
      execute: tasks.create({ prompt: `prompt ${index}`, maxTokens: 100 }).pipe(
        Effect.map(({ id }) => id),
        Effect.orDie
      )
    })
    const text = yield* Activity.make({
      name: `wait/${index}`,
      success: Schema.String,
      execute: tasks.wait(id).pipe(Effect.map(({ text }) => text), Effect.orDie)
    })
    yield* Activity.make({
      name: `sink/${index}`,
      execute: sql`INSERT INTO results (key, text) VALUES (${`prompt ${index}`}, ${text})
        ON CONFLICT (key) DO UPDATE SET deliveries = results.deliveries + 1`.pipe(
        Effect.zipRight(Effect.ignore(tasks.delete(id))),
        Effect.asVoid,
        Effect.orDie
      )
    })
  })

const BatchLayer = Batch.toLayer(({ prompts }) =>
  Effect.forEach(Array.from({ length: prompts }, (_, index) => index), one, { concurrency: 16, discard: true })
)

export const layer = BatchLayer.pipe(Layer.provide(Layer.effectDiscard(Effect.orDie(table))))

export const program = Effect.gen(function*() {
  yield* Console.log(`running, pid ${process.pid}`)
  yield* Batch.execute({ key: "demo", prompts })
  yield* Console.log("done")
})
