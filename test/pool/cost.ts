/**
 * What a pool of one server costs beside no pool: CPU for the same streams, in turns, against answers that are there at
 * once and cost next to nothing, so that it is the client's.
 */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
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

const frames = Array.from({ length: 25 }, (_, index) => `data: {"data":"text ${index} "}\n\n`)

const whole = Array.from({ length: 25 }, (_, index) => `text ${index} `).join("")

/** A server with nothing behind it. */
const client = HttpClient.make((request, url) =>
  Effect.sync(() => {
    const [, , , id = "", verb] = url.pathname.split("/")
    const task = {
      task_id: verb === undefined ? `TMP_${tasks++}` : decodeURIComponent(id),
      prefill_time: 0.1,
      speed: 1
    }
    const answer = (body: object) =>
      new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } })
    if (verb === "stream") {
      const head = `data: ${JSON.stringify({ ...task, status: 2 })}\n\n`
      const all = [head, ...frames, "data: [DONE]\n\n"]
      return HttpClientResponse.fromWeb(
        request,
        new Response(all.join(""), { headers: { "content-type": "text/event-stream" } })
      )
    }
    const response = verb === "status" || verb === "stop" || verb === "delete"
      ? answer({ ...task, status: 3, generated_buf: 25 })
      : answer({ ...task, result: verb === undefined ? "" : whole, finished: verb !== undefined, gen_time: 1 })
    return HttpClientResponse.fromWeb(request, response)
  })
)
let tasks = 0

const program = Effect.gen(function*() {
  const http = Layer.succeed(HttpClient.HttpClient, client)
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
