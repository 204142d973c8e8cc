/**
 * Checks what callers give to `prompt`: each message and tool by its Schema, then their order.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RWKVValidationError } from "../../RWKVError.js"
import * as Messages from "../../RWKVMessage.js"
import type { Message, Tool } from "../../RWKVMessage.js"
import { isRecord } from "../input/json.js"
import { encoder } from "../input/request.js"
import * as rule from "../input/rules.js"
import { attempt, invalid, relabelled } from "../input/validate.js"
import { type ReplyOptions, thinkModes } from "./format.js"

export interface PromptOptions extends ReplyOptions {
  /** What the model may call, each under another name; none by default, and none with `toolChoice: "none"`. */
  readonly tools?: ReadonlyArray<Tool> | undefined
}

/** Replaced by the public operation's name in `prompt.ts` and `session.ts`. */
const operation = "RWKVChat"

export type Checked<A> = Effect.Effect<A, RWKVValidationError>

export const refuse = (path: string, message: string): Checked<never> => Effect.fail(invalid(operation, path, message))

const within = (outer: string) => relabelled(operation, (path) => path === "" ? outer : `${outer}.${path}`)

/** Checks each item of a list; errors name its index. */
const each = <A>(path: string, given: unknown, check: (item: unknown) => Checked<A>): Checked<ReadonlyArray<A>> =>
  attempt(operation, path, (): unknown => Array.isArray(given) ? Array.from(given) : undefined).pipe(
    Effect.filterOrElse(Array.isArray, () => refuse(path, "must be an array")),
    Effect.flatMap(Effect.forEach((item: unknown, index) => Effect.mapError(check(item), within(`${path}.${index}`))))
  )

const tool = encoder(Messages.Tool)

const encoders = {
  System: encoder(Messages.System),
  User: encoder(Messages.User),
  Assistant: encoder(Messages.Assistant),
  ToolCall: encoder(Messages.ToolCall),
  ToolResult: encoder(Messages.ToolResult)
}

const isKind = (u: unknown): u is keyof typeof encoders => typeof u === "string" && Object.hasOwn(encoders, u)

const message = (item: unknown): Checked<Message> =>
  Effect.flatMap(
    attempt(operation, "", () => isRecord(item) ? item["_tag"] : undefined),
    (tag): Checked<Message> =>
      isKind(tag)
        ? encoders[tag](operation, item)
        : refuse("_tag", `must be one of ${Object.keys(encoders).join(", ")}`)
  )

/** Copies messages and checks each by itself. */
export const messagesAt = (path: string, given: unknown): Checked<ReadonlyArray<Message>> => each(path, given, message)

/** For each message the rule of order that it breaks, or undefined. */
const misplaced = (messages: ReadonlyArray<Message>) => {
  let open = 0
  return messages.map((message, index) => {
    if (message._tag === "ToolCall") open++
    if (message._tag === "System" && index > 0) return "must be the first message"
    if (message._tag === "ToolResult" && --open < 0) return "must come after a tool call that has no result yet"
    if (index < messages.length - 1 || message._tag === "User" || message._tag === "ToolResult") return undefined
    return "must not be the last message: a reply answers a user's message or the result of a tool"
  })
}

const inOrder = (messages: ReadonlyArray<Message>): Checked<void> => {
  const issues = misplaced(messages).flatMap((message, index) =>
    message === undefined ? [] : [{ path: `messages.${index}`, message }]
  )
  if (messages.length === 0) return refuse("messages", "must not be empty")
  return issues.length === 0 ? Effect.void : new RWKVValidationError({ operation, source: "client", issues })
}

const options = encoder(Schema.Struct({
  think: rule.oneOf(...thinkModes),
  toolChoice: rule.oneOf("auto", "required", "none"),
  tools: rule.anything<ReadonlyArray<Tool>>()
}))

/** `think` and a required call both end the prompt, so only one is possible. */
const checkCombination = ({ think = "off", toolChoice, tools = [] }: PromptOptions): Checked<void> => {
  const names = tools.map(({ name }) => name)
  const again = names.findIndex((name, index) => names.indexOf(name) < index)
  if (again >= 0) return refuse(`tools.${again}.name`, "must not be the name of another tool")
  if (toolChoice !== "required") return Effect.void
  if (names.length === 0) return refuse("toolChoice", "must not be \"required\" without tools")
  return think === "off" ? Effect.void : refuse("think", "must be \"off\" if a tool call is required")
}

export const checked = (
  messages: unknown,
  given: unknown
): Checked<{ readonly messages: ReadonlyArray<Message>; readonly options: PromptOptions }> =>
  Effect.gen(function*() {
    const { tools, ...rest } = yield* options(operation, given)
    const all: PromptOptions = { ...rest, tools: yield* each("tools", tools ?? [], (item) => tool(operation, item)) }
    yield* checkCombination(all)
    const list = yield* messagesAt("messages", messages)
    yield* inOrder(list)
    return { messages: list, options: all }
  })
