import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { origin } from "../support/wire.js"

describe("layer", () => {
  it.effect("provides the emulator and its HttpClient", () =>
    Effect.gen(function*() {
      const response = yield* HttpClient.get(`${origin}/v1/models`)
      const emulator = yield* Emulator.Emulator
      expect(yield* response.json).toMatchObject({ object: "list" })
      expect(yield* emulator.requests).toHaveLength(1)
      expect(emulator.profile).toBe("current")
    }).pipe(Effect.provide(Emulator.layer())))
})
