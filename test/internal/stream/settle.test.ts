import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, TestClock } from "effect"
import type { Protocol } from "effect-rwkv"
import { settled } from "../../../src/internal/stream/settle.js"
import { resultOf } from "./words.js"

const result = (finished: boolean, generationTime: number): Protocol.TaskResult =>
  resultOf("text", { finished, generationTime: Duration.seconds(generationTime) })

describe("a result is settled", () => {
  const reads = (finished: boolean, generationTimes: ReadonlyArray<number>, maxTokens?: number) =>
    Effect.gen(function*() {
      let count = 0
      const read = Effect.sync(() => result(finished, generationTimes[count++] ?? 0))
      const fiber = yield* Effect.fork(settled(read, maxTokens))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      return count
    })

  it.effect("once its time of generation is there, or never, after four reads", () =>
    Effect.gen(function*() {
      expect(yield* reads(true, [0, 0, 0, 0])).toBe(4)
      expect(yield* reads(true, [0, 0, 5])).toBe(3)
      expect(yield* reads(true, [0, 5])).toBe(2)
    }))

  it.effect("at once if its time is there, the task goes on, or no token was asked for", () =>
    Effect.gen(function*() {
      expect(yield* reads(true, [5])).toBe(1)
      expect(yield* reads(false, [0])).toBe(1)
      expect(yield* reads(true, [0], 0)).toBe(1)
    }))

  it.effect("a failure of any reading is told", () =>
    Effect.gen(function*() {
      let count = 0
      const fiber = yield* Effect.fork(
        Effect.flip(
          settled(
            Effect.suspend(() => count++ === 0 ? Effect.succeed(result(true, 0)) : Effect.fail("lost")),
            undefined
          )
        )
      )
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toBe("lost")
    }))
})
