/**
 * Python's `json.loads` as far as its answers differ from `JSON.parse`: literals keep their spelling, NaN and Infinity
 * are numbers, and errors carry Python's wording and offset (counted in code points).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Json } from "./json.js"

/** @internal */
interface JsonError {
  /** `syntax` = JSONDecodeError; `other` = any exception else (recursion limit, too many digits). */
  readonly kind: "syntax" | "other"
  readonly message: string
  readonly position: number
}

const maxDepth = 990
const maxDigits = 4300
const numberPattern = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?/y
const hexPattern = /^[0-9a-fA-F]{4}$/
const escapes: ReadonlyMap<string, string> = new Map([
  ["\"", "\""],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"]
])
const constants: ReadonlyArray<readonly [string, Json]> = [
  ["null", { _tag: "Null" }],
  ["true", { _tag: "Bool", value: true }],
  ["false", { _tag: "Bool", value: false }],
  ["NaN", { _tag: "Float", value: Number.NaN }],
  ["Infinity", { _tag: "Float", value: Number.POSITIVE_INFINITY }],
  ["-Infinity", { _tag: "Float", value: Number.NEGATIVE_INFINITY }]
]

const codePoints = (text: string, end: number): number => {
  let count = 0
  for (let i = 0; i < end; i++) {
    const unit = text.charCodeAt(i)
    const next = text.charCodeAt(i + 1)
    if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000) i++
    count++
  }
  return count
}

class Parser {
  index = 0
  error: JsonError | undefined

  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  fail(message: string, at: number, kind: JsonError["kind"] = "syntax"): undefined {
    this.error ??= { kind, message, position: codePoints(this.text, at) }
    return undefined
  }

  blanks(): void {
    while (this.index < this.text.length && " \t\n\r".includes(this.text.charAt(this.index))) this.index++
  }

  value(depth: number): Json | undefined {
    if (depth > maxDepth) return this.fail("maximum recursion depth exceeded", this.index, "other")
    const char = this.text.charAt(this.index)
    if (char === "\"") {
      const value = this.string()
      return value === undefined ? undefined : { _tag: "String", value }
    }
    if (char === "{") return this.dict(depth)
    if (char === "[") return this.list(depth)
    for (const [literal, value] of constants) {
      if (this.text.startsWith(literal, this.index)) {
        this.index += literal.length
        return value
      }
    }
    return this.number()
  }

  number(): Json | undefined {
    numberPattern.lastIndex = this.index
    const match = numberPattern.exec(this.text)
    if (match === null) return this.fail("Expecting value", this.index)
    const raw = match[0]
    this.index += raw.length
    if (match[1] !== undefined || match[2] !== undefined) return { _tag: "Float", value: Number(raw) }
    if (raw.replace("-", "").length > maxDigits) return this.fail("too many digits", this.index, "other")
    return { _tag: "Int", raw: raw === "-0" ? "0" : raw }
  }

  string(): string | undefined {
    const begin = this.index
    let out = ""
    let at = begin + 1
    while (true) {
      const chunk = at
      while (at < this.text.length && this.text[at] !== "\"" && this.text[at] !== "\\") {
        if (this.text.charCodeAt(at) < 0x20) return this.fail("Invalid control character at", at)
        at++
      }
      out += this.text.slice(chunk, at)
      if (at >= this.text.length) return this.fail("Unterminated string starting at", begin)
      if (this.text[at] === "\"") {
        this.index = at + 1
        return out
      }
      const escape = this.text.charAt(at + 1)
      if (escape === "") return this.fail("Unterminated string starting at", begin)
      if (escape === "u") {
        const hex = this.text.slice(at + 2, at + 6)
        if (at + 6 >= this.text.length || !hexPattern.test(hex)) return this.fail("Invalid \\uXXXX escape", at + 1)
        out += String.fromCharCode(Number.parseInt(hex, 16))
        at += 6
      } else {
        const plain = escapes.get(escape)
        if (plain === undefined) return this.fail("Invalid \\escape", at)
        out += plain
        at += 2
      }
    }
  }

  /** What stands between an opening and a closing bracket, with commas between; false after a failure. */
  items(close: string, item: () => boolean): boolean {
    this.index++
    this.blanks()
    if (this.text[this.index] === close) {
      this.index++
      return true
    }
    while (item()) {
      this.blanks()
      const next = this.text[this.index]
      if (next !== "," && next !== close) {
        this.fail("Expecting ',' delimiter", this.index)
        return false
      }
      this.index++
      if (next === close) return true
      this.blanks()
    }
    return false
  }

  list(depth: number): Json | undefined {
    const items: Array<Json> = []
    const whole = this.items("]", () => {
      const item = this.value(depth + 1)
      if (item !== undefined) items.push(item)
      return item !== undefined
    })
    return whole ? { _tag: "List", items } : undefined
  }

  dict(depth: number): Json | undefined {
    const entries = new Map<string, Json>()
    const whole = this.items("}", () => {
      const key = this.key()
      const value = key === undefined ? undefined : this.value(depth + 1)
      if (key === undefined || value === undefined) return false
      entries.set(key, value)
      return true
    })
    return whole ? { _tag: "Dict", entries } : undefined
  }

  /** Up to the value: the colon is read too. */
  key(): string | undefined {
    if (this.text[this.index] !== "\"") {
      return this.fail("Expecting property name enclosed in double quotes", this.index)
    }
    const key = this.string()
    if (key === undefined) return undefined
    this.blanks()
    if (this.text[this.index] !== ":") return this.fail("Expecting ':' delimiter", this.index)
    this.index++
    this.blanks()
    return key
  }
}

/** @internal */
export const parse = (text: string): Either.Either<Json, JsonError> => {
  const parser = new Parser(text)
  parser.blanks()
  const value = parser.value(0)
  if (value === undefined) {
    return Either.left(parser.error ?? { kind: "other", message: "", position: 0 })
  }
  parser.blanks()
  if (parser.index < text.length) parser.fail("Extra data", parser.index)
  return parser.error === undefined ? Either.right(value) : Either.left(parser.error)
}
