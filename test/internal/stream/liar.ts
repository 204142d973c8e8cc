/** A server that says anything. */
import { FastCheck } from "effect"
import type { Command, Signal } from "../../../src/internal/stream/signals.js"
import { type Frame, undecodable } from "../../../src/internal/wire/sse.js"
import {
  concluded,
  connected,
  data,
  done,
  ended,
  frames,
  head,
  idle,
  reset,
  result,
  status,
  tail,
  unanswered,
  unasked,
  undecoded,
  unread,
  unreadable
} from "./words.js"

const anyFrame: FastCheck.Arbitrary<Frame> = FastCheck.oneof(
  { weight: 6, arbitrary: FastCheck.string({ unit: FastCheck.constantFrom("a", "b", "🌍"), maxLength: 4 }).map(data) },
  { weight: 1, arbitrary: FastCheck.constantFrom(head, unreadable, data(undecodable)) },
  { weight: 1, arbitrary: FastCheck.constantFrom<Frame>(done, data("\uFFFDa"), { _tag: "TooLarge" }) }
)

const anyText = FastCheck.string({ unit: FastCheck.constantFrom("a", "b", "🌍"), maxLength: 8 })

export const anyAnswer = FastCheck.record({
  frames: FastCheck.array(anyFrame, { maxLength: 6 }),
  text: anyText,
  how: FastCheck.nat(9),
  follow: FastCheck.boolean()
})

type Answer = typeof anyAnswer extends FastCheck.Arbitrary<infer A> ? A : never

/** A server that says anything; some of it follows what it said before, so that paths are long. */
export const makeLiar = (answers: ReadonlyArray<Answer>, mixes: number) => {
  let at = 0
  let said = ""
  return {
    alone: () => at <= mixes,
    answer: (command: Command): Signal | undefined => {
      const answer = answers[at++]
      if (answer === undefined) return undefined
      const { follow, how, text } = answer
      const repeated = follow ? said + text : text
      switch (command._tag) {
        case "Listen":
          if (how === 8) return idle()
          if (how === 9) return ended
          for (const frame of answer.frames) if (frame._tag === "Data") said += frame.text
          return frames(...answer.frames)
        case "Reconnect":
          return connected
        case "Retry":
          return connected
        case "ReadResult":
          return how === 0
            ? undecoded
            : how === 1
            ? unread(reset)
            : result(repeated, { finished: how > 3 })
        case "ReadTail":
          return how === 1 ? unread(reset) : tail(repeated)
        case "AskStatus":
          return how === 0 ? unasked(reset) : how === 1 ? unanswered(true) : status("Running", how)
        case "Conclude":
          return concluded(command.result, how, follow)
        case "Fail":
        case "End":
          return undefined
      }
    }
  }
}
