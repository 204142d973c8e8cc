import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import { TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, echo, failureOf, finished, ids, settle, story } from "./support/harness.js"
import { calls, count, verbs } from "./support/program.js"

const { FaultKind } = Emulator

describe("stop", () => {
  it.effect("returns when the task has ended", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("120 millis")
      const info = yield* settle(TaskService.stop(task.id))
      expect(info).toMatchObject({ taskId: task.id, status: "Finished" })
      expect(info.generatedTokens).toBeLessThan(320)
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(againstTestClock(story)))

  it.effect("does not ask to stop what has ended", () =>
    Effect.gen(function*() {
      const task = yield* finished("hello")
      expect((yield* task.stop()).status).toBe("Finished")
      expect(yield* count("POST stop")).toBe(0)
      expect((yield* settle(task.wait())).text).toBe("<hello>")
    }).pipe(againstTestClock(echo)))

  it.effect("F57 says so within its limit when the task runs on, after one repetition", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("120 millis")
      const fiber = yield* Effect.fork(Effect.flip(task.stop({ within: "3 seconds" })))
      yield* TestClock.adjust("2999 millis")
      expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(fiber)).toMatchObject({
        _tag: "RWKVTimeoutError",
        kind: "stop",
        operation: "TaskService.stop",
        taskId: task.id,
        limit: Duration.seconds(3)
      })
      expect(yield* count("POST stop")).toBe(2)
    }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }), stopMisses: () => true })))

  it.effect("a second stop that reaches the task ends it", () =>
    Effect.gen(function*() {
      let misses = true
      yield* Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "a" })
        yield* TestClock.adjust("120 millis")
        const fiber = yield* Effect.fork(task.stop())
        yield* TestClock.adjust("500 millis")
        misses = false
        expect((yield* settle(Fiber.join(fiber))).status).toBe("Finished")
        expect(yield* count("POST stop")).toBe(2)
      }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }), stopMisses: () => misses }))
    }))

  it.effect("one limit holds for all of its requests", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* emulator.inject({ on: { path: "status" }, kind: FaultKind.Delay({ duration: "800 millis" }) })
      yield* emulator.inject({ on: { path: "stop" }, kind: FaultKind.Hang({ executed: false }) })
      const fiber = yield* Effect.fork(Effect.flip(task.stop({ within: "1 second" })))
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toMatchObject({ kind: "stop" })
    }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }) })))
})

describe("delete", () => {
  it.effect("stops what runs and deletes it", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("20 millis")
      expect(yield* TaskService.delete(task.id)).toBeUndefined()
      yield* TestClock.adjust("100 millis")
      expect(yield* emulator.running).toBe(0)
      expect((yield* Effect.flip(TaskService.delete(task.id)))._tag).toBe("TaskNotFoundError")
      expect(yield* verbs).toEqual(["POST tmp", "POST delete", "POST delete"])
    }).pipe(againstTestClock(story)))

  it.effect("a template is refused here unless forced, and then sent as such", () =>
    Effect.gen(function*() {
      expect(yield* Effect.flip(TaskService.delete("_TMPL_1"))).toMatchObject({
        _tag: "TemplateProtectedError",
        operation: "TaskService.delete"
      })
      expect(yield* verbs).toEqual([])
      expect((yield* Effect.flip(TaskService.delete("_TMPL_1", { force: true })))._tag).toBe("TaskNotFoundError")
      expect(yield* calls).toEqual(["POST delete?force=true"])
    }).pipe(againstTestClock()))

  it.effect("a repetition that finds no task any more has reached its end", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* emulator.inject({ kind: FaultKind.Reset({ executed: true }) })
      yield* settle(task.delete())
      expect(yield* ids).toEqual([])
      yield* emulator.inject({ kind: FaultKind.Refuse() })
      expect((yield* failureOf(TaskService.delete("TMP_none")))._tag).toBe("TaskNotFoundError")
    }).pipe(againstTestClock()))
})
