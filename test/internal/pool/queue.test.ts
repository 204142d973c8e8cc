import { expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { HttpClient, RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Queue from "../../../src/internal/pool/queue.js"
import * as Server from "../../../src/internal/pool/server.js"

const http = Layer.provide(HttpClient.layer, [RWKVConfig.layer(), Emulator.layer()])

const asked = { operation: "test", work: { tokens: 5, prompt: 1 }, bounded: true, returns: false }

it.scoped("a place that is given to who is interrupted at that moment is free again", () =>
  Effect.gen(function*() {
    const client = yield* HttpClient.RWKVHttpClient
    const spec = { name: "a", baseUrl: "http://a:8000" }
    const server = yield* Server.make(spec, client, Schedule.forever, () => undefined)
    let isFull = true
    const queue = Queue.make(
      1,
      Duration.infinity,
      (work) => isFull ? undefined : { server, place: server.tally.place(work) },
      () => undefined
    )
    const waits = Effect.uninterruptibleMask((restore) => queue.place(restore, asked))
    for (const isServedFirst of [true, false]) {
      isFull = true
      const fiber = yield* Effect.fork(waits)
      yield* Effect.yieldNow()
      expect(queue.size()).toBe(1)
      expect(yield* Effect.flip(waits)).toMatchObject({ _tag: "RWKVPoolError", kind: "full" })
      isFull = false
      if (isServedFirst) queue.serve()
      fiber.unsafeInterruptAsFork(fiber.id())
      queue.serve()
      yield* Fiber.await(fiber)
      expect([queue.size(), server.tally.load().running, server.tally.load().outstanding]).toEqual([0, 0, 0])
    }
  }).pipe(Effect.provide(http)))
