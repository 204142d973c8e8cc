/** What programs without Effect leave behind over real sockets: nothing, however they leave. */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import { type Client, createClient } from "effect-rwkv/promise"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { endless, eventually, rejection, says } from "../support/promises.js"

const server = createServer()

const serving = Emulator.layerServer({
  pulse: 10,
  pollInterval: 10,
  maxBatchSize: 16,
  profile: "documented",
  reply: ({ text }) => text.includes("endless") ? { tokens: ["tick "], end: "loop" } : "Hello"
}).pipe(Layer.provideMerge(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })))

const sockets = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const mine = new Error("mine")

/** Each leaves a stream in its own way, and is referred to by nobody then. */
const leavings: ReadonlyArray<(client: Client, made: (stream: object) => void) => Promise<void>> = [
  async (client, made) => {
    const stream = client.stream(endless)
    made(stream)
    for await (const _ of stream) break
  },
  async (client, made) => {
    const abort = new AbortController()
    const stream = client.stream(endless, { signal: abort.signal })
    made(stream)
    const loop = async () => {
      for await (const _ of stream) abort.abort(mine)
    }
    expect(await rejection(loop())).toBe(mine)
  },
  async (client, made) => {
    const stream = client.stream(endless)
    made(stream)
    const loop = async () => {
      for await (const _ of stream) throw mine
    }
    expect(await rejection(loop())).toBe(mine)
  },
  async (client, made) => {
    await using run = await client.open(endless)
    made(run)
    await run.text[Symbol.asyncIterator]().next()
  },
  async (client, made) => {
    const reader = client.stream(endless).toReadableStream().getReader()
    made(reader)
    await reader.read()
    await reader.cancel()
  },
  async (client, made) => {
    await using chat = await client.chat()
    made(chat)
    const abort = new AbortController()
    const loop = async () => {
      for await (const _ of chat.stream("endless", { signal: abort.signal })) abort.abort(mine)
    }
    expect(await rejection(loop())).toBe(mine)
    for await (const _ of chat.stream("endless")) break
    void rejection(chat.send("endless"))
  },
  async (client, made) => {
    const run = client.generate(endless, { signal: AbortSignal.timeout(10) })
    made(run)
    expect(await rejection(run)).toMatchObject({ name: "TimeoutError" })
  }
]

it("280 leavings, 40 of each kind, leave no task, no socket and no memory", { timeout: 120_000 }, async () => {
  const unhandled: Array<unknown> = []
  const note = (reason: unknown) => void unhandled.push(reason)
  process.on("unhandledRejection", note)
  const runtime = ManagedRuntime.make(serving)
  const emulator = await runtime.runPromise(Emulator.Emulator)
  const { address } = await runtime.runPromise(HttpServer.HttpServer)
  const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
  const running = () => Effect.runPromise(emulator.running)
  const client = createClient({ baseUrl })
  let collected = 0
  let made = 0
  const registry = new FinalizationRegistry<undefined>(() => void collected++)
  const watch = (value: object) => {
    made++
    registry.register(value, undefined)
  }
  try {
    for (const leave of leavings) {
      await Promise.all(Array.from({ length: 8 }, async () => {
        for (let turn = 0; turn < 5; turn++) await leave(client, watch)
      }))
    }
    await eventually(async () => await running() === 0 && await Effect.runPromise(emulator.openStreams) === 0)
    await client.generate(says)
    await client.close()
    const second = createClient({ baseUrl })
    const open = await Promise.all(Array.from({ length: 16 }, async () => {
      const iterator = second.stream(endless)[Symbol.asyncIterator]()
      await iterator.next()
      return iterator
    }))
    await second.close()
    expect(open.length).toBe(16)
    await eventually(async () => await running() === 0 && await Effect.runPromise(emulator.openStreams) === 0)
    // What the runtime's fetch keeps alive for reuse is idle.
    server.closeIdleConnections()
    await eventually(async () => await sockets() === 0)
    expect(made).toBe(280)
    await eventually(() => {
      collect()
      return collected > made * 0.95
    })
    expect(unhandled).toEqual([])
  } finally {
    process.off("unhandledRejection", note)
    await client.close()
    await runtime.dispose()
  }
})
