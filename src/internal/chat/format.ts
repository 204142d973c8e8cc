/**
 * The strings that RWKV-7 G1 was trained on. Only the fences are written elsewhere too.
 */
import type { ToolCall } from "../../RWKVMessage.js"

export const thinkModes = ["off", "fake", "fake-compact", "on", "short", "medium", "long"] as const

export type Think = (typeof thinkModes)[number]

export type ToolChoice = "auto" | "required" | "none"

export interface ReplyOptions {
  /** How the prompt let the model think; `"off"` by default. */
  readonly think?: Think | undefined
  /**
   * `"required"` if the prompt leaves no choice but a call, `"none"` if it offers no tools, so that what looks like a
   * call is text; `"auto"` by default.
   */
  readonly toolChoice?: ToolChoice | undefined
}

const open = " <think"

/** The beginning of the turn that the model writes. */
export const reply = "Assistant:"

/** What follows it. The last `>` is missing on purpose: the model writes it. None ends with a space. */
export const ends: Record<Think, string> = {
  off: "",
  fake: `${open}>\n</think`,
  "fake-compact": `${open}></think`,
  on: open,
  short: open,
  medium: open,
  long: open
}

/** What the last user's message ends with. */
export const suffixes: Record<Think, string> = {
  off: "",
  fake: "",
  "fake-compact": "",
  on: "",
  short: " (think a bit)",
  medium: " (think)",
  long: " (think a lot)"
}

/** Whether the model begins within its reasoning. */
export const reasons = (think: Think): boolean => ends[think] === open

/** A blank line ends a turn. */
export const between = "\n\n"

export const fence = { open: "```json", close: "```" }

export const forced = ` ${fence.open}`

export const toolsHead = "Tools:\n"

export const toolsTail = "\nReturn only a JSON function call."

export const resultHead = "Function output:\n"

const endOfText = "<|endoftext|>"

/** JSON on one line. The text of token 0 is escaped, which keeps the value. */
export const json = (value: unknown): string =>
  JSON.stringify(value).replaceAll(endOfText, `\\u003c${endOfText.slice(1)}`)

export const call = ({ name, arguments: given }: Pick<ToolCall, "name" | "arguments">): string =>
  `${fence.open}\n${json({ name, arguments: given })}\n${fence.close}`

/** Where another turn begins, if the server does not end the run there. */
export const stops: readonly [string, ...Array<string>] = ["\n\nUser:", "\nUser:", "\n\nSystem:", "\n\nAssistant:"]
