// Servers that come and go under work that goes on: `npx tsx scratchpad/pool.ts`, against three emulators.
import { HttpClient } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Either, Layer, Logger, LogLevel, Queue, Stream } from "effect"
import { TaskService } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"

const server = (name: string) => ({ name, baseUrl: `http://${name}:8000`, capacity: 16 })

const program = Effect.gen(function*() {
  const pulse = "100 millis"
  const cards = new Map<string, Emulator.Service>()
  for (const name of ["red", "green", "blue"]) {
    cards.set(
      name,
      yield* Emulator.make({ pulse, reply: () => "la ".repeat(200) })
    )
  }
  // in real life: FetchHttpClient.layer
  const client = HttpClient.make((request, url) => cards.get(url.hostname)?.httpClient.execute(request) ?? Effect.never)
  const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
  yield* lists.offer([server("red"), server("green")])

  const say = (event: string) => Console.log(`\n${event}`)
  const events = Effect.gen(function*() {
    yield* Effect.zipRight(
      Effect.delay(say("blue joins"), "3 seconds"),
      lists.offer(["red", "green", "blue"].map(server))
    )
    yield* Effect.zipRight(
      Effect.delay(say("red is killed"), "3 seconds"),
      cards.get("red")?.restart("kill") ?? Effect.void
    )
    yield* Effect.zipRight(Effect.delay(say("green drains"), "3 seconds"), lists.offer(["red", "blue"].map(server)))
  })
  const watch = Effect.flatMap(
    RWKVPool.RWKVPool,
    (pool) =>
      Stream.runForEach(pool.figuresEvery(), ({ queued, servers }) =>
        Console.log(
          servers.map(({ health, name, running }) => `${name} ${health} ${running}`).join(", "),
          `- ${queued} wait`
        ))
  )
  const prompts = Array.from({ length: 150 }, (_, index) => ({ prompt: `song ${index}`, maxTokens: 600 }))
  const sung = TaskService.runAll(prompts).pipe(Stream.filter(({ result }) => Either.isRight(result)), Stream.runCount)

  const pool = RWKVPool.layer({ servers: Stream.fromQueue(lists), onServerLost: "replay" })
  const done = yield* sung.pipe(
    Effect.raceFirst(Effect.zipRight(Effect.all([watch, events], { concurrency: "unbounded" }), Effect.never)),
    Effect.provide(Layer.provide(pool, Layer.succeed(HttpClient.HttpClient, client)))
  )
  yield* Console.log(`${done} of ${prompts.length} songs are whole`)
})

NodeRuntime.runMain(Effect.scoped(Logger.withMinimumLogLevel(program, LogLevel.Error)))
