// The job of both programs: an answer to each of many prompts, in a table of the database that the engine uses too.
import { NodeStream } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Config, Console, Effect, Layer, Stream } from "effect"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"

// The batch names its prompts. A page of them is asked for when their turn comes: from a table, say, or a file.
const source = Layer.succeed(RWKVDurable.Source, {
  page: (source, { limit, offset }) =>
    Effect.succeed(Array.from({ length: limit }, (_, index) => ({
      prompt: `${source} ${offset + index}`,
      maxTokens: 300
    })))
})

// A result may come twice, if a kill comes between its being written and that being recorded: the key makes it one.
const sink = Layer.effect(
  RWKVDurable.Sink,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE IF NOT EXISTS results
      (key VARCHAR(255) PRIMARY KEY, text TEXT NOT NULL, deliveries INTEGER NOT NULL DEFAULT 1)`
    return {
      write: ({ key, text }) =>
        sql`INSERT INTO results (key, text) VALUES (${key}, ${text})
          ON CONFLICT (key) DO UPDATE SET deliveries = results.deliveries + 1`
    }
  })
)

/** Runs batches of this source for this sink. */
export const layer = RWKVDurable.layerBatch.pipe(Layer.provide([source, sink]))

// Closed when it is no longer read, unlike NodeStream.stdin: it would keep the process alive.
const typed = NodeStream.fromReadable(() => process.stdin, () => "no input").pipe(
  Stream.decodeText(),
  Stream.splitLines
)

/** Starts the batch, or joins it, and tells how far it is until it has ended. */
export const program = Effect.gen(function*() {
  const size = yield* Config.integer("PROMPTS").pipe(Config.withDefault(500))
  const batch = yield* RWKVDurable.batch({ key: "demo", source: "prompt", size, inFlight: 16 })
  yield* Console.log(`running as process ${process.pid}: kill -9 ${process.pid}, then start me again. Or type cancel.`)
  yield* typed.pipe(
    Stream.filter((line) => line === "cancel"),
    Stream.runForEach(() => batch.cancel),
    Effect.ignore,
    Effect.fork
  )
  yield* Stream.runForEach(batch.progress(), ({ done, failed }) => Console.log(`${done} of ${size}, ${failed} failed`))
  const { cancelled, done, failed } = yield* batch.wait
  const failures = Stream.filter(batch.failures, ({ reason }) => reason !== "TaskCancelledError")
  yield* Stream.runForEach(failures, ({ index, message, reason }) => Console.log(`${index}: ${reason}: ${message}`))
  yield* Console.log(`${cancelled ? "cancelled" : "done"}: ${done} results, ${failed} failed`)
})
