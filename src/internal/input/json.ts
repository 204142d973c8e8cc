/**
 * Reads foreign JSON and objects without throwing.
 */
import * as Option from "effect/Option"

/** Skips a byte order mark; `None` if the text is not JSON. */
export const parse = Option.liftThrowable((text: string): unknown =>
  JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text)
)

export const isRecord = (u: unknown): u is Record<string, unknown> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const read = Option.liftThrowable((u: unknown, key: string): unknown =>
  typeof u === "object" && u !== null ? Reflect.get(u, key) : undefined
)

/** A property of a foreign object; undefined if a getter or proxy throws. */
export const property = (u: unknown, key: string): unknown => Option.getOrUndefined(read(u, key))
