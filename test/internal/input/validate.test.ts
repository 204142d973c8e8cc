import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as validate from "../../../src/internal/input/validate.js"

const { proxy, revoke } = Proxy.revocable({ prompt: "a" }, {})
revoke()

describe("validation", () => {
  it.effect("a duration is what Duration takes, but no number that is no time", () =>
    Effect.gen(function*() {
      const parse = (input: unknown) => validate.duration("op", "timeout", input, "9 seconds")
      expect(yield* parse("2 seconds")).toEqual(Duration.seconds(2))
      expect(yield* parse(0)).toEqual(Duration.zero)
      expect(yield* parse(undefined)).toEqual(Duration.seconds(9))
      for (const input of [Number.NaN, -1, "x", null, proxy]) {
        expect(yield* Effect.option(parse(input))).toEqual(Option.none())
      }
    }))
})
