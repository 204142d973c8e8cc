/** What the emulator's model writes is read back as the reply that it was told to give. FC_RUNS sets the number of runs. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { write } from "../../src/internal/chat/write.js"
import { call, cut, hostile, modes, numRuns, partsOf } from "../support/chat.js"

const reasoning = hostile.map((text) => text.replaceAll("</think>", "< /think>").trim())

const answer = hostile.map((text) => RWKVChat.clean(text, "Assistant").text)

/** Beginnings of calls that are none, as models write them. */
const malformed = fc.record({
  opener: fc.constantFrom("```json", "<tool_call>", "**Tool Call:**\n```json", "**Tool Call:** ```json"),
  body: fc.oneof(hostile, fc.constantFrom("{\"name\":\"f\",\"arguments\":", "{\"name\":\"f\",\"arguments\":1}", "[]")),
  closer: fc.constantFrom("```", "</tool_call>", "")
}).map(({ body, closer, opener }) => RWKVChat.reply(`${opener}\n${body}\n${closer}`).malformedToolCalls[0])

const isClosed = (call: RWKVChat.MalformedToolCall) => RWKVChat.reply(`${call.text}\nx`).text === "x"

/** A call that is not closed takes all that follows it. */
const malformedCalls = fc.array(malformed, { maxLength: 3 }).map((found) => {
  const calls = found.filter((call) => call !== undefined)
  return calls.filter(isClosed).concat(calls.filter((call) => !isClosed(call)).slice(0, 1))
})

const free = fc.record({
  options: fc.record({ think: fc.constantFrom(...modes) }),
  reply: fc.record({
    reasoning: fc.oneof(fc.constant(""), reasoning),
    text: fc.oneof(fc.constant(""), answer),
    toolCalls: fc.array(call, { maxLength: 3 }),
    malformedToolCalls: malformedCalls
  })
})

const required = fc.record({
  options: fc.constant({ toolChoice: "required" as const }),
  reply: fc.record({
    reasoning: fc.constant(""),
    text: fc.oneof(fc.constant(""), answer),
    toolCalls: fc.array(call, { minLength: 1, maxLength: 3 }),
    malformedToolCalls: malformedCalls
  })
})

describe("write", () => {
  it.prop("is read back as the reply, whole and cut anywhere", {
    one: fc.oneof({ weight: 3, arbitrary: free }, { weight: 1, arbitrary: required }),
    sizes: fc.array(fc.nat(6), { minLength: 1, maxLength: 8 })
  }, ({ one: { options, reply }, sizes }) =>
    Effect.runSync(Effect.gen(function*() {
      const text = write(reply, options)
      expect(RWKVChat.reply(text, options)).toEqual(reply)
      expect(RWKVChat.replyFromParts(yield* partsOf(cut(text, sizes), options))).toEqual(reply)
      expect(RWKVChat.replyFromParts(yield* partsOf(text.split(""), options))).toEqual(reply)
    })), { fastCheck: { numRuns } })

  const full = { reasoning: "Hm.", text: "Hi!", toolCalls: [RWKVChat.toolCall("f", { a: 1 })] }
  const fence = "```json\n{\"name\":\"f\",\"arguments\":{\"a\":1}}\n```"

  it.each(
    [
      ["off", full, {}, ` <think>\nHm.\n</think>\nHi!\n${fence}`],
      ["off", { text: "Hi!" }, { think: "off" }, " Hi!"],
      ["off", {}, {}, ""],
      ["fake", { text: "Hi!" }, { think: "fake" }, ">\nHi!"],
      ["fake-compact", full, { think: "fake-compact" }, `>\n<think>\nHm.\n</think>\nHi!\n${fence}`],
      ["on", full, { think: "on" }, `>\nHm.\n</think>\nHi!\n${fence}`],
      ["long", { text: "Hi!" }, { think: "long" }, ">\n</think>\nHi!"],
      ["required", full, { toolChoice: "required" }, `${fence.slice(7)}\nHi!`]
    ] as const
  )("goes on with what the prompt has begun (%s)", (_, reply, options, text) => {
    expect(write(reply, options)).toBe(text)
  })

  it("of an answer where a call is required is a call that is none", () => {
    const text = write({ text: "Hi!" }, { toolChoice: "required" })
    expect(RWKVChat.reply(text, { toolChoice: "required" })).toMatchObject({
      text: "",
      malformedToolCalls: [{ reason: "unclosed", text: "```json\nHi!" }]
    })
  })
})
