/**
 * Checks configured headers: by the syntax of HTTP, and for names that the HTTP client sets itself.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { isRecord } from "./json.js"
import { attempt, invalid } from "./validate.js"

interface Given {
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

const refuse = (operation: string, path: string, message: string) => Effect.fail(invalid(operation, path, message))

const reveal = (operation: string, path: string, value: unknown) =>
  attempt(operation, path, (): unknown => Redacted.isRedacted(value) ? Redacted.value(value) : value)

/** HTTP clients set these themselves, and refuse them or send contradictory requests. */
const ofConnection = new Set(
  "__proto__ connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade"
    .split(" ")
)

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const checkHeader = (operation: string, path: string, name: string, secret: unknown) =>
  Effect.flatMap(reveal(operation, path, secret), (value) =>
    !token.test(name)
      ? refuse(operation, path, "must have a header name made of token characters")
      : ofConnection.has(name.toLowerCase())
      ? refuse(operation, path, `must not have ${name.toLowerCase()}, which the HTTP client sets`)
      : typeof value !== "string"
      ? refuse(operation, path, "must be a string, Redacted or not")
      : /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
      ? Effect.succeed(value)
      : refuse(operation, path, "must not contain line breaks or characters beyond Latin-1"))

const isName = (name: unknown) => typeof name === "string" && name.length <= 64 && token.test(name)

/** Whether these are at most 16 header names, none of a header that holds credentials. */
export const isNames = (names: unknown): boolean =>
  Array.isArray(names) && names.length <= 16 && names.every(isName) &&
  !names.some((name) => /^(set-cookie|cookie|(proxy-)?authorization)$/i.test(name))

/** The headers as one secret; names in lower case, so that an override replaces the same header. */
export const checkHeaders = (operation: string, { apiKey, headers }: Given) =>
  Effect.gen(function*() {
    const given = headers ?? {}
    const entries = yield* attempt(
      operation,
      "headers",
      () => isRecord(given) && !(Symbol.iterator in given) ? Object.entries(given) : undefined
    )
    if (entries === undefined) return yield* refuse(operation, "headers", "must be an object of names and values")
    const checked = new Map<string, string>()
    for (const [name, value] of entries) {
      // A bad name is not repeated, because it may be a secret in the wrong place.
      checked.set(name.toLowerCase(), yield* checkHeader(operation, "headers", name, value))
    }
    if (apiKey !== undefined) {
      checked.set("authorization", `Bearer ${yield* checkHeader(operation, "apiKey", "authorization", apiKey)}`)
    }
    return Redacted.make(Object.fromEntries(checked))
  })
