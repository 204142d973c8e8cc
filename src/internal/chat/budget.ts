/**
 * Chooses the part of a history that is sent.
 */
import * as Effect from "effect/Effect"
import type { Message } from "../../RWKVMessage.js"
import { isRecord } from "../input/json.js"
import { attempt, invalid } from "../input/validate.js"
import { type Checked, messagesAt, refuse } from "./check.js"

/** How much of a history is sent with a turn. */
export type Budget =
  | {
    /**
     * The most turns of the user that are sent, the new one included: an integer from 1 on. Each goes with its replies,
     * calls and results. Messages before the oldest of them are left out, except the system's.
     */
    readonly maxTurns: number
  }
  | ((messages: ReadonlyArray<Message>) => ReadonlyArray<Message>)

export const check = (budget: unknown): Checked<void> =>
  Effect.flatMap(
    attempt("RWKVChat", "budget", () =>
      budget === undefined || typeof budget === "function" || isRecord(budget) && isCount(budget["maxTurns"])),
    (fits) =>
      fits ? Effect.void : refuse("budget", "must be a function, or have maxTurns, an integer from 1 on")
  )

const isCount = (u: unknown) => typeof u === "number" && Number.isSafeInteger(u) && u >= 1

const lastTurns = (history: ReadonlyArray<Message>, input: ReadonlyArray<Message>, most: number) => {
  const turns = [...history, ...input].flatMap(({ _tag }, index) => _tag === "User" ? [index] : [])
  return turns.length > most ? history.slice(turns.at(-most)) : history
}

/** The part of the history that is sent with this input: the same array if that is all of it. */
export const apply = (
  budget: Budget | undefined,
  history: ReadonlyArray<Message>,
  input: ReadonlyArray<Message>
): Checked<ReadonlyArray<Message>> => {
  if (typeof budget !== "function") return Effect.succeed(lastTurns(history, input, budget?.maxTurns ?? Infinity))
  return Effect.try({
    try: (): ReadonlyArray<unknown> => {
      const kept: unknown = budget(history.slice())
      return Array.isArray(kept) ? Array.from(kept) : [undefined]
    },
    catch: () => invalid("RWKVChat", "budget", "must not throw, and must return an array of messages")
  }).pipe(
    Effect.flatMap((kept) =>
      kept.length === history.length && kept.every((message, index) => message === history[index])
        ? Effect.succeed(history)
        : messagesAt("budget", kept)
    )
  )
}
