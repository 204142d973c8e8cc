/**
 * Writes a reply as a model would: the inverse of reading one, for tests.
 */
import type { Reply } from "../../RWKVMessage.js"
import * as Format from "./format.js"
import { thinking } from "./reply.js"

const lines = (texts: ReadonlyArray<string>): string => texts.filter((text) => text !== "").join("\n")

/**
 * The text that follows a prompt of these options. It continues a thought or call that the prompt has begun, and opens
 * a thought that was not asked for. Where a call is required the first one comes before the answer, and no thought is
 * possible: a reply without calls is then read as a malformed call, as a model's would be.
 */
export const write = (reply: Partial<Reply>, { think = "off", toolChoice = "auto" }: Format.ReplyOptions): string => {
  const { malformedToolCalls = [], reasoning = "", text = "", toolCalls = [] } = reply
  const calls = [...toolCalls.map(Format.call), ...malformedToolCalls.map((call) => call.text)]
  if (toolChoice === "required") {
    const all = lines([...calls.slice(0, 1), text, ...calls.slice(1)])
    return all.startsWith(Format.fence.open) ? all.slice(Format.fence.open.length) : `\n${all}`
  }
  const asked = Format.reasons(think)
  const thought = asked || reasoning !== "" ? [asked ? "" : thinking.open, reasoning, thinking.close] : []
  const all = lines([...thought, text, ...calls])
  return think !== "off" ? `>\n${all}` : all === "" ? "" : ` ${all}`
}
