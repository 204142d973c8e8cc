import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { data, frames, json, post, tick } from "../../support/emulator.js"

describe("reply", () => {
  it.scoped("is told the endpoint, the id, the text, the ids and max_tokens", () =>
    Effect.gen(function*() {
      const seen: Array<Emulator.PromptRequest> = []
      const emulator = yield* Emulator.make({
        defaultMaxTokens: 9,
        reply: (request) => {
          seen.push(request)
          return "ok"
        }
      })
      const made = yield* json(post(emulator, "/v1/tasks/create", { prompt: "hi" }))
      yield* post(emulator, "/v1/tasks/tmp", { prompt: [105, 106, 40_000], max_tokens: 3 })
      yield* post(emulator, "/v1/tasks/fim", { prefix: "a", suffix: "b" })
      yield* tick(1000)
      yield* post(emulator, `/v1/tasks/${made.task_id}/continue`, { prompt: "more" })
      expect(seen).toMatchObject([
        { endpoint: "create", taskId: made.task_id, text: "hi", tokens: undefined, maxTokens: 9 },
        { endpoint: "tmp", text: "hi", tokens: [105, 106, 40_000], maxTokens: 3 },
        { endpoint: "fim", text: "✿prefix✿✿suffix✿b✿middle✿a" },
        { endpoint: "continue", taskId: made.task_id, text: "more" }
      ])
    }))

  it.scoped("a string is one token a byte, a script fixes the tokens and the end", () =>
    Effect.gen(function*() {
      const scripts: Readonly<Record<string, Emulator.Script | string>> = {
        text: "é!",
        tokens: { tokens: ["ab", "c", Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac)] },
        loop: { tokens: ["x", "y"], end: "loop" },
        user: { tokens: ["bye"], end: "user" },
        nothing: { tokens: [], end: "loop" }
      }
      const emulator = yield* Emulator.make({ reply: ({ text }) => scripts[text] })
      const results: Record<string, unknown> = {}
      for (const prompt of Object.keys(scripts)) {
        yield* post(emulator, "/v1/tasks/tmp", { prompt, max_tokens: 5 })
        yield* tick(1000)
        const task = (yield* emulator.tasks).at(-1)
        results[prompt] = [task?.generated, task?.text]
      }
      expect(results).toEqual({
        text: [3, "é!"],
        tokens: [4, "abc€"],
        loop: [5, "xyxyx"],
        user: [2, "bye\n"],
        nothing: [0, ""]
      })
    }))

  it.scoped("tokensPerPulse and pulse shape the frames", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: () => "abcdefg", tokensPerPulse: 3, pulse: "30 millis" })
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { prompt: "x", stream: true }))
      yield* tick(1000)
      expect(data(stream.chunks)).toEqual(["abc", "def", "g"])
    }))
})
