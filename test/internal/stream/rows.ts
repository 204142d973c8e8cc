/** Rows of the table of a stream's state machine. */
import { describe, expect, it } from "@effect/vitest"
import type { Signal, State, Step, Subject } from "../../../src/internal/stream/signals.js"
import { hear, say, subject, textOf } from "./words.js"

/** A row: the name, the state before, the signal, the text that is delivered, the command, and what else is known after. */
export type Row = readonly [string, State, Signal, string, string, Partial<State>?, Step["life"]?]

export const rows = (name: string, all: ReadonlyArray<Row>, about: Subject = subject) =>
  describe(name, () => {
    for (const [row, state, signal, text, command, next = {}, life] of all) {
      it(row, () => {
        const step = hear(about, state, signal)
        expect(textOf(step)).toBe(text)
        expect(say(step.command)).toBe(command)
        expect(step.state).toMatchObject({ delivered: state.delivered + text, ...next })
        if (life !== undefined) expect(step.life).toBe(life)
      })
    }
  })
