import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, eventsOf, finished, settle, story } from "../../support/harness.js"
import { count, long, verbs } from "../../support/program.js"

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
    }).pipe(againstTestClock(story)))

  it.effect("streams as it comes to whoever listens", () =>
    Effect.gen(function*() {
      const { id } = yield* finished()
      const fork = yield* settle(TaskService.fork(id, { prompt: "x", maxTokens: 320 }))
      const events = yield* eventsOf(fork.streamEvents())
      expect(events.filter(({ _tag }) => _tag === "Text").length).toBeGreaterThan(5)
      expect(events.at(-1)?._tag).toBe("Finished")
    }).pipe(againstTestClock(story)))

  it.effect("is stopped by a listener that leaves early, if told so", () =>
    Effect.gen(function*() {
      const { running } = yield* Emulator.Emulator
      const { id } = yield* finished()
      const fork = yield* settle(TaskService.fork(id, { prompt: "x", maxTokens: 320 }))
      yield* settle(fork.stream({ onInterrupt: "stop" }).pipe(Stream.take(1), Stream.runDrain))
      expect(yield* count("POST stop")).toBe(1)
      yield* TestClock.adjust("100 millis")
      expect(yield* running).toBe(0)
    }).pipe(againstTestClock(story)))

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
    }).pipe(againstTestClock(story)))

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
    }).pipe(againstTestClock(story)))
})
