/**
 * JSON of others, which may hold anything.
 */
import * as Option from "effect/Option"

export const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

export const isRecord = (u: unknown): u is Record<string, unknown> =>
  typeof u === "object" && u !== null && !Array.isArray(u)
