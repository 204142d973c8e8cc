import type { Effect, Option } from "effect"
import { Stream } from "effect"
import type { Generation, RWKVError } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { describe, expect, test } from "tstyche"

describe("RWKVChat", () => {
  test("prompts fail with a validation error alone", () => {
    expect(RWKVChat.prompt([RWKVChat.user("Hi")], { think: "on" })).type.toBe<
      Effect.Effect<string, RWKVError.RWKVValidationError>
    >()
    expect(RWKVChat.promptWithChanges([])).type.toBe<
      Effect.Effect<RWKVChat.Prompt, RWKVError.RWKVValidationError>
    >()
    expect(RWKVChat.parse("")).type.toBe<Option.Option<RWKVChat.Parsed>>()
  })

  test("replies fail as their texts do", () => {
    const text: Stream.Stream<string, "cut", "service"> = Stream.fail("cut")
    expect(RWKVChat.replyStream(text)).type.toBe<Stream.Stream<RWKVChat.ReplyPart, "cut", "service">>()
    expect(text.pipe(RWKVChat.replyStream({ think: "on" }))).type.toBe<
      Stream.Stream<RWKVChat.ReplyPart, "cut", "service">
    >()
    expect(RWKVChat.reply("")).type.toBe<RWKVChat.Reply>()
  })

  test("options of a prompt are options of its reply, modes are named, presets are options of a request", () => {
    expect<RWKVChat.ReplyOptions>().type.toBeAssignableFrom<RWKVChat.PromptOptions>()
    expect(RWKVChat.prompt).type.not.toBeCallableWith([], { think: true })
    expect<Generation.GenerationOptions>().type.toBeAssignableFrom<(typeof RWKVChat.presets)["chatRWKV"]>()
  })
})
