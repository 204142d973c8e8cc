/**
 * A chat on one task, continued or forked turn by turn and cut by max_tokens anywhere: the emulator knows the messages that the
 * program knows. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Layer, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"
import { renderTurns } from "../../src/internal/chat/prompt.js"
import { write } from "../../src/internal/chat/write.js"
import { call, hostile, modes, numRuns } from "../support/chat.js"

const turn = fc.record({
  said: hostile.filter((text) => text.trim() !== ""),
  options: fc.oneof(fc.record({ think: fc.constantFrom(...modes) }), fc.constant({ toolChoice: "required" as const })),
  reply: fc.record({ reasoning: hostile, text: hostile, toolCalls: fc.array(call, { maxLength: 2 }) }),
  /** Characters of the reply that `max_tokens` lets pass; undefined for all of it. */
  kept: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
  end: fc.constantFrom("user", "eos" as const),
  fork: fc.boolean()
})

const sizeOf = (text: string) => new TextEncoder().encode(text).length

const tools: ReadonlyArray<RWKVChat.Tool> = [{ name: "f", description: "", arguments: {} }]

describe("chats on one task", () => {
  it.effect.prop("are the messages that the program knows", {
    turns: fc.array(turn, { minLength: 1, maxLength: 5 }),
    profile: fc.constantFrom("current" as const, "documented" as const)
  }, ({ profile, turns }) => {
    const chats: Array<Emulator.Chat> = []
    let next: Emulator.Said
    const reply = Emulator.chat((chat) => {
      chats.push(chat)
      return next
    })
    return Effect.gen(function*() {
      let history: ReadonlyArray<RWKVChat.Message> = []
      let id = ""
      let gap = ""
      const texts: Array<string> = []
      for (const { end, fork, kept, options, reply, said } of turns) {
        const given = { ...options, tools }
        const all = [...history, RWKVChat.user(said)]
        const written = write(reply, options)
        next = end === "user"
          ? reply
          : { tokens: Array.from(new TextEncoder().encode(written), (byte) => Uint8Array.of(byte)) }
        const maxTokens = kept === undefined ? 4000 : Math.max(1, sizeOf(Array.from(written).slice(0, kept).join("")))
        const { messages, prompt } = id === ""
          ? yield* RWKVChat.promptWithChanges(all, given)
          : yield* renderTurns("test", all, history.length, given)
        const request = { prompt: gap + prompt, maxTokens }
        const run = id === ""
          ? yield* StreamService.open(request, { cleanup: "keep" })
          : fork
          ? yield* StreamService.openFork(id, request, { cleanup: "keep" })
          : yield* StreamService.openContinue(id, request)
        const text = yield* Stream.mkString(run.text)
        id = run.taskId
        const heard = [...history, ...messages]
        const chat = chats.at(-1)
        expect(chat?.messages).toEqual(heard)
        expect(chat?.options).toEqual({ think: "off", toolChoice: "auto", ...given })
        expect(chat?.request.before.map(({ text }) => text)).toEqual(texts)
        history = [...heard, ...RWKVChat.replyMessages(RWKVChat.reply(text, options))]
        texts.push(text)
        const { finishReason } = yield* run.finished
        gap = finishReason === "length" ? "\n\n".slice(/\n{0,2}$/.exec(text)?.[0].length) : ""
      }
      expect(chats).toHaveLength(turns.length)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RWKV.layer(), Emulator.layer({ pulse: 0, profile, reply })))
    )
  }, { fastCheck: { numRuns: Math.ceil(numRuns / 5) } })
})
