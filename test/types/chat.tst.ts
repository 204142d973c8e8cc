import type { Effect, Option, Scope } from "effect"
import { Stream } from "effect"
import type { Finish, Generation, RWKVError, StreamService } from "effect-rwkv"
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

  test("sessions need streams and a Scope, and their turns nothing", () => {
    type Made = Effect.Effect<
      RWKVChat.Session,
      RWKVError.RWKVValidationError,
      StreamService.StreamService | Scope.Scope
    >
    expect(RWKVChat.session({ think: "on", generation: RWKVChat.presets.rwkvPip })).type.toBe<Made>()
    expect(RWKVChat.resume({ version: 1, messages: [] })).type.toBe<Made>()
    expect<ReturnType<RWKVChat.Session["send"]>>().type.toBe<Effect.Effect<RWKVChat.Turn, RWKVError.RWKVError>>()
    expect<ReturnType<RWKVChat.Session["stream"]>>().type.toBe<
      Stream.Stream<RWKVChat.ReplyPart, RWKVError.RWKVError>
    >()
    expect<RWKVChat.Turn["finishReason"]>().type.toBe<Finish.FinishReason>()
    expect(RWKVChat.session).type.not.toBeCallableWith({ generation: { seed: 1 } })
    expect(RWKVChat.session).type.not.toBeCallableWith({ strategy: "fork" })
    expect(RWKVChat.resume).type.not.toBeCallableWith({ version: 2, messages: [] })
  })
})
