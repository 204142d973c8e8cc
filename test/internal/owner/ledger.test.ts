import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { HttpClient, RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Ledger from "../../../src/internal/owner/ledger.js"

const ledger = Effect.provide(
  Effect.flatMap(HttpClient.RWKVHttpClient, (http) => Ledger.of(http, Duration.seconds(5))),
  HttpClient.layer.pipe(Layer.provide(RWKVConfig.layer()), Layer.provide(Emulator.layer()))
)

describe("ledger", () => {
  it.scoped("remembers the newest thousands of tasks and forgets the oldest", () =>
    Effect.gen(function*() {
      const { stopped } = yield* ledger
      for (let i = 0; i < 5000; i++) {
        stopped.set(`TASK_${i}`, true)
        stopped.set("TASK_0", true)
      }
      expect(stopped.get("TASK_4999")).toBe(true)
      expect(stopped.get("TASK_1000")).toBe(true)
      expect(stopped.get("TASK_800")).toBeUndefined()
      expect(stopped.get("TASK_0")).toBe(true)
    }))

  it("a run is alone until another one overlaps it, and the next ones are again when all have left", () => {
    const group = Ledger.makeGroup()
    const one = group.enter()
    expect([one.alone(), group.mixed()]).toEqual([true, false])
    const two = group.enter()
    expect([one.alone(), two.alone(), group.mixed()]).toEqual([false, false, true])
    one.leave()
    expect(two.alone()).toBe(false)
    two.leave()
    expect(group.enter().alone()).toBe(true)
  })
})
