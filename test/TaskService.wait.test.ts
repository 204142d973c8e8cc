import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option, Random, Schedule, TestClock } from "effect"
import { type Polling, type RWKVError, type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, echo, failureOf, finished, held, ids, serverText, settle, story } from "./support/harness.js"
import { calls, count, long, verbs } from "./support/program.js"
import { eitherWay, watches } from "./support/waits.js"
import { untyped } from "./support/wire.js"

const { FaultKind } = Emulator

describe("wait", () => {
  for (const by of ["subscription", "polling"] as const) {
    it.effect(`tells at once of a task that was stopped while it waited for its turn, by ${by} (H6)`, () =>
      Effect.gen(function*() {
        yield* TaskService.create({ prompt: "a", maxTokens: 10_000 })
        const queued = yield* TaskService.create({ prompt: "b", maxTokens: 10_000 })
        yield* settle(queued.stop())
        const before = yield* Clock.currentTimeMillis
        expect(yield* failureOf(queued.wait({ by }), "20 millis")).toMatchObject({
          _tag: "TaskCancelledError",
          text: ""
        })
        expect((yield* Clock.currentTimeMillis) - before).toBeLessThan(1000)
      }).pipe(againstTestClock({ ...story, maxBatchSize: 1 })))
  }

  it.effect("polls when the schedule says, then reads the result once", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const seen: Array<[number, string, number]> = []
      const fiber = yield* Effect.fork(TaskService.wait(task.id, {
        schedule: Schedule.spaced("100 millis"),
        onProgress: (info) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            expect(info.taskId).toBe(task.id)
            seen.push([now, info.status, info.generatedTokens])
          })
      }))
      yield* TestClock.adjust("199 millis")
      expect(yield* count("GET status")).toBe(2)
      yield* TestClock.adjust("1 millis")
      expect(yield* count("GET status")).toBe(3)
      expect((yield* settle(Fiber.join(fiber))).text).toBe(long)
      expect(seen.map(([time]) => time)).toEqual([0, 100, 200, 300, 400, 500, 600].slice(0, seen.length))
      expect(seen.at(-1)).toEqual([seen.at(-1)?.[0], "Finished", 320])
      expect(seen.slice(0, -1).every(([, status]) => status !== "Finished")).toBe(true)
      expect(yield* count("GET get_result")).toBe(1)
    }).pipe(againstTestClock(story)))

  it.effect("without a schedule polls soon, then less and less often, up to twice a second, jittered by Random", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const times: Array<number> = []
      const waiting = TaskService.wait(task.id, {
        onProgress: () => Effect.map(Clock.currentTimeMillis, (now) => void times.push(now))
      })
      yield* settle(Effect.withRandom(waiting, Random.make("jitter")))
      const delays = times.slice(1).map((time, index) => time - (times[index] ?? 0))
      const expected = delays.map((_, index) => Math.min(500, 20 * 1.5 ** index))
      delays.forEach((delay, index) => {
        const planned = expected[index] ?? 0
        expect(delay).toBeGreaterThanOrEqual(Math.floor(planned * 0.8))
        expect(delay).toBeLessThanOrEqual(Math.ceil(planned * 1.2) + 1)
      })
      expect(delays.length).toBeGreaterThan(8)
      expect(delays.some((delay, index) => Math.abs(delay - (expected[index] ?? 0)) > 2)).toBe(true)
    }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }), defaultMaxTokens: 1000 })))

  it.effect("a schedule that ends first fails the wait like a timeout", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const schedule = Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(2))
      const error = yield* failureOf(task.wait({ schedule }))
      expect(error).toMatchObject({
        _tag: "RWKVTimeoutError",
        kind: "wait",
        taskId: task.id,
        operation: "TaskService.wait",
        limit: Duration.millis(200)
      })
      expect(yield* count("GET status")).toBe(3)
    }).pipe(againstTestClock(story)))

  it.effect("a schedule may go by the tokens so far", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const schedule: Polling.WaitSchedule = Schedule.spaced("50 millis").pipe(
        Schedule.whileInput((info: { generatedTokens: number }) => info.generatedTokens < 100)
      )
      expect(yield* failureOf(task.wait({ schedule }))).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait" })
      expect((yield* held(task.id))?.status).toBe(2)
    }).pipe(againstTestClock(story)))

  for (const path of ["what it watches", "get_result"]) {
    eitherWay(`F58 the timeout ends a wait that hangs, at the limit: ${path}`, (by) =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const task = yield* TaskService.create({ prompt: "a" })
        const on = { path: path === "get_result" ? path : watches[by] }
        yield* emulator.inject({ on, kind: FaultKind.Hang({ executed: true }) })
        const fiber = yield* Effect.fork(Effect.flip(task.wait({ by, timeout: "4 seconds" })))
        yield* TestClock.adjust("3999 millis")
        expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
        yield* TestClock.adjust("1 millis")
        expect(yield* Fiber.join(fiber)).toMatchObject({
          _tag: "RWKVTimeoutError",
          kind: "wait",
          limit: Duration.seconds(4)
        })
        expect(yield* count("POST stop")).toBe(0)
      }).pipe(againstTestClock(story)))
  }

  eitherWay("F59 rides out five requests that fail", (by) =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "hello" })
      const on = { path: watches[by] }
      yield* emulator.inject({ on, times: 3, kind: FaultKind.Status({ status: 502 }) })
      yield* emulator.inject({ on, times: 2, kind: FaultKind.Reset({ executed: false }) })
      expect((yield* settle(task.wait({ by }), "100 millis")).text).toBe("<hello>")
    }).pipe(againstTestClock(echo)))

  it.effect("goes on after a poll that took the whole request timeout", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "hello" })
      yield* emulator.inject({ on: { path: "status" }, kind: FaultKind.Hang({ executed: false }) })
      expect((yield* settle(task.wait({ by: "polling" }), "1 second")).text).toBe("<hello>")
    }).pipe(againstTestClock(echo)))

  eitherWay("F60 fails with TaskNotFoundError when the task is deleted meanwhile", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const fiber = yield* Effect.fork(Effect.flip(task.wait({ by })))
      yield* TestClock.adjust("100 millis")
      yield* task.delete()
      const error = yield* settle(Fiber.join(fiber))
      expect(error).toMatchObject({ _tag: "TaskNotFoundError", taskId: task.id, operation: "TaskService.wait" })
      expect((yield* failureOf(task.wait({ by })))._tag).toBe("TaskNotFoundError")
    }).pipe(againstTestClock(story)))

  eitherWay("F61 fails with the text so far when this program stopped the task", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const fiber = yield* Effect.fork(Effect.flip(task.wait({ by })))
      yield* TestClock.adjust("120 millis")
      yield* settle(task.stop())
      const error = yield* settle(Fiber.join(fiber))
      expect(error).toMatchObject({ _tag: "TaskCancelledError", taskId: task.id, text: yield* serverText(task.id) })
      expect(error._tag === "TaskCancelledError" && error.text.length).toBeGreaterThan(32)
      expect((yield* failureOf(TaskService.wait(task.id, { by })))._tag).toBe("TaskCancelledError")
    }).pipe(againstTestClock(story)))

  eitherWay(
    "F62 returns the whole text though the task is finished before its last tokens",
    (by) =>
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "a" })
        const result = yield* settle(task.wait({ by }))
        expect(result).toMatchObject({ text: long, finished: true, taskId: task.id })
        expect(Duration.toMillis(result.generationTime)).toBeGreaterThan(0)
      }).pipe(againstTestClock({ ...story, lateTokens: "60 millis" }))
  )

  const look = { schedule: Schedule.spaced("100 millis"), onProgress: () => Effect.void }
  const choices: ReadonlyArray<readonly [what: string, options: Task.WaitOptions | undefined, looks: boolean]> = [
    ["listens by default", undefined, false],
    ["listens under a timeout", { timeout: "1 minute" }, false],
    ["looks if told when", { schedule: look.schedule }, true],
    ["looks if told to say how far it is", { onProgress: look.onProgress }, true],
    ["looks if told so", { by: "polling" }, true],
    ["looks if told so, when and how", { ...look, by: "polling" }, true],
    ["listens if told so", { by: "subscription", schedule: undefined, onProgress: undefined }, false]
  ]
  for (const [what, options, looks] of choices) {
    it.effect(`${what}, and so does run`, () =>
      Effect.gen(function*() {
        const { clearRequests } = yield* Emulator.Emulator
        const task = yield* TaskService.create({ prompt: "hello" })
        for (const wait of [task.wait(options), TaskService.run({ prompt: "hello" }, options)]) {
          yield* clearRequests
          expect((yield* settle(wait)).text).toBe("<hello>")
          // One that listens asks once, after the end: how many tokens there were.
          expect((yield* count("GET status")) > 1).toBe(looks)
          expect(yield* count("GET stream")).toBe(looks ? 0 : 1)
        }
      }).pipe(againstTestClock(echo)))
  }

  for (const given of [{ schedule: look.schedule }, { onProgress: look.onProgress }, look]) {
    it.effect(`F106 a subscription takes no ${Object.keys(given).join(" and ")}, and nothing is sent`, () =>
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "a" })
        const { clearRequests, requests } = yield* Emulator.Emulator
        yield* clearRequests
        const options = untyped({ by: "subscription", ...given })
        const issues = Object.keys(given).map((path) => ({ path, message: expect.stringContaining("subscription") }))
        const waits = [
          task.wait(options),
          TaskService.wait(task.id, options),
          TaskService.run({ prompt: "a" }, options)
        ]
        for (const wait of waits) {
          expect(yield* failureOf(wait)).toMatchObject({ _tag: "RWKVValidationError", source: "client", issues })
        }
        expect(yield* requests).toEqual([])
      }).pipe(againstTestClock(echo)))
  }

  const callbacks: ReadonlyArray<readonly [what: string, onProgress: () => unknown]> = [
    ["throws", () => decodeURI("%")],
    ["returns a promise", () => Promise.resolve()],
    ["returns nothing", () => undefined]
  ]
  for (const [what, onProgress] of callbacks) {
    it.effect(`F103 onProgress that ${what} is a typed failure, and a run's task is stopped`, () =>
      Effect.gen(function*() {
        const { running } = yield* Emulator.Emulator
        const options = { onProgress: untyped(onProgress) }
        const task = yield* TaskService.create({ prompt: "a" })
        for (const wait of [task.wait(options), TaskService.run({ prompt: "a" }, options)]) {
          expect(yield* failureOf(wait)).toMatchObject({
            _tag: "RWKVValidationError",
            issues: [{ path: "onProgress", message: expect.stringContaining("must") }]
          })
        }
        yield* settle(task.stop())
        expect(yield* running).toBe(0)
      }).pipe(againstTestClock(story)))
  }

  eitherWay("names itself in errors, and obeys the timeout", (by) =>
    Effect.gen(function*() {
      expect(yield* failureOf(TaskService.wait("TMP_none", { by }))).toMatchObject({
        _tag: "TaskNotFoundError",
        operation: "TaskService.wait"
      })
      const task = yield* TaskService.create({ prompt: "a" })
      expect(yield* failureOf(task.wait({ by, timeout: "100 millis" }))).toMatchObject({
        _tag: "RWKVTimeoutError",
        kind: "wait"
      })
    }).pipe(againstTestClock(story)))

  eitherWay("a task without tokens has an empty text and no time of 1.78e9 seconds", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", maxTokens: 0 })
      const result = yield* settle(task.wait({ by }))
      expect(result).toMatchObject({ text: "", finished: true })
      expect(Duration.toSeconds(result.generationTime)).toBeLessThan(1e9)
    }).pipe(againstTestClock(story)))

  it.effect("a stop that failed does not make a wait fail", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* inject({ on: { path: "/stop" }, times: 100, kind: FaultKind.Reset({ executed: false }) })
      yield* failureOf(task.stop({ within: "1 second" }))
      expect((yield* settle(task.wait())).text).toBe(long)
    }).pipe(againstTestClock(story)))
})

describe("result and status", () => {
  it.effect("result is the text so far", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("120 millis")
      expect(yield* TaskService.result(task.id)).toMatchObject({ text: long.slice(0, 64), finished: false })
      expect(yield* TaskService.status(task.id)).toEqual({ taskId: task.id, status: "Running", generatedTokens: 64 })
    }).pipe(againstTestClock(story)))

  it.effect("a text that the server cannot decode is empty with an undecoded tail, never U+FFFD", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("52 millis")
      expect(yield* TaskService.result(task.id)).toMatchObject({ text: "", undecodedTail: true, finished: false })
      expect(yield* settle(task.wait())).toMatchObject({ text: `${"a".repeat(31)}🌍b`, undecodedTail: false })
    }).pipe(againstTestClock({ reply: () => `${"a".repeat(31)}🌍b` })))

  it.effect("the state of a fork carries the fork's own id", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      const fork = yield* source.fork({ prompt: "b" })
      expect((yield* fork.status).taskId).toBe(fork.id)
      expect((yield* settle(fork.stop())).taskId).toBe(fork.id)
      const seen: Array<string> = []
      yield* settle(Effect.ignore(fork.wait({ onProgress: (info) => Effect.sync(() => seen.push(info.taskId)) })))
      expect(new Set(seen)).toEqual(new Set([fork.id]))
    }).pipe(againstTestClock(echo)))

  it.effect("fail with TaskNotFoundError for unknown tasks, named after what was called", () =>
    Effect.gen(function*() {
      type Call = readonly [Effect.Effect<unknown, RWKVError.RWKVError, TaskService.TaskService>, string]
      const calls: ReadonlyArray<Call> = [
        [TaskService.result("TMP_none"), "TaskService.result"],
        [TaskService.status("TMP_none"), "TaskService.status"],
        [TaskService.wait("TMP_none"), "TaskService.wait"],
        [TaskService.stop("TMP_none"), "TaskService.stop"],
        [TaskService.delete("TMP_none"), "TaskService.delete"],
        [TaskService.asTemplate("TMP_none"), "TaskService.asTemplate"],
        [TaskService.continue("TMP_none", { prompt: "a" }), "TaskService.continue"],
        [TaskService.fork("TMP_none", { prompt: "a" }), "TaskService.fork"]
      ]
      for (const [call, operation] of calls) {
        expect(yield* Effect.flip(call)).toMatchObject({
          _tag: "TaskNotFoundError",
          taskId: "TMP_none",
          operation
        })
      }
    }).pipe(againstTestClock()))
})

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
