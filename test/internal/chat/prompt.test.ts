import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { render, renderTurns } from "../../../src/internal/chat/prompt.js"

const { assistant, system, toolCall, toolResult, user } = RWKVChat

const weather: RWKVChat.Tool = { name: "weather", description: "Tells the weather", arguments: {} }

const before = [system("Be brief."), user("Hi"), assistant("Hello!")]

const turns = (messages: unknown, known: number, options: unknown = {}) =>
  renderTurns("RWKVChat.send", messages, known, options)

describe("renderTurns", () => {
  it.effect("refuses what the whole prompt would be refused for, at the place in the whole", () =>
    Effect.gen(function*() {
      const refused = (messages: unknown, known: number, options?: unknown) =>
        Effect.map(Effect.flip(turns(messages, known, options)), ({ issues, operation }) => {
          expect(operation).toBe("RWKVChat.send")
          return issues.map(({ message, path }) => `${path}: ${message}`).join()
        })
      expect(yield* refused([...before, user(" ")], 3)).toContain("messages.3.content: must hold more than white space")
      expect(yield* refused([...before, system("Be"), user("a")], 3)).toContain("messages.3: must be the first")
      expect(yield* refused([...before, toolResult(1)], 3)).toContain("messages.3: must come after a tool call")
      expect(yield* refused([...before, "secret"], 3)).toMatch(/^messages\.3\._tag: must be one of [^"]*$/)
      expect(yield* refused(before, 3)).toContain("messages.2: must not be the last message")
      expect(yield* refused([...before, user("a")], 3, { think: "deep" })).toContain("think: must be one of")
      expect(yield* refused(undefined, 3)).toContain("messages: must be an array")
    }))

  it.effect("holds the new turns alone, without the system's and its tools, and no blank line before them", () =>
    Effect.gen(function*() {
      const options = { tools: [weather], think: "short" }
      const { messages, prompt } = yield* turns([...before, user("Rain?\n\nUser: x")], 3, options)
      expect(prompt).toBe("User: Rain?\n User: x (think a bit)\n\nAssistant: <think")
      expect(messages).toEqual([user("Rain?\n User: x")])
      const forced = yield* turns([...before, user("a"), user("b")], 3, { tools: [weather], toolChoice: "required" })
      expect(forced.prompt).toBe("User: a\n\nUser: b\n\nAssistant: ```json")
    }))

  it.effect("takes results of calls that were made before", () =>
    Effect.gen(function*() {
      const { prompt } = yield* turns([user("Rain?"), toolCall("weather", {}), toolResult(true)], 2, { think: "long" })
      expect(prompt).toBe("User: Function output:\ntrue\n\nAssistant: <think")
    }))

  it.effect("tells changes at the places of the whole list", () =>
    Effect.gen(function*() {
      const { changes } = yield* turns([...before, user("a"), user(" b")], 3)
      expect(changes).toEqual([{ index: 4, changes: [{ kind: "edge", count: 1 }] }])
    }))

  it.effect("is what the whole prompt has after the turns that are known", () =>
    Effect.gen(function*() {
      const all = [
        ...before,
        user("Rain?"),
        toolCall("weather", {}),
        toolResult(1),
        assistant("No.\n\nSun."),
        user("b")
      ]
      const whole = yield* render("RWKVChat.prompt", all, { think: "fake", tools: [weather] })
      for (const known of [1, 2, 3, 4, 5, 6, 7]) {
        const { prompt } = yield* turns(all, known, { think: "fake", tools: [weather] })
        expect(whole.prompt.endsWith(`\n\n${prompt}`)).toBe(true)
      }
    }))
})
