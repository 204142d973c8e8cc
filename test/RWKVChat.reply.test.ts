import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, Schema, Stream } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import * as Reply from "../src/internal/chat/reply.js"

const { assistant, toolCall } = RWKVChat

type Case = readonly [what: string, options: RWKVChat.ReplyOptions, text: string, expected: Partial<RWKVChat.Reply>]

const malformed = (reason: RWKVChat.MalformedToolCall["reason"], text: string): RWKVChat.MalformedToolCall => ({
  _tag: "MalformedToolCall",
  reason,
  text
})

const json = (name: string) => `{"name": "${name}", "arguments": {"a": "\`\`\`</tool_call>\\"}"}}`

const fenceOf = (name: string) => `\`\`\`json\n${json(name)}\n\`\`\``

const found = (name: string) => toolCall(name, { a: "```</tool_call>\"}" })

const replies: ReadonlyArray<Case> = [
  ["a plain answer", {}, " Hello!\n\nBye.\n\n", { text: "Hello!\n\nBye." }],
  ["nothing", {}, "", {}],
  ["white space", { think: "on" }, ">\n\n", {}],
  ["an answer after a fake thought", { think: "fake" }, ">\nHello", { text: "Hello" }],
  ["an answer after a compact one", { think: "fake-compact" }, ">Hello", { text: "Hello" }],
  ["a fake thought without its bracket", { think: "fake" }, "Hello", { text: "Hello" }],
  ["a second bracket", { think: "fake" }, ">> quoted", { text: "> quoted" }],
  ["a thought and an answer", { think: "on" }, ">\nHm.\n\nSo.\n</think>\nHello", {
    reasoning: "Hm.\n\nSo.",
    text: "Hello"
  }],
  ["a thought without its bracket", { think: "long" }, "Hm.</think>Hello", { reasoning: "Hm.", text: "Hello" }],
  ["a thought that does not end", { think: "short" }, "> a < b </thin", { reasoning: "a < b </thin" }],
  ["a call within a thought", { think: "on" }, `>\n<tool_call>${json("f")}</tool_call>`, {
    reasoning: `<tool_call>${json("f")}</tool_call>`
  }],
  ["a thought that nobody asked for", {}, " <think>Hm.</think>Hello", { reasoning: "Hm.", text: "Hello" }],
  ["a second thought as text", { think: "on" }, ">a</think>\n<think>b", { reasoning: "a", text: "<think>b" }],
  ["a call in a fence", {}, ` \`\`\`json\n${json("f")}\n\`\`\`\n\n`, { toolCalls: [found("f")] }],
  ["a call after an answer", {}, `Ok.\n**Tool Call:**\n\`\`\`json\n${json("f")}\n\`\`\``, {
    text: "Ok.",
    toolCalls: [found("f")]
  }],
  ["two calls in tags", {}, `<tool_call>\n${json("f")}\n</tool_call>\n<tool_call>${json("g")}</tool_call>`, {
    toolCalls: [found("f"), found("g")]
  }],
  ["a call that lacks its closing fence", {}, `\`\`\`json\n${json("f")}\n`, { toolCalls: [found("f")] }],
  ["a required call", { toolChoice: "required" }, `\n${json("f")}\n\`\`\`\n\n`, { toolCalls: [found("f")] }],
  ["a required call that lacks its end", { toolChoice: "required" }, `\n${json("f")}`, { toolCalls: [found("f")] }],
  ["other JSON as text", {}, "```json\n{\"a\": [1]}\n```", { text: "```json\n{\"a\": [1]}\n```" }],
  ["JSON with a name as text", {}, "```json\n{\"name\": \"Bob\"}\n```", { text: "```json\n{\"name\": \"Bob\"}\n```" }],
  ["a fence in a line as text", {}, "Write ```json {\"name\"", { text: "Write ```json {\"name\"" }],
  ["a fence of another language as text", {}, "```json5\n{\"name\"", { text: "```json5\n{\"name\"" }],
  ["what looks like a call where none may be", { toolChoice: "none" }, ` ${fenceOf("f")}\n`, { text: fenceOf("f") }],
  ["a required call that is none", { toolChoice: "required" }, "\nI cannot.\n```", {
    malformedToolCalls: [malformed("json", "```json\nI cannot.\n```")]
  }],
  ["a call without arguments", {}, "<tool_call>{\"name\":\"f\"}</tool_call>", {
    malformedToolCalls: [malformed("shape", "<tool_call>{\"name\":\"f\"}</tool_call>")]
  }],
  ["arguments that are text", {}, "```json\n{\"name\":\"f\",\"arguments\":\"{}\"}\n```", {
    malformedToolCalls: [malformed("shape", "```json\n{\"name\":\"f\",\"arguments\":\"{}\"}\n```")]
  }],
  ["a call that is cut", {}, "Ok.\n```json\n{\"name\":\"f\",\"arguments\":{\"a\":\"b", {
    text: "Ok.",
    malformedToolCalls: [malformed("unclosed", "```json\n{\"name\":\"f\",\"arguments\":{\"a\":\"b")]
  }],
  ["a call that misses a quote", {}, "```json\n{\"name\":\"f,\n\"arguments\":{}}\n```\nSorry.", {
    text: "Sorry.",
    malformedToolCalls: [malformed("json", "```json\n{\"name\":\"f,\n\"arguments\":{}}\n```")]
  }],
  [
    "arguments nested too deep",
    {},
    `<tool_call>{"name":"f","arguments":{"a":${"[".repeat(200)}${"]".repeat(200)}}}</tool_call>`,
    {
      malformedToolCalls: [
        malformed("shape", `<tool_call>{"name":"f","arguments":{"a":${"[".repeat(200)}${"]".repeat(200)}}}</tool_call>`)
      ]
    }
  ]
]

const floods = [
  "\n",
  " ",
  "<",
  "`",
  "```json\n",
  "```json\n{",
  "<tool_call>",
  "</think",
  "**Tool Call:**\n",
  "\"",
  "```json\n{\"name\":\"",
  "\\",
  "\n<think",
  "{\"arguments\" :",
  "\r",
  "\nUser",
  "\nUser ",
  "(think",
  "<|endoftext|>",
  "\n \t",
  "a \n",
  "\n\nUser: "
]

describe("RWKVChat.reply", () => {
  it.effect.each(replies)("finds %s", ([, options, text, expected]) =>
    Effect.gen(function*() {
      const reply = { reasoning: "", text: "", toolCalls: [], malformedToolCalls: [], ...expected }
      expect(RWKVChat.reply(text, options)).toEqual(reply)
      const parts = yield* Stream.runCollect(RWKVChat.replyStream(Stream.fromIterable(text), options))
      expect(RWKVChat.replyFromParts(parts)).toEqual(reply)
      expect(Schema.is(RWKVChat.Reply)(reply)).toBe(true)
    }))

  // For a reader that looks twice at what it has seen, each of these takes longer than that.
  it.each(floods)("takes hostile text in linear time, whole, unit by unit and as contents: %j", (word) => {
    const text = `a\n${word.repeat(150_000 / word.length)}b`
    const start = performance.now()
    for (const think of ["off", "on"] as const) {
      const whole = RWKVChat.reply(text, { think })
      const reader = Reply.make({ think })
      const parts = Array.from(text).flatMap((unit) => reader.push(unit)).concat(reader.end())
      expect(RWKVChat.replyFromParts(parts)).toEqual(whole)
    }
    for (const role of ["System", "User", "Assistant"] as const) RWKVChat.clean(text, role)
    RWKVChat.parse(`User: ${text}\n\nAssistant:`)
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe("RWKVChat.replyStream", () => {
  it.effect("delivers a part as soon as it is certain", () =>
    Effect.gen(function*() {
      const pieces = [">", "\nHm", ". ", "So", "</th", "ink>", "\n", "He", "llo\n", "\nBye", "\n\n"]
      const parts = yield* Stream.fromIterable(pieces).pipe(
        Stream.rechunk(1),
        RWKVChat.replyStream({ think: "on" }),
        Stream.runCollect
      )
      expect(Chunk.toReadonlyArray(parts).map((part) => "text" in part ? `${part._tag} ${part.text}` : "")).toEqual(
        ["Reasoning Hm", "Reasoning .", "Reasoning  So", "Text He", "Text llo", "Text \n\nBye"]
      )
    }))

  it.effect("passes failures on after what was certain, and begins anew each time it is run", () =>
    Effect.gen(function*() {
      const text = Stream.concat(Stream.make("a ", "b ```"), Stream.fail("cut"))
      const parts = RWKVChat.replyStream(text)
      for (const _ of [1, 2]) {
        const seen: Array<string> = []
        const end = yield* Effect.either(
          Stream.runForEach(parts, (part) => Effect.sync(() => "text" in part ? seen.push(part.text) : 0))
        )
        expect(end).toEqual(Either.left("cut"))
        expect(seen.join("")).toBe("a b ```")
      }
    }))

  it.effect("works with data first and last, with and without options", () =>
    Effect.gen(function*() {
      const text = Stream.make("Hi")
      const ways = [
        RWKVChat.replyStream(text),
        RWKVChat.replyStream(text, { think: "off" }),
        text.pipe(RWKVChat.replyStream()),
        text.pipe(RWKVChat.replyStream({ think: "off" }))
      ]
      for (const way of ways) {
        expect(Chunk.toReadonlyArray(yield* Stream.runCollect(way))).toEqual([{ _tag: "Text", text: "Hi" }])
      }
    }))
})

describe("RWKVChat.replyMessages", () => {
  it("keeps reasoning with the answer, and calls after it", () => {
    const reply = RWKVChat.reply(`>why</think>Ok.\n<tool_call>${json("f")}</tool_call>\n<tool_call>?</tool_call>`, {
      think: "on"
    })
    expect(RWKVChat.replyMessages(reply)).toEqual([assistant("Ok.\n<tool_call>?</tool_call>", "why"), found("f")])
  })

  it("is an answer without text if the model said nothing, and none beside calls", () => {
    expect(RWKVChat.replyMessages(RWKVChat.reply(""))).toEqual([assistant("")])
    expect(RWKVChat.replyMessages(RWKVChat.reply(`<tool_call>${json("f")}</tool_call>`))).toEqual([found("f")])
  })
})
