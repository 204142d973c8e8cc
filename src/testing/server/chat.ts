/**
 * Replies by the messages of a chat.
 *
 * @since 0.2.0
 */
import * as Option from "effect/Option"
import { parse, type Parsed } from "../../internal/chat/parse.js"
import { fromParts, messagesOf, partsOf } from "../../internal/chat/reply.js"
import { write } from "../../internal/chat/write.js"
import type { Message, Reply } from "../../RWKVMessage.js"
import type { Script } from "../model/script.js"
import { byteToken, encode } from "../model/text.js"
import type { PromptRequest } from "./options.js"

/**
 * A chat whose next message is the model's.
 *
 * @since 0.2.0
 * @category models
 */
export interface Chat extends Parsed {
  /** All messages so far, those included that a continued task has read and said before, with its reasoning. */
  readonly messages: ReadonlyArray<Message>
  /** What the user said last; empty if no message is the user's. */
  readonly turn: string
  /** The prompt that was just read. */
  readonly request: PromptRequest
}

/**
 * What the model is to say: an answer, a reply with reasoning and calls, or exact tokens; undefined leaves it to the
 * toy model.
 *
 * @since 0.2.0
 * @category models
 */
export type Said = string | Partial<Reply> | Script | undefined

/** The prompt of a continue may begin with the line breaks that end the turn before. */
const parsed = (prompt: string) => parse(prompt.replace(/^\n+/, ""))

/**
 * Reads each run by the options of its own prompt. A prompt that is no chat is a beginning of the next prompt, unless
 * a token 0 between them began another document.
 */
const chatOf = ({ before, text }: PromptRequest): Option.Option<Parsed> => {
  const messages: Array<Message> = []
  let tools: Parsed["options"]["tools"] = []
  let open = ""
  const add = ({ options, messages: found }: Parsed): void => {
    messages.push(...found)
    if (options.tools.length > 0) tools = options.tools
  }
  for (const run of before) {
    const prompt = open + run.prompt
    const known = run.text === "" && !run.ended ? Option.none() : parsed(prompt)
    if (Option.isSome(known)) {
      add(known.value)
      messages.push(...messagesOf(fromParts(partsOf(run.text, known.value.options))))
    }
    open = Option.isSome(known) || run.ended ? "" : prompt + run.text
  }
  return Option.map(parsed(open + text), (last) => {
    add(last)
    return { messages, options: { ...last.options, tools } }
  })
}

const lastOfUser = (messages: ReadonlyArray<Message>): string => {
  const message = messages.findLast(({ _tag }) => _tag === "User")
  return message?._tag === "User" ? message.content : ""
}

const isScript = (said: Partial<Reply> | Script): said is Script => "tokens" in said

/** Without tokens of its own a reply is one byte a token, and ends where the model begins the user's turn. */
const scriptOf = (said: string | Partial<Reply> | Script, options: Parsed["options"]): Script => {
  if (typeof said !== "string" && isScript(said)) return said
  const text = write(typeof said === "string" ? { text: said } : said, options)
  return { tokens: Array.from(encode(text), byteToken), end: "user" }
}

/**
 * The function that the option `reply` takes.
 *
 * @internal
 */
export const chat = (say: (chat: Chat) => Said) => (request: PromptRequest): Script | undefined =>
  Option.getOrUndefined(Option.flatMap(chatOf(request), ({ messages, options }) => {
    const said = say({ messages, options, turn: lastOfUser(messages), request })
    return said === undefined ? Option.none() : Option.some(scriptOf(said, options))
  }))
