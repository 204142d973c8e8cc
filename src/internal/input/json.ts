/**
 * JSON of others, which may hold anything.
 *
 * @internal
 */
import * as Option from "effect/Option"

/** @internal */
export const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** @internal */
export const isRecord = (u: unknown): u is Record<string, unknown> =>
  typeof u === "object" && u !== null && !Array.isArray(u)
