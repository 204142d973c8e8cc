/** What a pool of one server costs beside no pool: CPU for the same runs against an emulator in the process, in turns. */
import { HttpClient } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as RWKVPool from "effect-rwkv/RWKVPool"

const [runs = 400, rounds = 7] = process.argv.slice(2).map(Number)

const baseUrl = "http://one:8000"

const work = Stream.range(1, runs).pipe(
  Stream.mapEffect(
    (index) => Stream.runDrain(StreamService.create({ prompt: `${index}`, maxTokens: 200 })),
    { concurrency: 64, unordered: true }
  ),
  Stream.runDrain
)

const cpu = Effect.sync(() => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
})

const program = Effect.gen(function*() {
  const emulator = yield* Emulator.make({
    pulse: 0,
    tokensPerPulse: 8,
    reply: () => "a text of some length. ".repeat(8)
  })
  const http = Layer.succeed(HttpClient.HttpClient, emulator.httpClient)
  const layers = {
    none: Effect.provide(work, Layer.provide(RWKV.layer({ baseUrl }), http)),
    pool: Effect.provide(work, Layer.provide(RWKVPool.layer({ servers: [{ name: "one", baseUrl }] }), http))
  }
  const spent = { none: Array<number>(), pool: Array<number>() }
  for (let round = -1; round < rounds; round++) {
    for (const key of ["none", "pool"] as const) {
      const before = yield* cpu
      yield* layers[key]
      const after = yield* cpu
      if (round >= 0) spent[key].push(after - before)
    }
  }
  const median = (times: ReadonlyArray<number>) => times.slice().sort((a, b) => a - b)[times.length >> 1] ?? NaN
  const [none, pool] = [median(spent.none), median(spent.pool)]
  yield* Console.log(
    `${runs} streams: ${none.toFixed(0)} ms without, ${pool.toFixed(0)} ms with a pool of one: ${
      (pool / none).toFixed(3)
    }`
  )
})

NodeRuntime.runMain(Effect.scoped(program))
