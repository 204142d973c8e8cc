import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { HttpClient } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { make } from "../../../src/internal/pool/endpoints.js"
import * as Tally from "../../../src/internal/pool/tally.js"
import { RWKVConfig } from "effect-rwkv"

const http = Layer.provide(HttpClient.layer, [RWKVConfig.layer(), Emulator.layer()])

it.effect("a place that is taken when its request is interrupted is given back", () =>
  Effect.gen(function*() {
    let interrupt: (() => void) | undefined
    const tally = Tally.make({ name: "a" }, () => {
      interrupt?.()
      interrupt = undefined
    })
    const client = yield* HttpClient.RWKVHttpClient
    const { create, createStream } = make(client, "a", tally, () => undefined)
    const requests = [Effect.asVoid(create({ prompt: "x" })), Stream.runDrain(createStream({ prompt: "x" }))]
    for (const request of requests) {
      const begun = Effect.withFiberRuntime<void, unknown>((fiber) => {
        interrupt = () => fiber.unsafeInterruptAsFork(fiber.id())
        return request
      })
      const fiber = yield* Effect.fork(begun)
      yield* Fiber.await(fiber)
      expect(interrupt).toBe(undefined)
      expect(tally.load()).toMatchObject({ running: 0, outstanding: 0 })
    }
  }).pipe(Effect.provide(http)))
