import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Schema from "effect/Schema"
import { nearest } from "../../../src/internal/input/nearest.js"
import { encoder, withDefaults } from "../../../src/internal/input/request.js"
import * as wire from "../../support/wire.js"

const { proxy, revoke } = Proxy.revocable({ prompt: "a" }, {})
revoke()

describe("requests", () => {
  it.effect("withDefaults keeps what the request gives, and fails for one that cannot be read", () =>
    Effect.gen(function*() {
      const complete = (request: object) => withDefaults("op", { defaults: { maxTokens: 5, topK: 1 } }, request)
      expect(yield* complete({ prompt: "a", maxTokens: 7, topK: undefined }))
        .toEqual({ prompt: "a", maxTokens: 7, topK: 1 })
      expect(yield* wire.failure(complete([1])))
        .toMatchObject({ issues: [{ path: "", message: "must be an object of options" }] })
      expect(yield* wire.failure(complete(proxy)))
        .toMatchObject({ _tag: "RWKVValidationError", operation: "op", issues: [{ message: "cannot be read" }] })
    }))
})

describe("names that are not known", () => {
  const known = ["maxTokens", "temperature", "topK", "topP", "seed", "baseUrl", "requestTimeout", "onInterrupt", "by"]

  it.each([
    ["maxTokens1", "maxTokens"],
    ["maxToken", "maxTokens"],
    ["max_tokens", "maxTokens"],
    ["MAX-TOKENS", "maxTokens"],
    ["maxNewTokens", "maxTokens"],
    ["tokens", "maxTokens"],
    ["temprature", "temperature"],
    ["temp", "temperature"],
    ["top_k", "topK"],
    ["tpoP", undefined],
    ["baseURL", "baseUrl"],
    ["timeout", "requestTimeout"],
    ["onInterupt", "onInterrupt"],
    ["prompt", undefined],
    ["stop", undefined],
    ["", undefined],
    ["__proto__", undefined],
    ["maxTokens".repeat(9), undefined]
  ])("%s means %s", (name, meant) => {
    expect(nearest(name, known)).toBe(meant)
  })

  it.effect("the whole path is told, a value never, and no number of names takes long", () =>
    Effect.gen(function*() {
      const encode = encoder(Schema.Struct({ maxTokens: Schema.optional(Schema.Number) }))
      const secret = { maxToken: "sk-12345", [`k${"\n".repeat(999)}`]: "sk-12345" }
      const error = yield* wire.failure(encode("op", secret, "defaults"))
      expect(error).toMatchObject({
        issues: [
          { path: "defaults.maxToken", message: "is an unknown option: did you mean maxTokens?" },
          { path: "defaults.k", message: "is an unknown option: the options are maxTokens" }
        ]
      })
      expect(JSON.stringify(error)).not.toContain("12345")
      const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`${index}`.padStart(39, "x"), 1]))
      const begun = performance.now()
      yield* wire.failure(encode("op", many))
      expect(performance.now() - begun).toBeLessThan(2000)
    }))
})
