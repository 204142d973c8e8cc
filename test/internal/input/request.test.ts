import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { withDefaults } from "../../../src/internal/input/request.js"
import * as wire from "../../support/wire.js"

const { proxy, revoke } = Proxy.revocable({ prompt: "a" }, {})
revoke()

describe("requests", () => {
  it.effect("withDefaults keeps what the request gives, and fails for one that cannot be read", () =>
    Effect.gen(function*() {
      const complete = (request: object) => withDefaults("op", { maxTokens: 5, topK: 1 }, request)
      expect(yield* complete({ prompt: "a", maxTokens: 7, topK: undefined }))
        .toEqual({ prompt: "a", maxTokens: 7, topK: 1 })
      expect(yield* wire.failure(complete([1])))
        .toMatchObject({ issues: [{ path: "", message: "must be an object of options" }] })
      expect(yield* wire.failure(complete(proxy)))
        .toMatchObject({ _tag: "RWKVValidationError", operation: "op", issues: [{ message: "cannot be read" }] })
    }))
})
