import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, Fiber, Schedule, Stream, TestClock } from "effect"
import { type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, echo, eventsOf, exitOf, failureOf, settle, story } from "./support/harness.js"
import { count } from "./support/program.js"
import { untyped } from "./support/wire.js"
import { eitherWay } from "./support/waits.js"

const prompts = (size: number) => Array.from({ length: size }, (_, index) => ({ prompt: `p${index}`, maxTokens: 40 }))

const textsOf = (results: ReadonlyArray<Task.BulkResult>) =>
  results.toSorted((a, b) => a.index - b.index)
    .map(({ result }) => Either.match(result, { onLeft: ({ _tag }) => _tag, onRight: ({ text }) => text }))

describe("runAll", () => {
  eitherWay("delivers the result of every request with its place, and cleans up", (by) =>
    Effect.gen(function*() {
      const results = yield* eventsOf(TaskService.runAll(prompts(20), { by }))
      assert.deepStrictEqual(textsOf(results), prompts(20).map(({ prompt }) => `<${prompt}>`))
      const { running, tasks } = yield* Emulator.Emulator
      assert.strictEqual(yield* running, 0)
      assert.strictEqual((yield* tasks).length, 0)
    }).pipe(againstTestClock(echo)))

  it.effect("runs no more at once than it may, and takes requests as they are needed", () =>
    Effect.gen(function*() {
      const { running } = yield* Emulator.Emulator
      let taken = 0
      const requests = Stream.tap(Stream.rechunk(Stream.fromIterable(prompts(30)), 1), () =>
        Effect.sync(() => {
          taken++
        }))
      const fiber = yield* Effect.fork(
        TaskService.runAll(requests, { concurrency: 3 }).pipe(
          Stream.tap(() => Effect.flatMap(running, (now) => Effect.sync(() => assert.isAtMost(now, 3)))),
          Stream.runCollect
        )
      )
      yield* TestClock.adjust("60 millis")
      assert.isAtMost(taken, 8)
      assert.strictEqual(Chunk.size(yield* settle(Fiber.join(fiber))), 30)
    }).pipe(againstTestClock(story)))

  it.effect("runs 64 at once by default", () =>
    Effect.gen(function*() {
      const { running } = yield* Emulator.Emulator
      const fiber = yield* Effect.fork(Stream.runDrain(TaskService.runAll(prompts(100))))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* running, 64)
      yield* settle(Fiber.join(fiber))
    }).pipe(againstTestClock(story)))

  it.effect("delivers failures as values, and reports progress", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const results = yield* eventsOf(
        TaskService.runAll([{ prompt: "a" }, { prompt: "" }, { prefix: "x" }], {
          onProgress: ({ done, failed }) => Effect.sync(() => seen.push(`${done}/${failed}`))
        })
      )
      assert.deepStrictEqual(textsOf(results), ["<a>", "RWKVValidationError", "<✿prefix✿✿suffix✿✿middle✿x>"])
      assert.deepStrictEqual(seen, ["1/1", "2/1", "3/1"])
    }).pipe(againstTestClock(echo)))

  it.effect("fails with the first failure if told so, and stops the other runs", () =>
    Effect.gen(function*() {
      const requests = [...prompts(3), { prompt: "" }, ...prompts(3)]
      const error = yield* failureOf(Stream.runDrain(TaskService.runAll(requests, { failures: "fail" })))
      assert.strictEqual(error._tag, "RWKVValidationError")
      const { running, tasks } = yield* Emulator.Emulator
      assert.strictEqual(yield* running, 0)
      assert.strictEqual((yield* tasks).length, 0)
    }).pipe(againstTestClock(story)))

  eitherWay("stops everything when it is interrupted", (by) =>
    Effect.gen(function*() {
      const { openStreams, running } = yield* Emulator.Emulator
      const fiber = yield* Effect.fork(Stream.runDrain(TaskService.runAll(prompts(10), { by })))
      yield* TestClock.adjust("60 millis")
      assert.strictEqual(yield* running, 10)
      yield* settle(Fiber.interrupt(fiber))
      assert.strictEqual(yield* running, 0)
      assert.strictEqual(yield* openStreams, 0)
      assert.strictEqual(yield* count("POST stop"), 10)
    }).pipe(againstTestClock(story)))

  eitherWay("holds every run to the options of a wait", (by) =>
    Effect.gen(function*() {
      const results = yield* eventsOf(TaskService.runAll(prompts(2), { by, timeout: "20 millis" }))
      assert.deepStrictEqual(textsOf(results), ["RWKVTimeoutError", "RWKVTimeoutError"])
    }).pipe(againstTestClock(story)))

  it.effect("listens, though its own progress is reported, unless it is told to look", () =>
    Effect.gen(function*() {
      yield* eventsOf(TaskService.runAll(prompts(3), { onProgress: () => Effect.void }))
      assert.deepStrictEqual([yield* count("GET status"), yield* count("GET stream")], [0, 3])
      yield* eventsOf(TaskService.runAll(prompts(3), { schedule: Schedule.spaced("10 millis") }))
      assert.strictEqual(yield* count("GET stream"), 3)
      assert.isAbove(yield* count("GET status"), 2)
    }).pipe(againstTestClock(echo)))

  it.effect("refuses what is no number of runs and no list of requests, and sends nothing", () =>
    Effect.gen(function*() {
      for (const concurrency of [0, -1, 1.5, "3", null]) {
        const exit = yield* exitOf(Stream.runDrain(TaskService.runAll([], { concurrency: untyped(concurrency) })))
        assert.isTrue(exit._tag === "Failure")
      }
      const error = yield* failureOf(Stream.runDrain(TaskService.runAll(untyped(5))))
      assert.strictEqual(error._tag, "RWKVValidationError")
      const { requests } = yield* Emulator.Emulator
      assert.strictEqual((yield* requests).length, 0)
    }).pipe(againstTestClock()))
})
