/** How long a run counts among those that write to the buffer of a source (H15). */
import { expect, it } from "@effect/vitest"
import { Effect, Stream, TestClock } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Runs from "../../../src/internal/stream/runs.js"
import { againstTestClock, settle } from "../../support/harness.js"

const story = { reply: () => "a story that takes a while to tell. ".repeat(20), tokensPerPulse: 1 }

/** Whether a new run of the source would be alone. */
const isAlone = (id: string) =>
  Effect.gen(function*() {
    const runs = Runs.carriedBy(yield* StreamService.StreamService)
    const run = runs?.ledger.sharing.get(id)?.enter()
    run?.leave()
    return run?.alone()
  })

for (const how of ["cut by a stop sequence", "left"] as const) {
  it.effect(`a fork that is ${how} writes on until its stop is carried out`, () =>
    Effect.gen(function*() {
      const source = yield* TaskService.create({ prompt: "a", maxTokens: 4 })
      yield* settle(source.wait())
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ on: { path: "/stop" }, times: 3, kind: Emulator.FaultKind.Status({ status: 500 }) })
      const fork = (options: object) =>
        StreamService.fork(source.id, { prompt: "b", maxTokens: 700 }, { cleanup: "keep", ...options })
      yield* settle(
        Stream.runDrain(how === "left" ? Stream.take(fork({}), 3) : fork({ stop: ["takes"] }))
      )
      expect(yield* emulator.running).toBe(1)
      yield* TestClock.adjust("5 seconds")
      expect([yield* emulator.running, yield* isAlone(source.id)]).toEqual([1, false])
    }).pipe(againstTestClock(story)))

  it.effect(`a fork that is ${how} and has ended leaves the source to others`, () =>
    Effect.gen(function*() {
      const source = yield* TaskService.create({ prompt: "a", maxTokens: 4 })
      yield* settle(source.wait())
      const emulator = yield* Emulator.Emulator
      const fork = StreamService.fork(source.id, { prompt: "b", maxTokens: 700 }, {
        cleanup: "keep",
        ...(how === "left" ? {} : { stop: ["takes"] })
      })
      yield* settle(Stream.runDrain(how === "left" ? Stream.take(fork, 3) : fork))
      yield* TestClock.adjust("5 seconds")
      expect([yield* emulator.running, yield* isAlone(source.id)]).toEqual([0, true])
    }).pipe(againstTestClock(story)))
}
