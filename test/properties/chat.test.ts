/**
 * Whatever contents hold, the prompt is the messages and no others; whatever a model writes and however it is cut, its parts are
 * those of the whole. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Option, Schema } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { call, chat, cut, hostile, numRuns, options, partsOf, replyOptions } from "../support/chat.js"

const isLength = (think: RWKVChat.Think | undefined) => think === "short" || think === "medium" || think === "long"

const role = fc.constantFrom("System" as const, "User" as const, "Assistant" as const)

const ends = /\n\nAssistant:(?: <think| <think>\n<\/think| <think><\/think| ```json)?$/

/** An answer without text before a call is left out. */
const speaks = (message: RWKVChat.Message) => message._tag !== "Assistant" || message.content !== ""

describe("chat properties", () => {
  it.prop(
    "a prompt is read back as its messages and options",
    { chat, options },
    ({ chat, options }) =>
      Effect.runSync(Effect.gen(function*() {
        const { changes, messages, prompt } = yield* RWKVChat.promptWithChanges(chat, options)
        const parsed = yield* RWKVChat.parse(prompt)
        // How long to think is said in a user's message; without one, the model thinks as long as it likes.
        const unsaid = isLength(options.think) && !chat.some(({ _tag }) => _tag === "User")
        const all = { think: "off", toolChoice: "auto", ...options, ...unsaid ? { think: "on" } : {} }
        expect(parsed).toEqual({ messages, options: all })
        // Contents alone differ from what was given, and only where a change is told.
        const told = chat.map((message, index): RWKVChat.Message => {
          if (message._tag === "ToolCall" || message._tag === "ToolResult") return message
          const { _tag, content } = message
          const changed = changes.some((change) => change.index === index)
          return { _tag, content: changed ? RWKVChat.clean(content, _tag).text : content }
        })
        expect(messages.filter(speaks)).toEqual(told.filter(speaks))
      })),
    { fastCheck: { numRuns } }
  )

  it.prop(
    "a prompt has as many turns as it should, each of a known role",
    { chat, options },
    ({ chat, options }) =>
      Effect.runSync(Effect.gen(function*() {
        const { messages, prompt } = yield* RWKVChat.promptWithChanges(chat, options)
        expect(prompt).toMatch(ends)
        expect(prompt).not.toContain("\r")
        expect(prompt).not.toContain("<|endoftext|>")
        const joined = messages.filter(({ _tag }, index) =>
          _tag === "ToolCall" && ["Assistant", "ToolCall"].includes(messages[index - 1]?._tag ?? "")
        )
        const listed = (options.tools ?? []).length > 0 && messages[0]?._tag !== "System" ? 1 : 0
        const starts = prompt.match(/(?<=^|\n)(?:System|User|Assistant):/g)
        expect(starts?.length).toBe(messages.length - joined.length + listed + 1)
      })),
    { fastCheck: { numRuns } }
  )

  it.prop("a prompt of cleaned messages is the same, and nothing of it is changed", { chat, options }, (
    { chat, options }
  ) =>
    Effect.runSync(Effect.gen(function*() {
      const first = yield* RWKVChat.promptWithChanges(chat, options)
      const again = yield* RWKVChat.promptWithChanges(first.messages, options)
      expect(again).toEqual({ ...first, changes: [] })
    })), { fastCheck: { numRuns } })

  it.prop("cleaning twice is cleaning once", { role, text: hostile }, ({ role, text }) => {
    const once = RWKVChat.clean(text, role)
    expect(RWKVChat.clean(once.text, role)).toEqual({ text: once.text, changes: [] })
    expect(once.changes.length > 0).toBe(once.text !== text)
  }, { fastCheck: { numRuns: 3 * numRuns } })

  it.prop("cleaning loses white space alone", { role, text: hostile }, ({ role, text }) => {
    expect(RWKVChat.clean(text, role).text.replace(/\s/g, "")).toBe(text.replace(/\s/g, ""))
  }, { fastCheck: { numRuns } })

  it.prop("the parts of a reply are the same however it is cut", {
    text: hostile,
    options: replyOptions,
    sizes: fc.array(fc.nat(6), { minLength: 1, maxLength: 8 })
  }, ({ options, sizes, text }) =>
    Effect.runSync(Effect.gen(function*() {
      const whole = yield* partsOf([text], options)
      expect(yield* partsOf(cut(text, sizes), options)).toEqual(whole)
      expect(yield* partsOf(text.split(""), options)).toEqual(whole)
      expect(RWKVChat.replyFromParts(whole)).toEqual(RWKVChat.reply(text, options))
    })), { fastCheck: { numRuns } })

  it.prop("reasoning and answer are trimmed", { text: hostile, options: replyOptions }, ({ options, text }) => {
    const { reasoning, text: answer } = RWKVChat.reply(text, options)
    expect([reasoning.trim(), answer.trim()]).toEqual([reasoning, answer])
  }, { fastCheck: { numRuns } })

  it.prop(
    "what a reply adds to a chat is read back from the next prompt",
    { text: hostile },
    ({ text }) =>
      Effect.runSync(Effect.gen(function*() {
        const added = RWKVChat.replyMessages(RWKVChat.reply(text))
        const { messages, prompt } = yield* RWKVChat.promptWithChanges([...added, RWKVChat.user("and?")])
        const parsed = Option.getOrThrow(RWKVChat.parse(prompt))
        expect(parsed.messages).toEqual(messages)
        const calls = (all: ReadonlyArray<RWKVChat.Message>) => all.filter(({ _tag }) => _tag === "ToolCall")
        expect(calls(parsed.messages)).toEqual(calls(added))
      })),
    { fastCheck: { numRuns } }
  )

  it.prop("a call is found in each format that models write", {
    call,
    before: fc.constantFrom("", " ", "Let me see.\n", "a\n\n\n"),
    after: fc.constantFrom("", "\n", "\n\n"),
    spaces: fc.constantFrom(0, 2),
    format: fc.constantFrom(
      "```json\n|\n```",
      "**Tool Call:**\n```json\n|\n```",
      "<tool_call>\n|\n</tool_call>",
      "```json|```"
    )
  }, ({ after, before, call, format, spaces }) =>
    Effect.runSync(Effect.gen(function*() {
      const written = JSON.stringify({ name: call.name, arguments: call.arguments }, null, spaces)
      const text = before + format.split("|").join(written) + after
      const reply = RWKVChat.reply(text)
      expect(reply).toEqual({ reasoning: "", text: before.trim(), toolCalls: [call], malformedToolCalls: [] })
      expect(yield* partsOf(text.split(""), {})).toEqual(yield* partsOf([text], {}))
    })), { fastCheck: { numRuns } })

  it.prop("messages are stored and restored as JSON", { chat }, ({ chat }) => {
    const History = Schema.parseJson(Schema.Array(RWKVChat.Message))
    expect(Schema.decodeSync(History)(Schema.encodeSync(History)(chat))).toEqual(
      chat.map((message) => JSON.parse(JSON.stringify(message)))
    )
  }, { fastCheck: { numRuns } })
})
