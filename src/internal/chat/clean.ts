/**
 * Cleans contents for a prompt, so that none can end its turn, begin another, or set what only options set.
 */
import { call } from "./format.js"
import { partsOf } from "./reply.js"

type Role = "System" | "User" | "Assistant"

export interface Change {
  /**
   * `"line-end"`: CR and CRLF became LF. `"edge"`: white space at the ends went. `"blank-line"`: lines without text
   * went. The others put one space into what would have a meaning: `"end-of-text"` into the text of token 0, `"role"`
   * before the name of a role at the start of a line, `"heading"` into the headings of tools and of their results,
   * `"think"` into an end that sets how long to think, `"opener"` into what would open a tool call or a thought.
   */
  readonly kind: "line-end" | "edge" | "blank-line" | "end-of-text" | "role" | "heading" | "think" | "opener"
  /** How often: 1 or more. */
  readonly count: number
}

export interface Cleaned {
  readonly text: string
  /** What was changed; empty if nothing was. It holds nothing of the text. */
  readonly changes: ReadonlyArray<Change>
}

type Pass = readonly [kind: Change["kind"], pattern: RegExp, replacement: string]

const lineEnds: Pass = ["line-end", /\r\n?/g, "\n"]

const blankLines: Pass = ["blank-line", /\n(?:[ \t]*\n)+/g, "\n"]

/** `<|endoftext|>` is token 0; with a space in it, it is not. */
const endOfText: Pass = ["end-of-text", /<(?=\|endoftext\|>)/g, "< "]

/** A role's name just after a line break begins a turn. A space before the name makes it another token. */
const names: Pass = ["role", /\n(?=(?:System|User|Assistant)[ \t]*[:\uff1a\ufe55\ufe13\ua789\u2236])/g, "\n "]

const openers: Pass = ["opener", /```(?=json)|<(?=tool_call>|think>)|\*\*(?=Tool Call:\*\*)/g, "$& "]

const passes: Record<Role, ReadonlyArray<Pass>> = {
  System: [blankLines, endOfText, names, ["heading", /(?<=^|\n)Tools(?=:(?:\n|$))/g, "$& "]],
  User: [
    blankLines,
    endOfText,
    names,
    ["heading", /^Function output(?=:(?:\n|$))/g, "$& "],
    ["think", /\((?=think(?: a bit| a lot)?\)$)/g, "$& "]
  ],
  Assistant: [endOfText, names]
}

const probe = call({ name: "probe", arguments: {} })

/** Whether the turn, with a call after it, is read back as just this answer and that call. */
const isPlain = (text: string): boolean => {
  const parts = partsOf(`${text}\n${probe}`, {})
  const before = parts.slice(0, -1).map((part) => part._tag === "Text" ? part.text : undefined)
  return parts.at(-1)?._tag === "ToolCall" && !before.includes(undefined) && before.join("") === text
}

export const clean = (given: string, role: Role): Cleaned => {
  const changes: Array<Change> = []
  const change = (kind: Change["kind"], count: number) => void (count > 0 && changes.push({ count, kind }))
  const apply = (text: string, [kind, pattern, replacement]: Pass): string => {
    change(kind, text.match(pattern)?.length ?? 0)
    return text.replace(pattern, replacement)
  }
  const lines = apply(given, lineEnds)
  const trimmed = lines.trim()
  change("edge", trimmed === lines ? 0 : 1)
  const text = passes[role].reduce(apply, trimmed)
  return { text: role === "Assistant" && text !== "" && !isPlain(text) ? apply(text, openers) : text, changes }
}
