/**
 * The messages of a chat, and what a reply is made of, as Schemas. `effect-rwkv/RWKVChat` has all of it.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { isRecord } from "./internal/input/json.js"
import * as rule from "./internal/input/rules.js"

/**
 * A JSON value: strings, finite numbers, booleans, null, arrays and plain objects of them, at most 128 deep.
 *
 * @since 0.2.0
 * @category models
 */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | JsonObject

/**
 * A {@link Json} that is an object.
 *
 * @since 0.2.0
 * @category models
 */
export interface JsonObject {
  readonly [key: string]: Json
}

/** The deepest nesting; it also ends a cycle. */
const deepest = 128

const isPlain = (u: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(u)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Whether JSON can hold a value as it is: no class, no NaN, and nothing nested too deep. */
const isJson = (u: unknown, depth = 0): u is Json => {
  if (u === null || typeof u === "string" || typeof u === "boolean") return true
  if (typeof u === "number") return Number.isFinite(u)
  if (depth > deepest) return false
  return Array.isArray(u) ? u.every((item) => isJson(item, depth + 1)) : isJsonObject(u, depth)
}

const isJsonObject = (u: unknown, depth = 0): u is JsonObject =>
  isRecord(u) && isPlain(u) && Object.values(u).every((item) => isJson(item, depth + 1))

const Json: Schema.Schema<Json> = Schema.declare((u): u is Json => isJson(u)).annotations(
  rule.says(`must be a JSON value, nested at most ${deepest} deep`)
)

const JsonObject: Schema.Schema<JsonObject> = Schema.declare((u): u is JsonObject => isJsonObject(u)).annotations(
  rule.says(`must be a JSON object, nested at most ${deepest} deep`)
)

const name: Schema.Schema<string> = Schema.String.pipe(
  Schema.filter((s) => s !== "", rule.says("must be text that is not empty"))
)

/**
 * Instructions for the whole chat: only as the first message, and short, as the model's authors advise.
 *
 * @since 0.2.0
 * @category models
 */
export interface System {
  readonly _tag: "System"
  readonly content: string
}

/**
 * The Schema of {@link System}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.System)({ _tag: "System", content: "Be brief." })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const System: Schema.Schema<System> = Schema.TaggedStruct("System", { content: rule.text })

/**
 * What the user says.
 *
 * @since 0.2.0
 * @category models
 */
export interface User {
  readonly _tag: "User"
  readonly content: string
}

/**
 * The Schema of {@link User}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.User)({ _tag: "User", content: "Hi" })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const User: Schema.Schema<User> = Schema.TaggedStruct("User", { content: rule.text })

/**
 * What the model answered.
 *
 * @since 0.2.0
 * @category models
 */
export interface Assistant {
  readonly _tag: "Assistant"
  readonly content: string
  /** What the model thought before it answered. It is kept for the program: no prompt repeats it. */
  readonly reasoning?: string | undefined
}

/**
 * The Schema of {@link Assistant}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.Assistant)({ _tag: "Assistant", content: "Hello!" })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const Assistant: Schema.Schema<Assistant> = Schema.TaggedStruct("Assistant", {
  content: rule.text,
  reasoning: rule.optional(Schema.String.annotations(rule.says("must be text")))
})

/**
 * A tool that the model called: a part of its turn, after its answer if there is one.
 *
 * @since 0.2.0
 * @category models
 */
export interface ToolCall {
  readonly _tag: "ToolCall"
  /** The tool's name, never empty. Look it up: models invent names. */
  readonly name: string
  /** Its arguments, not checked against the tool's own description. */
  readonly arguments: JsonObject
}

/**
 * The Schema of {@link ToolCall}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const isCall = Schema.is(RWKVChat.ToolCall)
 *
 * console.log(isCall(RWKVChat.toolCall("weather", { city: "Oslo" }))) // true
 * console.log(isCall({ _tag: "ToolCall", name: "" })) // false
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const ToolCall: Schema.Schema<ToolCall> = Schema.TaggedStruct("ToolCall", { name, arguments: JsonObject })

/**
 * What a tool answered. Results answer the calls before them in their order, for the format has no ids.
 *
 * @since 0.2.0
 * @category models
 */
export interface ToolResult {
  readonly _tag: "ToolResult"
  readonly result: Json
}

/**
 * The Schema of {@link ToolResult}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.ToolResult)({ _tag: "ToolResult", result: { rain: true } })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const ToolResult: Schema.Schema<ToolResult> = Schema.TaggedStruct("ToolResult", { result: Json })

/**
 * A message of a chat.
 *
 * @since 0.2.0
 * @category models
 */
export type Message = System | User | Assistant | ToolCall | ToolResult

/**
 * The Schema of {@link Message}: what it encodes is JSON, so that chats can be stored.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const History = Schema.parseJson(Schema.Array(RWKVChat.Message))
 * const stored = Schema.encodeSync(History)([RWKVChat.user("Hi"), RWKVChat.assistant("Hello!")])
 *
 * console.log(Schema.decodeSync(History)(stored)[1]?._tag) // Assistant
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const Message: Schema.Schema<Message> = Schema.Union(System, User, Assistant, ToolCall, ToolResult)

/**
 * A message of the system.
 *
 * @example
 * ```ts
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(RWKVChat.system("Be brief.")) // { _tag: "System", content: "Be brief." }
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const system = (content: string): System => ({ _tag: "System", content })

/**
 * A message of the user.
 *
 * @example
 * ```ts
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(RWKVChat.user("Hi")) // { _tag: "User", content: "Hi" }
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const user = (content: string): User => ({ _tag: "User", content })

/**
 * An answer of the model, with what it thought before if that is known.
 *
 * @example
 * ```ts
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(RWKVChat.assistant("Hello!", "A greeting.").reasoning) // A greeting.
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const assistant = (content: string, reasoning?: string): Assistant =>
  reasoning === undefined ? { _tag: "Assistant", content } : { _tag: "Assistant", content, reasoning }

/**
 * A call of a tool by the model: the tool's name and the arguments by their names.
 *
 * @example
 * ```ts
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(RWKVChat.toolCall("weather", { city: "Oslo" }).arguments["city"]) // Oslo
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const toolCall = (name: string, given: JsonObject): ToolCall => ({ _tag: "ToolCall", name, arguments: given })

/**
 * The result of a tool.
 *
 * @example
 * ```ts
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(RWKVChat.toolResult({ rain: true })) // { _tag: "ToolResult", result: { rain: true } }
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const toolResult = (result: Json): ToolResult => ({ _tag: "ToolResult", result })

/**
 * A tool that the model may call.
 *
 * @since 0.2.0
 * @category models
 */
export interface Tool {
  /** Not empty, and different for each tool. */
  readonly name: string
  /** What it does, in a few words. */
  readonly description: string
  /** The arguments by their names: of each its type, a description or a JSON Schema. */
  readonly arguments: JsonObject
}

/**
 * The Schema of {@link Tool}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const isTool = Schema.is(RWKVChat.Tool)
 *
 * console.log(isTool({ name: "weather", description: "The weather in a city", arguments: { city: "string" } })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const Tool: Schema.Schema<Tool> = Schema.Struct({ name, description: rule.text, arguments: JsonObject })

/**
 * What was meant as a call and is none. It is no failure, for a model writes what it likes.
 *
 * @since 0.2.0
 * @category models
 */
export interface MalformedToolCall {
  readonly _tag: "MalformedToolCall"
  /**
   * `"unclosed"`: the text ended within the call. `"json"`: it is no JSON. `"shape"`: it is JSON, but no object with a
   * name and an object of arguments.
   */
  readonly reason: "unclosed" | "json" | "shape"
  /** The call as the model wrote it. */
  readonly text: string
}

/**
 * The Schema of {@link MalformedToolCall}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const isMalformed = Schema.is(RWKVChat.MalformedToolCall)
 * const { malformedToolCalls } = RWKVChat.reply("<tool_call>\nweather\n</tool_call>")
 *
 * console.log(malformedToolCalls.every((call) => isMalformed(call) && call.reason === "json")) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const MalformedToolCall: Schema.Schema<MalformedToolCall> = Schema.TaggedStruct("MalformedToolCall", {
  reason: Schema.Literal("unclosed", "json", "shape"),
  text: Schema.String
})

/**
 * A piece of a reply: of the reasoning, of the answer, or one call.
 *
 * @since 0.2.0
 * @category models
 */
export type ReplyPart =
  | { readonly _tag: "Reasoning"; readonly text: string }
  | { readonly _tag: "Text"; readonly text: string }
  | ToolCall
  | MalformedToolCall

/**
 * The Schema of {@link ReplyPart}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.ReplyPart)({ _tag: "Text", text: "Blue." })) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const ReplyPart: Schema.Schema<ReplyPart> = Schema.Union(
  Schema.TaggedStruct("Reasoning", { text: Schema.String }),
  Schema.TaggedStruct("Text", { text: Schema.String }),
  ToolCall,
  MalformedToolCall
)

/**
 * A reply, split.
 *
 * @since 0.2.0
 * @category models
 */
export interface Reply {
  /** What the model thought, without its tags, trimmed; empty if it did not. */
  readonly reasoning: string
  /** The answer, trimmed. */
  readonly text: string
  readonly toolCalls: ReadonlyArray<ToolCall>
  readonly malformedToolCalls: ReadonlyArray<MalformedToolCall>
}

/**
 * The Schema of {@link Reply}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * console.log(Schema.is(RWKVChat.Reply)(RWKVChat.reply(" Blue.\n\n"))) // true
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const Reply: Schema.Schema<Reply> = Schema.Struct({
  reasoning: Schema.String,
  text: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  malformedToolCalls: Schema.Array(MalformedToolCall)
})
