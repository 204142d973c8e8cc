import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Stream } from "effect"
import type { Emulator } from "effect-rwkv/testing"
import * as Clock from "../../support/clock.js"
import { data, done, post, prompt, start } from "../../support/emulator.js"

/** 150 ms for a prompt of two tokens, 60 ms for a pulse, half a second for an idle scheduler to look again. */
const slow: Emulator.Options = { prefillPerToken: 75, pulse: 60, idleDelay: 500 }

/** A stream asked for by POST as its client sees it; who hears nothing for 5 seconds gives up. */
const outcome = (emulator: Emulator.Service, begun: Effect.Effect<unknown> = Effect.void) =>
  Effect.gen(function*() {
    const { stream } = yield* post(emulator, "/v1/tasks/tmp", { ...prompt(0, 200), stream: true })
    const chunks = yield* stream.pipe(
      Stream.tap(() => begun),
      Stream.map((chunk) => new TextDecoder().decode(chunk)),
      Stream.timeout("5 seconds"),
      Stream.runCollect
    )
    const frames = Chunk.toReadonlyArray(chunks)
    if (frames.at(-1) !== done) return "hung"
    return data(frames).join("").length === 200 ? "whole" : "short"
  })

const tally = (outcomes: ReadonlyArray<string>) =>
  ["whole", "short", "hung"].map((kind) => outcomes.filter((outcome) => outcome === kind).length)

const plain = (emulator: Emulator.Service, count: number) =>
  Effect.all(Array.from({ length: count }, () => outcome(emulator)), { concurrency: "unbounded" })

/** The next POST is sent when the head event of the one before has come. */
const inLane = (emulator: Emulator.Service, count: number) =>
  Effect.gen(function*() {
    const lane = yield* Effect.makeSemaphore(1)
    const one = Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* lane.withPermits(1)(
        Effect.zipLeft(Effect.fork(outcome(emulator, Deferred.succeed(begun, undefined))), Deferred.await(begun))
      )
      return yield* fiber
    })
    return yield* Effect.all(Array.from({ length: count }, () => one), { concurrency: "unbounded" })
  })

describe("H1 H34 direct streams at once while prompts are read", () => {
  for (const count of [12, 32]) {
    it.scoped(`${count} of them lose beginnings and ends`, () =>
      Effect.gen(function*() {
        const emulator = yield* start(slow)
        const [whole = 0, short = 0, hung = 0] = tally(yield* plain(emulator, count))
        expect([whole > 0, whole < 4, short > 0, hung > 0]).toEqual([true, true, true, true])
      }).pipe(Clock.run()))

    it.scoped(`${count} of them, each sent after the head of the one before, lose nothing`, () =>
      Effect.gen(function*() {
        const emulator = yield* start(slow)
        expect(tally(yield* inLane(emulator, count))).toEqual([count, 0, 0])
      }).pipe(Clock.run()))
  }
})
