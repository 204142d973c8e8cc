// The test that docs/chat.md shows, as it shows it: `test/readme.ts` compares.
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"

const ask = (messages: ReadonlyArray<RWKVChat.Message>) =>
  Effect.gen(function*() {
    const prompt = yield* RWKVChat.prompt(messages, { think: "on" })
    const text = yield* Stream.mkString(StreamService.create({ prompt, maxTokens: 500 }))
    return RWKVChat.reply(text, { think: "on" })
  })

const reply = Emulator.chat(({ turn }) => ({ reasoning: "A greeting.", text: `You said ${turn}` }))
const Chats = Layer.provide(RWKV.layer(), Emulator.layer({ reply, pulse: 0 }))

it.effect("answers without its thoughts", () =>
  Effect.gen(function*() {
    const { text } = yield* ask([RWKVChat.user("Hello")])
    assert.strictEqual(text, "You said Hello")
  }).pipe(Effect.provide(Chats)))
