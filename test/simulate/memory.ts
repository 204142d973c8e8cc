/** What the client holds: measured on the heap, with servers behind it that never say anything. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { Effect, Fiber, Layer, Logger, LogLevel, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Client } from "./client.js"

setFlagsFromString("--expose-gc")

const collect: () => void = runInNewContext("gc")

/** Bytes, once garbage is gone. */
const heap = Effect.sync(() => {
  collect()
  collect()
  return process.memoryUsage().heapUsed
})

let created = 0

const silent = HttpClient.make((request) =>
  Effect.sync(() => {
    if (request.method === "GET") {
      const headers = { "content-type": "text/event-stream; charset=utf-8" }
      return HttpClientResponse.fromWeb(request, new Response(new ReadableStream(), { headers }))
    }
    const id = `TMP_${(++created).toString(16).padStart(32, "0")}`
    const answer = { task_id: id, result: "", prefill_time: 0.1, gen_time: 0, speed: 0, finished: false }
    return HttpClientResponse.fromWeb(
      request,
      new Response(JSON.stringify(answer), {
        headers: { "content-type": "application/json" }
      })
    )
  })
)

const request = { prompt: "x".repeat(400), maxTokens: 256 }

const open = (count: number) =>
  Effect.gen(function*() {
    const streams = yield* StreamService.StreamService
    const fibers = yield* Effect.forEach(
      Array.from({ length: count }),
      () => Effect.fork(Stream.runDrain(streams.createEvents(request)))
    )
    yield* Effect.sleep("1 second")
    return fibers
  })

/** Bytes of one run that is followed, sockets apart. */
export const ofRun = (): Promise<number> => {
  const [few, more] = [200, 1000]
  return Effect.gen(function*() {
    const fibers = yield* open(few)
    const before = yield* heap
    fibers.push(...yield* open(more))
    const after = yield* heap
    yield* Fiber.interruptAll(fibers)
    return (after - before) / more
  }).pipe(
    Effect.provide(Layer.provide(
      RWKV.layer({ closeTimeout: 1 }),
      Layer.succeed(HttpClient.HttpClient, silent)
    )),
    Effect.scoped,
    // Each of the runs that are left says so.
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.runPromise
  )
}

/** Bytes that the policy holds for one server. */
export const ofServer = (): number => {
  const servers = Array.from({ length: 10_000 }, () => ({ weight: undefined, capacity: 256, keeps: 256 }))
  const before = Effect.runSync(heap)
  const client = new Client({ seed: 1, way: "pool", servers, send: () => undefined })
  const bytes = (Effect.runSync(heap) - before) / servers.length
  return client.loads.length > 0 ? bytes : 0
}
