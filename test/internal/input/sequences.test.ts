import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { encoder } from "../../../src/internal/input/request.js"
import { optional } from "../../../src/internal/input/rules.js"
import { sequences } from "../../../src/internal/input/sequences.js"

const check = encoder(Schema.Struct({ stop: optional(sequences) }))

const rule = "must be 1 to 16 texts of 1 to 256 UTF-16 units each, without lone surrogates"

describe("the rule of stop sequences", () => {
  const good: ReadonlyArray<ReadonlyArray<string>> = [
    ["\n\nUser:"],
    ["a", "a", "😀"],
    Array.from({ length: 16 }, () => "a".repeat(256)),
    ["😀".repeat(128)]
  ]
  for (const [i, stop] of good.entries()) {
    it.effect(`good ones are taken as they are, ${i}`, () =>
      Effect.gen(function*() {
        expect(yield* check("op", { stop })).toEqual({ stop })
        expect(yield* check("op", { stop: undefined })).toEqual({})
      }))
  }

  const bad: ReadonlyArray<readonly [what: string, stop: unknown]> = [
    ["none at all", []],
    ["seventeen", Array.from({ length: 17 }, () => "a")],
    ["very many", Array.from({ length: 2 ** 20 }, () => "a")],
    ["an array of nothing, of the greatest length", Object.assign([], { length: 2 ** 32 - 1 })],
    ["an array with a hole", Object.assign(["a"], { 2: "b" })],
    ["an empty text", ["a", ""]],
    ["a text of 257 units", ["a".repeat(257)]],
    ["half a character", ["😀".slice(0, 1)]],
    ["the other half of a character", ["😀".slice(1)]],
    ["a text instead of an array", "\n\nUser:"],
    ["null", null],
    ["numbers", [1]],
    ["an iterable that is no array", new Set(["a"])],
    ["what only looks like an array", { length: 1, 0: "a" }],
    [
      "an array whose getter throws",
      Object.defineProperty(["a"], 0, {
        get: () => {
          throw new Error("no")
        }
      })
    ]
  ]
  for (const [what, stop] of bad) {
    it.effect(`${what} is refused by the rule, which shows no text`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(check("op", { stop }))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
        if (!what.endsWith("throws")) expect(error.issues).toEqual([{ path: "stop", message: rule }])
      }))
  }

  it.effect("what is checked is a copy: an array that changes later changes nothing", () =>
    Effect.gen(function*() {
      const stop = ["a"]
      const checked = yield* check("op", { stop })
      stop.push("")
      expect(checked).toEqual({ stop: ["a"] })
    }))
})
