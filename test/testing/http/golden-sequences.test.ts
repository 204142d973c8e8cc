import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../../support/clock.js"
import { sequences } from "../../support/golden.js"
import { comparable, play } from "../../support/replay.js"

/** Its prompts never end by themselves. */
const recorded: Emulator.Options = {
  reply: () => ({ tokens: [..."abcdefghijklmnopqrstuvwxyz"], end: "loop" }),
  pulse: 20,
  prefillPerToken: "500 micros"
}

describe("golden sequences", () => {
  it.scoped.each(sequences)(
    "$name is answered call by call as the real server answered",
    (sequence) =>
      Effect.gen(function*() {
        // A prefill-only task tells the time of day.
        yield* Effect.sleep("20000 days")
        const emulator = yield* Emulator.make(recorded)
        yield* play(emulator, sequence, (step, outcome, index) => {
          const name = `${index}: ${step.kind} ${step.path} ${step.body ?? ""}`
          expect({ name, ...comparable(step, outcome) }).toEqual({ name, ...comparable(step, step.response) })
        })
      }).pipe(Clock.run("21000 days"))
  )
})
