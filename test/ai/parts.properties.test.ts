/**
 * The parts of a stream, put together, are those of the whole answer: wherever a reply is cut into frames, or ends. With FC_RUNS
 * every mode and every end is tried.
 */
import { LanguageModel, type Response } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Stream } from "effect"
import type * as RWKVChat from "effect-rwkv/RWKVChat"
import { asked, callOf, fenced, toolkit } from "../support/ai.js"

const isLong = process.env["FC_RUNS"] !== undefined

/** The last two write as "on" does. */
const modes = ["off", "fake", "fake-compact", "on", "short", ...isLong ? ["medium", "long"] as const : []] as const

const thinks = (think: RWKVChat.Think) => think !== "off" && !think.startsWith("fake")

const call = callOf("weather", { city: "Oslo ``` </tool_call>" })

/** Each way to call that the model was trained on, and what only looks like one. */
const formats: Readonly<Record<string, string>> = {
  "no call": "Blue light\n\nscatters <most>. 1 < 2 \ud83c\udf0d",
  "a fence": `Let me see.\n${fenced(call)}\nSo it is.`,
  "an announced fence": `**Tool Call:**\n${fenced(call)}`,
  tags: `<tool_call>${call}</tool_call>\n${fenced(callOf("add", { a: "1", b: 2 }))}`,
  "other JSON": `This:\n${fenced("{\"rain\": true}")}\nis JSON.`,
  "no JSON": `<tool_call>weather(Oslo)</tool_call>`,
  "a tool that is none": fenced(callOf("delete_all", {})),
  "arguments that do not fit": `Well.\n${fenced(callOf("weather", { town: "Oslo" }))}`
}

const choices = ["auto", "none", "required", { tool: "weather" }, { oneOf: ["weather"] }, {
  mode: "required",
  oneOf: ["add", "weather"]
}] as const

type Choice = (typeof choices)[number]

const isForced = (choice: Choice) =>
  choice === "required" || typeof choice === "object" && ("tool" in choice || "mode" in choice)

/** As the model goes on with the end of its prompt. */
const written = (think: RWKVChat.Think, answer: string, choice: Choice) => {
  if (isForced(choice)) return `\n${/\{"name.*\}/.exec(answer)?.[0] ?? answer}\n\`\`\`\n\n`
  if (think === "off") return ` ${answer}\n\n`
  return thinks(think) ? `>\nIs </it> blue?\n\n</think>\n${answer}\n\n` : `>\n${answer}\n\n`
}

type Part = Response.StreamPart<typeof toolkit.tools> | Response.Part<typeof toolkit.tools>

/** Puts blocks together as a reader of the stream does, and sees to it that each is ended before another begins. */
const assembled = (parts: ReadonlyArray<Part>) => {
  const all: Array<object> = []
  let open: { readonly type: string; readonly id: string } | undefined
  let text = ""
  const known = new Set<string>()
  for (const part of parts) {
    if (part.type === "text-start" || part.type === "reasoning-start") {
      expect(open).toBe(undefined)
      expect(known).not.toContain(part.id)
      known.add(part.id)
      open = { type: part.type.replace("-start", ""), id: part.id }
      text = ""
    } else if (part.type === "text-delta" || part.type === "reasoning-delta") {
      expect(open).toEqual({ type: part.type.replace("-delta", ""), id: part.id })
      expect(part.delta).not.toBe("")
      text += part.delta
    } else if (part.type === "text-end" || part.type === "reasoning-end") {
      expect(open).toEqual({ type: part.type.replace("-end", ""), id: part.id })
      all.push({ type: open?.type, text })
      open = undefined
    } else {
      expect(open).toBe(undefined)
      if (part.type === "text" || part.type === "reasoning") all.push({ type: part.type, text: part.text })
      if (part.type === "tool-call") all.push({ type: part.type, name: part.name, params: part.params })
      if (part.type === "finish") all.push({ type: part.type, reason: part.reason, tokens: part.usage.outputTokens })
    }
  }
  expect(open).toBe(undefined)
  return all
}

const streamed = (choice: Choice) =>
  Effect.gen(function*() {
    const parts: Array<Part> = []
    const outcome = yield* LanguageModel.streamText({
      prompt: "Why?",
      toolkit,
      toolChoice: choice,
      disableToolCallResolution: true
    }).pipe(
      Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
      Effect.provide(handlersOfNone),
      Effect.either
    )
    const all = assembled(parts)
    return Either.match(outcome, {
      onLeft: ({ _tag, message }) => ({ failure: [_tag, message.replaceAll("streamText", "")], before: all }),
      onRight: () => all
    })
  })

const answered = (choice: Choice) =>
  LanguageModel.generateText({ prompt: "Why?", toolkit, toolChoice: choice, disableToolCallResolution: true }).pipe(
    Effect.provide(handlersOfNone),
    Effect.match({
      onFailure: ({ _tag, message }) => ({ failure: [_tag, message.replaceAll("generateText", "")] }),
      onSuccess: ({ content }) => assembled(content)
    })
  )

type Asking = Effect.Effect<object, never, LanguageModel.LanguageModel>

/** Both, of the same reply; the first is told in frames of one token. One emulator each says all of the replies. */
const both = (replies: ReadonlyArray<string>, think: RWKVChat.Think, choice: Choice) => {
  const model = { think, maxTokens: 1000 }
  const run = (ask: Asking, tokensPerPulse: number) => {
    let said = ""
    const script = { reply: () => ({ tokens: Array.from(said) }), tokensPerPulse }
    return asked(script, model)(Effect.forEach(replies, (reply) => {
      said = reply
      return ask
    }))
  }
  return Effect.all([run(streamed(choice), 1), run(answered(choice), 32)])
}

const handlersOfNone = toolkit.toLayer({
  weather: () => Effect.dieMessage("was run"),
  add: () => Effect.dieMessage("was run")
})

const areSame = ([streams, wholes]: readonly [ReadonlyArray<object>, ReadonlyArray<object>]) =>
  wholes.forEach((whole, index) => {
    if ("failure" in whole) expect(streams[index]).toMatchObject(whole)
    else expect(streams[index]).toEqual(whole)
  })

describe("the parts of a stream are those of the whole answer", () => {
  it.effect.each(modes.flatMap((think) => choices.map((choice) => [think, choice] as const)))(
    "told character by character, in each tool format: thinking %s, choice %j",
    ([think, choice]) =>
      Effect.map(both(Object.values(formats).map((answer) => written(think, answer, choice)), think, choice), areSame)
  )

  it.effect.each([["off", "auto", "a fence"], ["on", "auto", "tags"], ["off", "required", "a fence"]] as const)(
    "and where the text ends after any (every day: after each third) of its characters: thinking %s, choice %s, %s",
    ([think, choice, format]) => {
      const reply = Array.from(written(think, formats[format] ?? "", choice))
      const ends = reply.map((_, end) => end).filter((end) => isLong || end % 3 === 0)
      return Effect.map(both(ends.map((end) => reply.slice(0, end).join("")), think, choice), areSame)
    }
  )

  it.effect("which are what the model wrote", () =>
    Effect.gen(function*() {
      const partsOf = (format: string, think: RWKVChat.Think, choice: Choice) =>
        Effect.map(both([written(think, formats[format] ?? "", choice)], think, choice), ([[stream]]) => stream)
      expect(yield* partsOf("tags", "on", "auto")).toMatchObject([
        { type: "reasoning", text: "Is </it> blue?" },
        { type: "tool-call", name: "weather", params: { city: "Oslo ``` </tool_call>" } },
        { type: "tool-call", name: "add", params: { a: 1, b: 2 } },
        { type: "finish", reason: "tool-calls" }
      ])
      expect(yield* partsOf("a fence", "off", "auto")).toMatchObject([
        { type: "text", text: "Let me see." },
        { type: "tool-call", name: "weather" },
        { type: "text", text: "\n\nSo it is." },
        { type: "finish", reason: "tool-calls" }
      ])
      expect(yield* partsOf("a fence", "off", "none")).toMatchObject([
        { type: "text", text: formats["a fence"] },
        { type: "finish", reason: "stop" }
      ])
      expect(yield* partsOf("arguments that do not fit", "off", "auto")).toMatchObject({
        failure: ["MalformedOutput", expect.anything()],
        before: [{ text: "Well." }]
      })
    }))
})
