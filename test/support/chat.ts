/** Chats, replies and what models write, as hostile as they come, and ways to cut texts. */
import { Chunk, Effect, FastCheck as fc, Stream } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"

export const numRuns = Number(process.env["FC_RUNS"] ?? 500)

export const modes = ["off", "fake", "fake-compact", "on", "short", "medium", "long"] as const

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

export const hostile = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...words) },
    { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 3 }) }
  ),
  { maxLength: 14 }
).map((parts) => parts.join(""))

const said = hostile.filter((text) => text.trim() !== "")

export const json: fc.Arbitrary<RWKVChat.Json> = fc.jsonValue({ maxDepth: 2, stringUnit: "grapheme" }).map(
  (value): RWKVChat.Json => JSON.parse(JSON.stringify(value))
)

export const object = fc.dictionary(hostile, fc.oneof(hostile, json), { maxKeys: 3 }).map(
  (value): RWKVChat.JsonObject => JSON.parse(JSON.stringify(value))
)

export const call = fc.record({ name: fc.oneof(fc.constantFrom("f", "g"), said), given: object }).map((
  { given, name }
) => RWKVChat.toolCall(name, given))

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

export const chat = fc.record({
  system: fc.option(said.map(RWKVChat.system), { nil: undefined }),
  exchanges: fc.array(exchange, { maxLength: 5 }),
  last
}).map(({ exchanges, last, system }) => [system ?? [], exchanges, last].flat(2))

export const tools = fc.uniqueArray(
  fc.record({ name: fc.oneof(fc.constantFrom("f", "g"), said), description: hostile, arguments: object }),
  { selector: ({ name }) => name, maxLength: 2 }
)

export const options: fc.Arbitrary<RWKVChat.PromptOptions> = fc.oneof(
  fc.record({ think: fc.constantFrom(...modes), tools }),
  fc.record({ toolChoice: fc.constant("required" as const), tools: tools.filter(({ length }) => length > 0) })
)

/** Cuts a text after so many units, again and again; a size of zero is an empty piece. */
export const cut = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
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

export const partsOf = (pieces: ReadonlyArray<string>, options: RWKVChat.ReplyOptions) =>
  Stream.fromIterable(pieces).pipe(
    Stream.rechunk(1),
    RWKVChat.replyStream(options),
    Stream.runCollect,
    Effect.map((parts) => merged(Chunk.toReadonlyArray(parts)))
  )

export const replyOptions = fc.oneof(
  fc.record({ think: fc.constantFrom(...modes), toolChoice: fc.constantFrom("auto" as const, "none" as const) }),
  fc.constant({ toolChoice: "required" as const })
)
