import { assert, describe, expect, it } from "@effect/vitest"
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

  for (const concurrency of [1, 3, 20]) {
    it.effect(`F103 ${concurrency} at once: a slow consumer holds up runs, and a stopped one loses none unseen`, () =>
      Effect.gen(function*() {
        const progress: Array<number> = []
        const taken: Array<Task.BulkResult> = []
        let asked = 0
        function* requests() {
          for (const request of prompts(100)) {
            asked++
            yield request
          }
        }
        const { requests: seen } = yield* Emulator.Emulator
        const begun = Effect.map(seen, (all) => all.filter(({ path }) => path.endsWith("/tmp")).length)
        const fiber = yield* Effect.fork(
          TaskService.runAll(requests(), {
            concurrency,
            onProgress: ({ done }) => Effect.sync(() => progress.push(done))
          }).pipe(
            Stream.take(5),
            Stream.runForEach((result) =>
              Effect.gen(function*() {
                taken.push(result)
                yield* Effect.sleep("1 minute")
                assert.isAtMost(yield* begun, taken.length + concurrency)
                assert.isAtMost(asked, taken.length + concurrency + 1)
                assert.strictEqual(progress.length, taken.length)
              })
            )
          )
        )
        yield* settle(Fiber.join(fiber), "10 seconds")
        assert.deepStrictEqual(progress, [1, 2, 3, 4, 5])
        for (const { index, request } of taken) assert.deepStrictEqual(request, prompts(100)[index])
        assert.strictEqual(new Set(taken.map(({ index }) => index)).size, 5)
        const { running, tasks } = yield* Emulator.Emulator
        assert.strictEqual(yield* running, 0)
        assert.strictEqual((yield* tasks).length, 0)
      }).pipe(againstTestClock(echo)))
  }

  it.effect("F103 the request of a result is the one that was given, failures included", () =>
    Effect.gen(function*() {
      const requests = [{ prompt: "a" }, { prompt: "" }, { prefix: "x" }]
      const results = yield* eventsOf(TaskService.runAll(requests, { by: "subscription" }))
      for (const { index, request } of results) assert.strictEqual(request, requests[index])
    }).pipe(againstTestClock(echo)))

  it.effect("F103 an iterable is told to end when its results are left, and not when it has ended", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      function* requests(size: number) {
        try {
          yield* prompts(size)
          told.push("ended")
        } finally {
          told.push("closed")
        }
      }
      yield* eventsOf(Stream.take(TaskService.runAll(requests(100), { concurrency: 2 }), 3))
      assert.deepStrictEqual(told, ["closed"])
      yield* eventsOf(TaskService.runAll(requests(3), { concurrency: 2 }))
      assert.deepStrictEqual(told, ["closed", "ended", "closed"])
    }).pipe(againstTestClock(echo)))

  const hostile: Readonly<Record<string, () => unknown>> = {
    "has an iterator that throws": () => ({ [Symbol.iterator]: () => ({ next: () => decodeURI("%") }) }),
    "has no next step": () => ({ [Symbol.iterator]: () => ({ next: () => null }) }),
    "throws for its iterator": () => ({ [Symbol.iterator]: () => decodeURI("%") }),
    "has a getter that throws for it": () => Object.defineProperty({}, Symbol.iterator, { get: () => decodeURI("%") }),
    "is a revoked proxy": () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    },
    "throws in mid-way": function*() {
      yield { prompt: "a" }
      decodeURI("%")
    }
  }
  for (const [what, make] of Object.entries(hostile)) {
    it.effect(`F103 a list of requests that ${what} is a typed failure, and every run is stopped`, () =>
      Effect.gen(function*() {
        const error = yield* failureOf(Stream.runDrain(TaskService.runAll(untyped(make()))))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", operation: "TaskService.runAll" })
        const { running } = yield* Emulator.Emulator
        assert.strictEqual(yield* running, 0)
      }).pipe(againstTestClock(story)))
  }

  for (
    const [what, onProgress] of [["throws", () => decodeURI("%")], ["returns no Effect", () => undefined]] as const
  ) {
    it.effect(`F103 onProgress that ${what} is a typed failure, and every run is stopped`, () =>
      Effect.gen(function*() {
        const options = { onProgress: untyped(onProgress) }
        const error = yield* failureOf(Stream.runDrain(TaskService.runAll(prompts(5), options)))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "onProgress" }] })
        const { running } = yield* Emulator.Emulator
        assert.strictEqual(yield* running, 0)
      }).pipe(againstTestClock(story)))
  }

  it.effect("F106 a subscription takes no schedule, but reports progress of its own", () =>
    Effect.gen(function*() {
      const options = { by: "subscription", schedule: Schedule.spaced("1 second") } as const
      const error = yield* failureOf(Stream.runDrain(TaskService.runAll(prompts(2), untyped(options))))
      expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "schedule" }] })
      assert.strictEqual((yield* (yield* Emulator.Emulator).requests).length, 0)
      let done = 0
      const onProgress = () => Effect.sync(() => void done++)
      yield* eventsOf(TaskService.runAll(prompts(2), { by: "subscription", onProgress }))
      assert.strictEqual(done, 2)
    }).pipe(againstTestClock(echo)))

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
