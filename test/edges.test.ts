import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream, TestClock } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { against, count, eventsOf, failureOf, finished, hostile, long, settle, story, verbs } from "./harness.js"

const { FaultKind } = Emulator

describe("a recorded run", () => {
  it.effect("can be waited for, read and listened to by the consumer of its own stream", () =>
    Effect.gen(function*() {
      const { id } = yield* finished()
      const texts = yield* settle(
        StreamService.forkEvents(id, { prompt: "x", maxTokens: 320 }).pipe(
          Stream.filter((event) => event._tag === "Started"),
          Stream.mapEffect(({ taskId }) =>
            Effect.all([
              Effect.map(TaskService.wait(taskId), ({ text }) => text),
              Effect.map(TaskService.result(taskId), ({ text }) => text),
              Stream.mkString(StreamService.subscribe(taskId))
            ])
          ),
          Stream.runCollect
        )
      )
      expect(Array.from(texts)).toEqual([[long, long, long]])
    }).pipe(against(story)))

  it.effect("streams as it comes to whoever listens", () =>
    Effect.gen(function*() {
      const { id } = yield* finished()
      const fork = yield* settle(TaskService.fork(id, { prompt: "x", maxTokens: 320 }))
      const events = yield* eventsOf(fork.streamEvents())
      expect(events.filter(({ _tag }) => _tag === "Text").length).toBeGreaterThan(5)
      expect(events.at(-1)?._tag).toBe("Finished")
    }).pipe(against(story)))

  it.effect("is stopped by a listener that leaves early, if told so", () =>
    Effect.gen(function*() {
      const { running } = yield* Emulator.Emulator
      const { id } = yield* finished()
      const fork = yield* settle(TaskService.fork(id, { prompt: "x", maxTokens: 320 }))
      yield* settle(fork.stream({ onInterrupt: "stop" }).pipe(Stream.take(1), Stream.runDrain))
      expect(yield* count("POST stop")).toBe(1)
      yield* TestClock.adjust("100 millis")
      expect(yield* running).toBe(0)
    }).pipe(against(story)))

  it.effect("interrupted before it was sent, is never sent", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      const { id } = yield* finished()
      yield* inject({ on: { path: "/status" }, kind: FaultKind.Delay({ duration: "1 second" }) })
      const fiber = yield* Effect.fork(TaskService.fork(id, { prompt: "x" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 seconds")
      expect((yield* verbs).filter((verb) => verb === "POST fork")).toEqual([])
    }).pipe(against(story)))

  it.effect("interrupted before its answer, is stopped and deleted", () =>
    Effect.gen(function*() {
      const { inject, running } = yield* Emulator.Emulator
      const { id } = yield* finished()
      yield* inject({ on: { path: "/fork" }, kind: FaultKind.Delay({ duration: "1 second", executed: true }) })
      const fiber = yield* Effect.fork(TaskService.fork(id, { prompt: "x" }))
      yield* TestClock.adjust("500 millis")
      yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("5 seconds")
      expect(yield* running).toBe(0)
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(against(story)))
})

describe("limits", () => {
  it.effect("the timeout of run covers the create", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      yield* inject({ on: { path: "/tmp" }, kind: FaultKind.Delay({ duration: "3 seconds" }) })
      const fiber = yield* Effect.fork(Effect.flip(TaskService.run({ prompt: "a" }, { timeout: "300 millis" })))
      yield* TestClock.adjust("300 millis")
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait", limit: Duration.millis(300) })
      yield* TestClock.adjust("10 seconds")
    }).pipe(against(story)))

  it.effect("a stop that failed does not make a wait fail", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* inject({ on: { path: "/stop" }, times: 100, kind: FaultKind.Reset({ executed: false }) })
      yield* failureOf(task.stop({ within: "1 second" }))
      expect((yield* settle(task.wait())).text).toBe(long)
    }).pipe(against(story)))
})

describe("options of callers without types", () => {
  const bad: ReadonlyArray<readonly [string, unknown]> = [
    ["schedule", { schedule: 5 }],
    ["onProgress", { onProgress: 5 }],
    ["by", { by: "foo" }],
    ["timout", { timout: 5 }],
    ["", {
      get timeout() {
        throw new Error("no")
      }
    }]
  ]

  for (const [path, options] of bad) {
    it.effect(`${path || "a getter that throws"} is refused by wait, and nothing is sent`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(TaskService.wait("TMP_1", hostile(options)))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path }] })
        expect(yield* verbs).toEqual([])
      }).pipe(against()))
  }

  for (const options of [{ onInterrupt: "detatch" }, { transport: "ws" }, { cleanup: "no" }, { retry: 5 }]) {
    it.effect(`${Object.keys(options)[0]} is refused by a stream, and nothing is sent`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Stream.runDrain(StreamService.create({ prompt: "a" }, hostile(options))))
        expect(error._tag).toBe("RWKVValidationError")
        expect(yield* verbs).toEqual([])
      }).pipe(against()))
  }

  it.effect("a force that is no boolean, and failures that are no choice, are refused", () =>
    Effect.gen(function*() {
      expect((yield* Effect.flip(TaskService.delete("TMP_1", hostile({ force: "yes" }))))._tag).toBe(
        "RWKVValidationError"
      )
      const bulk = Stream.runDrain(TaskService.runAll([], hostile({ failures: "failed" })))
      expect((yield* Effect.flip(bulk))._tag).toBe("RWKVValidationError")
    }).pipe(Effect.provide(RWKV.layerFetch())))
})
