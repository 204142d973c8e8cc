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

  it.scoped.each(["current", "documented"] as const)(
    "the token User ends a run after the token of one or two newlines, and is not stored (%s)",
    (profile) =>
      Effect.gen(function*() {
        const scripts: Readonly<Record<string, Emulator.Script | string>> = {
          one: { tokens: ["a", "\n", "User", ":"] },
          two: { tokens: ["a", "\n\n", "User", ":"] },
          "two tokens": { tokens: ["a", "\n", "\n", "User", ":"] },
          three: { tokens: ["a", "\n\n\n", "User", ":"] },
          "other newlines": { tokens: ["a", "\r\n", "User", ".\n", "User", "User"] },
          "nothing before": { tokens: ["User", ":"] },
          "an empty token before": { tokens: ["", "User", ":"] },
          "another word": { tokens: ["\n", "Users", "\n", " User"] },
          looped: { tokens: ["User", "\n"], end: "loop" },
          bytes: "a\nUser:"
        }
        const emulator = yield* Emulator.make({ profile, reply: ({ text }) => scripts[text] })
        const results: Record<string, unknown> = {}
        for (const prompt of Object.keys(scripts)) {
          yield* post(emulator, "/v1/tasks/tmp", { prompt, max_tokens: 50 })
          yield* tick(1000)
          const task = (yield* emulator.tasks).at(-1)
          results[prompt] = [task?.text, task?.endedBy]
        }
        expect(results).toEqual({
          one: ["a\n", "user"],
          two: ["a\n\n", "user"],
          "two tokens": ["a\n\n", "user"],
          three: ["a\n\n\nUser:", "eos"],
          "other newlines": ["a\r\nUser.\nUserUser", "eos"],
          "nothing before": ["User:", "eos"],
          "an empty token before": ["User:", "eos"],
          "another word": ["\nUsers\n User", "eos"],
          looped: ["User\n", "user"],
          bytes: ["a\nUser:", "eos"]
        })
      })
  )

  it.scoped("a newline of the run before does not make User end the next", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({
        reply: ({ endpoint }) => ({ tokens: endpoint === "continue" ? ["User", "!"] : ["a", "\n"] })
      })
      const made = yield* json(post(emulator, "/v1/tasks/create", { prompt: "x" }))
      yield* tick(1000)
      yield* post(emulator, `/v1/tasks/${made.task_id}/continue`, { prompt: "more" })
      yield* tick(1000)
      expect((yield* emulator.tasks).at(-1)).toMatchObject({ text: "User!", endedBy: "eos" })
    }))

  it.scoped("a script says after how many tokens a run ends, and why", () =>
    Effect.gen(function*() {
      const tokens = ["x", "y"]
      const scripts: Readonly<Record<string, Emulator.Script>> = {
        eos: { tokens, ends: { after: 3, by: "eos" } },
        user: { tokens, ends: { after: 3, by: "user" } },
        stop: { tokens, ends: { after: 3, by: "stop" } },
        "at once": { tokens, ends: { after: 0, by: "stop" } },
        "in place of end": { tokens, end: "loop", ends: { after: 1, by: "eos" } },
        "in place of user": { tokens, end: "user", ends: { after: 3, by: "eos" } },
        "too late": { tokens, ends: { after: 9, by: "stop" } },
        "no tokens": { tokens: [], ends: { after: 2, by: "stop" } }
      }
      const emulator = yield* Emulator.make({ reply: ({ text }) => scripts[text], tokensPerPulse: 2 })
      const results: Record<string, unknown> = {}
      for (const prompt of Object.keys(scripts)) {
        yield* post(emulator, "/v1/tasks/tmp", { prompt, max_tokens: 5 })
        yield* tick(1000)
        const task = (yield* emulator.tasks).at(-1)
        results[prompt] = [task?.generated, task?.text, task?.endedBy]
      }
      expect(results).toEqual({
        eos: [3, "xyx", "eos"],
        user: [4, "xyx\n", "user"],
        stop: [3, "xyx", "stop"],
        "at once": [0, "", "stop"],
        "in place of end": [1, "x", "eos"],
        "in place of user": [3, "xyx", "eos"],
        "too late": [5, "xyxyx", "length"],
        "no tokens": [0, "", "eos"]
      })
    }))

  it.scoped.each(["current", "documented"] as const)(
    "a task shows what ended its run (%s)",
    (profile) =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({
          profile,
          reply: ({ text }) => ({ tokens: ["x"], end: text === "long" ? "loop" : "eos" })
        })
        const endedBy = Effect.map(emulator.tasks, (tasks) => tasks.at(-1)?.endedBy)
        const made = yield* json(post(emulator, "/v1/tasks/create", { prompt: "long", max_tokens: 1000 }))
        yield* tick(100)
        expect(yield* endedBy).toBe(undefined)
        yield* post(emulator, `/v1/tasks/${made.task_id}/stop`, {})
        yield* tick(1000)
        expect(yield* endedBy).toBe("stop")
        yield* post(emulator, `/v1/tasks/${made.task_id}/continue`, { prompt: "short" })
        expect(yield* endedBy).toBe(undefined)
        yield* tick(1000)
        expect(yield* endedBy).toBe("eos")
        yield* post(emulator, `/v1/tasks/${made.task_id}/continue`, { prompt: "long", max_tokens: 7 })
        yield* tick(1000)
        expect(yield* endedBy).toBe("length")
      })
  )

  it.scoped("tokensPerPulse and pulse shape the frames", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: () => "abcdefg", tokensPerPulse: 3, pulse: "30 millis" })
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { prompt: "x", stream: true }))
      yield* tick(1000)
      expect(data(stream.chunks)).toEqual(["abc", "def", "g"])
    }))
})
