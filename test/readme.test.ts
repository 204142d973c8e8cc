// The tests that the README shows, as it shows them: `test/readme.ts` compares.
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, TestClock } from "effect"
import { RWKV, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"

const summarize = (text: string) => TaskService.run({ prompt: `${text}\n\nSummary:`, maxTokens: 60 })

const Server = Emulator.layer({ reply: ({ text }) => text.endsWith("Summary:") ? " Short." : undefined, pulse: 0 })

it.live("summarizes, and survives a lost poll", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    yield* emulator.inject({ on: { path: "/status" }, kind: Emulator.FaultKind.Reset({ executed: false }) })
    const result = yield* summarize("A long text.")
    assert.strictEqual(result.text, " Short.")
    assert.strictEqual(yield* emulator.running, 0)
  }).pipe(Effect.provide(Layer.provideMerge(RWKV.layer(), Server))))

// under the TestClock nothing waits for real: fork, move the time, join
it.effect("gives up after ten seconds", () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flip(TaskService.run({ prompt: "..." }, { timeout: "10 seconds" })))
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "RWKVTimeoutError")
  }).pipe(Effect.provide(Layer.provideMerge(RWKV.layer(), Emulator.layer({ pulse: "1 minute" })))))
