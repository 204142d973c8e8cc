/** What stands on the services works over a pool as it does over one server. */
import { LanguageModel } from "@effect/ai"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { Emulator } from "effect-rwkv/testing"
import { emulator, pool, start } from "./cluster.js"

const talk: Emulator.Options = {
  pulse: 0,
  reply: Emulator.chat(({ messages, turn }) => `message ${messages.length}: ${turn}`)
}

const servers = { a: { ...talk, seed: 1 }, b: { ...talk, seed: 2 } }

it.scopedLive("a chat goes on with its task on the server that has it, and leaves nothing there", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    yield* Effect.gen(function*() {
      const session = yield* RWKVChat.session({ strategy: "continue", generation: { maxTokens: 200 } })
      expect((yield* session.send("Hi")).reply.text).toBe("message 1: Hi")
      const second = yield* session.send("And?")
      expect([second.strategy, second.reply.text]).toEqual(["continue", "message 3: And?"])
    }).pipe(Effect.scoped, Effect.provide(pool(cluster)))
    for (const name of ["a", "b"]) expect(yield* emulator(cluster, name).tasks).toEqual([])
  }))

it.scopedLive("a language model answers", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    const model = Layer.provide(RWKVLanguageModel.layer({ maxTokens: 200 }), pool(cluster))
    const { text } = yield* Effect.provide(LanguageModel.generateText({ prompt: "Hi" }), model)
    expect(text).toContain("Hi")
  }))
