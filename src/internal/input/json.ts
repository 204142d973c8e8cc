/**
 * JSON of others, which may hold anything.
 */
import * as Option from "effect/Option"

/** A byte order mark is no part of it. */
export const parse = Option.liftThrowable((text: string): unknown =>
  JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text)
)

export const isRecord = (u: unknown): u is Record<string, unknown> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const read = Option.liftThrowable((u: unknown, key: string): unknown =>
  typeof u === "object" && u !== null ? Reflect.get(u, key) : undefined
)

/** What an object of others holds there: nothing if that throws, as getters and proxies may. */
export const property = (u: unknown, key: string): unknown => Option.getOrUndefined(read(u, key))
