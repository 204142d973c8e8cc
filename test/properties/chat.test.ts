/**
 * Whatever contents hold, the prompt is the messages and no others; whatever a model writes and however it is cut, its parts are
 * those of the whole. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck as fc, Option, Schema, Stream } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"

const numRuns = Number(process.env["FC_RUNS"] ?? 500)

const modes = ["off", "fake", "fake-compact", "on", "short", "medium", "long"] as const

const isLength = (think: RWKVChat.Think | undefined) => think === "short" || think === "medium" || think === "long"

/** What could be taken for a turn, an end, a thought, a call or an option; whole, in part, and in disguise. */
const words = [
  "System,User,Assistant,Tool,system,USER,:,\uff1a,\ufe55, :,: , ,  ,\t,a,b.,\u00e9,\ud83d\ude00,0,\u2713",
  "\n,\n\n,\r,\r\n,\n \n,\u2028,\u0085,\u000b,\u00a0,\ufeff,\u200b,\u2060",
  "\n\nUser:,\nUser: ,\r\rAssistant:,\n\nSystem: ,\n\nAssistant: <think,User: ",
  "<think>,</think>,<think,</think,<,>,think>,(think), (think a bit), (think a lot)",
  "<|endoftext|>,<|,endoftext,|>,```json,```,``,`,json,```ts\n,\n```,\n```json\n",
  "**Tool Call:**,**,<tool_call>,</tool_call>,\n<tool_call>,\n**Tool Call:**\n```json",
  "{\"name\":\"f\",\"arguments\":,{},},{\"name\": \"f\",{,\",\\,[],{\"a\": 1},\n{\"name\":,\"f\"",
  "Tools:\n,\nTools:\n[,Function output:\n,\nReturn only a JSON function call."
].flatMap((line) => line.split(",")).concat("{\"name\": \"f\", \"arguments\": {\"a\": 1}}", ",")

const hostile = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...words) },
    { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 3 }) }
  ),
  { maxLength: 14 }
).map((parts) => parts.join(""))

const role = fc.constantFrom("System" as const, "User" as const, "Assistant" as const)

const said = hostile.filter((text) => text.trim() !== "")

const json: fc.Arbitrary<RWKVChat.Json> = fc.jsonValue({ maxDepth: 2, stringUnit: "grapheme" }).map(
  (value): RWKVChat.Json => JSON.parse(JSON.stringify(value))
)

const object = fc.dictionary(hostile, fc.oneof(hostile, json), { maxKeys: 3 }).map(
  (value): RWKVChat.JsonObject => JSON.parse(JSON.stringify(value))
)

const call = fc.record({ name: fc.oneof(fc.constantFrom("f", "g"), said), given: object }).map(({ given, name }) =>
  RWKVChat.toolCall(name, given)
)

const answer = fc.record({ content: hostile, reasoning: fc.option(hostile, { nil: undefined }) }).map((
  { content, reasoning }
) => RWKVChat.assistant(content, reasoning))

/** Parts of a chat: any number of what may follow anything, and results only where their calls are. */
const exchange: fc.Arbitrary<ReadonlyArray<RWKVChat.Message>> = fc.oneof(
  said.map((content) => [RWKVChat.user(content)]),
  answer.map((message) => [message]),
  fc.record({ before: fc.option(answer, { nil: undefined }), calls: fc.array(call, { minLength: 1, maxLength: 3 }) })
    .map(({ before, calls }) => [before ?? [], calls].flat()),
  fc.record({ call, result: fc.oneof(json, hostile) }).map(({ call, result }) => [call, RWKVChat.toolResult(result)])
)

const last: fc.Arbitrary<ReadonlyArray<RWKVChat.Message>> = fc.oneof(
  said.map((content) => [RWKVChat.user(content)]),
  fc.record({ call, result: json }).map(({ call, result }) => [call, RWKVChat.toolResult(result)])
)

const chat = fc.record({
  system: fc.option(said.map(RWKVChat.system), { nil: undefined }),
  exchanges: fc.array(exchange, { maxLength: 5 }),
  last
}).map(({ exchanges, last, system }) => [system ?? [], exchanges, last].flat(2))

const tools = fc.uniqueArray(
  fc.record({ name: fc.oneof(fc.constantFrom("f", "g"), said), description: hostile, arguments: object }),
  { selector: ({ name }) => name, maxLength: 2 }
)

const options: fc.Arbitrary<RWKVChat.PromptOptions> = fc.oneof(
  fc.record({ think: fc.constantFrom(...modes), tools }),
  fc.record({ toolChoice: fc.constant("required" as const), tools: tools.filter(({ length }) => length > 0) })
)

/** Cuts a text after so many units, again and again; a size of zero is an empty piece. */
const cut = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(text.slice(at, at + size))
    at += size
    if (turn > text.length) return [...pieces, text.slice(at)]
  }
  return pieces
}

/** Neighbours of one kind as one part. */
const merged = (parts: ReadonlyArray<RWKVChat.ReplyPart>): ReadonlyArray<RWKVChat.ReplyPart> => {
  const all: Array<RWKVChat.ReplyPart> = []
  for (const part of parts) {
    const before = all.at(-1)
    const isText = part._tag === "Reasoning" || part._tag === "Text"
    if (isText && before?._tag === part._tag) all[all.length - 1] = { _tag: part._tag, text: before.text + part.text }
    else all.push(part)
  }
  return all
}

const partsOf = (pieces: ReadonlyArray<string>, options: RWKVChat.ReplyOptions) =>
  Stream.fromIterable(pieces).pipe(
    Stream.rechunk(1),
    RWKVChat.replyStream(options),
    Stream.runCollect,
    Effect.map((parts) => merged(Chunk.toReadonlyArray(parts)))
  )

const replyOptions = fc.oneof(
  fc.record({ think: fc.constantFrom(...modes), toolChoice: fc.constantFrom("auto" as const, "none" as const) }),
  fc.constant({ toolChoice: "required" as const })
)

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
