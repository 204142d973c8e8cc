import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, TestClock } from "effect"
import type { Protocol } from "effect-rwkv"
import { settled } from "../../../src/internal/stream/settle.js"
import { resultOf, taskId } from "./words.js"

const result = (finished: boolean, generationTime: number): Protocol.TaskResult =>
  resultOf("text", { finished, generationTime: Duration.seconds(generationTime) })

describe("a result is settled", () => {
  const reads = (
    finished: boolean,
    generationTimes: ReadonlyArray<number>,
    maxTokens?: number,
    look: Effect.Effect<Protocol.TaskInfo, unknown> = Effect.dieMessage("was not to be asked")
  ) =>
    Effect.gen(function*() {
      let count = 0
      const read = Effect.sync(() => result(finished, generationTimes[count++] ?? 0))
      const fiber = yield* Effect.fork(settled(read, maxTokens, look))
      yield* TestClock.adjust("1 minute")
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

  it.effect("later, if it is of a run of this program, until all of them are there", () =>
    Effect.gen(function*() {
      const has = (generatedTokens: number) => Effect.succeed({ taskId, status: "Finished" as const, generatedTokens })
      expect(yield* reads(true, [0, 0, 0, 0, 0, 5], 80, has(64))).toBe(6)
      expect(yield* reads(true, [], 80, has(64))).toBe(8)
      expect(yield* reads(true, [], 80, has(80))).toBe(5)
      expect(yield* reads(true, [], 80, has(0))).toBe(8)
      expect(yield* reads(true, [], 80, Effect.fail("no answer"))).toBe(8)
      expect(yield* reads(true, [], 80, Effect.never)).toBe(8)
    }))

  it.effect("a failure of any reading is told", () =>
    Effect.gen(function*() {
      let count = 0
      const fiber = yield* Effect.fork(
        Effect.flip(
          settled(
            Effect.suspend(() => count++ === 0 ? Effect.succeed(result(true, 0)) : Effect.fail("lost")),
            undefined,
            Effect.fail("lost")
          )
        )
      )
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toBe("lost")
    }))
})
