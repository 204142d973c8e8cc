import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, body, echo, exitOf, failureOf, finished, ids, settle, story } from "./support/harness.js"
import { calls, count, verbs } from "./support/program.js"
import { untyped } from "./support/wire.js"
import { eitherWay, watches } from "./support/waits.js"

const { FaultKind } = Emulator

describe("create", () => {
  it.effect("creates a temporary task unless told otherwise", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      expect(task.id).toMatch(/^TMP_/)
      expect(yield* verbs).toEqual(["POST tmp"])
      expect(yield* body()).toEqual({ prompt: "a" })
    }).pipe(againstTestClock()))

  it.effect("creates a persistent task when told to", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", persistence: "persistent", maxTokens: 5, topK: 3 })
      expect(task.id).toMatch(/^TASK_/)
      expect(yield* verbs).toEqual(["POST create"])
      expect(yield* body()).toEqual({ prompt: "a", max_tokens: 5, top_k: 3 })
    }).pipe(againstTestClock()))

  it.effect("createTemporary and createPersistent say it by their name", () =>
    Effect.gen(function*() {
      expect((yield* TaskService.createTemporary({ prompt: "a" })).id).toMatch(/^TMP_/)
      expect((yield* TaskService.createPersistent({ prompt: [1, 2] })).id).toMatch(/^TASK_/)
      expect(yield* verbs).toEqual(["POST tmp", "POST create"])
    }).pipe(againstTestClock()))

  it.effect("tells how long the prefill took", () =>
    Effect.gen(function*() {
      const task = yield* settle(TaskService.create({ prompt: "0123456789" }))
      expect(Duration.toMillis(task.prefillTime)).toBe(1000)
      expect(Duration.toMillis((yield* TaskService.task(task.id)).prefillTime)).toBe(0)
    }).pipe(againstTestClock({ prefillPerToken: 100 })))

  it.effect("sends the defaults of the configuration, which the request overrides and undefined does not hide", () =>
    Effect.gen(function*() {
      yield* TaskService.create({ prompt: "a", maxTokens: 7, temperature: undefined })
      yield* TaskService.fim({ prefix: "a", topP: 0.5 })
      expect(yield* body(0)).toEqual({ prompt: "a", max_tokens: 7, temperature: 0.5 })
      expect(yield* body(1)).toEqual({ prefix: "a", max_tokens: 9, temperature: 0.5, top_p: 0.5 })
    }).pipe(againstTestClock({}, { defaults: { maxTokens: 9, temperature: 0.5 } })))

  it.effect("fills in the middle", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.fim({ prefix: "def f(a):\n", suffix: "\nreturn a" })
      expect(task.id).toMatch(/^TMP_/)
      expect(yield* verbs).toEqual(["POST fim"])
      expect((yield* settle(task.wait())).text).toBe("<✿prefix✿✿suffix✿\nreturn a✿middle✿def f(a):\n>")
    }).pipe(againstTestClock(echo)))

  it.effect("F82 sends nothing when it starts interrupted", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), TaskService.create({ prompt: "a" })))
      yield* Fiber.interrupt(fiber)
      const exit = yield* Effect.exit(Effect.interrupt.pipe(Effect.zipRight(TaskService.create({ prompt: "a" }))))
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(yield* verbs).toEqual([])
    }).pipe(againstTestClock()))

  it.effect("F54 interrupted after it was sent, stops and deletes the task once the answer names it", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      for (
        const make of [
          Effect.asVoid(TaskService.create({ prompt: "a" })),
          Effect.asVoid(TaskService.run({ prompt: "a" }))
        ]
      ) {
        yield* emulator.clearRequests
        yield* emulator.inject({ kind: FaultKind.Delay({ duration: "1 second", executed: true }) })
        const fiber = yield* Effect.fork(make)
        yield* TestClock.adjust("10 millis")
        expect(yield* emulator.running).toBe(1)
        yield* Fiber.interrupt(fiber)
        expect(yield* verbs).toEqual(["POST tmp"])
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("1 second")
        expect(yield* calls).toEqual(["POST tmp", "POST stop", "POST delete?force=true"])
        expect(yield* emulator.running).toBe(0)
        expect(yield* ids).toEqual([])
      }
    }).pipe(againstTestClock(story)))

  it.effect("an interrupted create of a persistent task stops and deletes it, for nobody has its id", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Delay({ duration: "1 second", executed: true }) })
      const fiber = yield* Effect.fork(TaskService.createPersistent({ prompt: "a" }))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      expect(yield* calls).toEqual(["POST create", "POST stop", "POST delete?force=true"])
    }).pipe(againstTestClock(story)))

  it.effect("F85 is never repeated once the server may have seen it", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      for (
        const [kind, tag] of [
          [FaultKind.Status({ status: 500 }), "RWKVServerError"],
          [FaultKind.Status({ status: 503 }), "RWKVServerError"],
          [FaultKind.Reset({ executed: true }), "RWKVConnectionError"],
          [FaultKind.Hang({ executed: true }), "RWKVTimeoutError"]
        ] as const
      ) {
        yield* emulator.clearRequests
        yield* emulator.inject({ kind })
        const error = yield* failureOf(TaskService.create({ prompt: "a" }), "1 second")
        expect(error).toMatchObject({ _tag: tag, operation: "TaskService.create" })
        expect(yield* verbs).toEqual(["POST tmp"])
      }
    }).pipe(againstTestClock()))

  it.effect("interrupted between two attempts, makes no further one", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      yield* inject({ kind: Emulator.FaultKind.Status({ status: 429, headers: { "retry-after": "2" } }) })
      const fiber = yield* Effect.fork(TaskService.create({ prompt: "a" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 seconds")
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(againstTestClock()))

  it.effect("is repeated while the connection is refused", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Refuse(), times: 2 })
      yield* settle(TaskService.create({ prompt: "a" }))
      expect(yield* verbs).toEqual(["POST tmp"])
    }).pipe(againstTestClock()))
})

describe("run", () => {
  it.effect("creates, waits, and deletes a temporary task", () =>
    Effect.gen(function*() {
      const result = yield* settle(TaskService.run({ prompt: "hello" }))
      expect(result).toMatchObject({ text: "<hello>", finished: true, undecodedTail: false })
      expect(yield* ids).toEqual([])
      expect(yield* count("POST stop")).toBe(0)
      expect(yield* count("POST delete?force=true")).toBe(1)
    }).pipe(againstTestClock(echo)))

  it.effect("keeps a persistent task", () =>
    Effect.gen(function*() {
      const result = yield* settle(TaskService.run({ prompt: "hello", persistence: "persistent" }))
      expect(yield* ids).toEqual([result.taskId])
      expect(yield* count("POST delete?force=true")).toBe(0)
    }).pipe(againstTestClock(echo)))

  it.effect("takes a FIM request", () =>
    Effect.gen(function*() {
      const result = yield* settle(TaskService.run({ prefix: "a", suffix: "b" }))
      expect(result.text).toBe("<✿prefix✿✿suffix✿b✿middle✿a>")
      expect((yield* verbs)[0]).toBe("POST fim")
      expect(yield* ids).toEqual([])
    }).pipe(againstTestClock(echo)))

  for (const how of ["interrupt", "timeout", "failure"] as const) {
    eitherWay(`stops and deletes the task on ${how}`, (by) =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        if (how === "failure") {
          yield* emulator.inject({ on: { path: watches[by] }, kind: FaultKind.Status({ status: 401 }) })
        }
        const fiber = yield* Effect.fork(
          TaskService.run({ prompt: "a" }, how === "timeout" ? { by, timeout: "200 millis" } : { by })
        )
        if (how === "interrupt") {
          yield* TestClock.adjust("200 millis")
          yield* Fiber.interrupt(fiber)
        }
        const exit = yield* exitOf(Fiber.join(fiber))
        expect(Exit.isFailure(exit)).toBe(true)
        expect(yield* count("POST stop")).toBe(1)
        yield* TestClock.adjust("1 second")
        expect(yield* count("POST delete?force=true")).toBe(1)
        expect(yield* emulator.running).toBe(0)
        expect(yield* ids).toEqual([])
      }).pipe(againstTestClock(story)))
  }

  it.effect("stops a persistent task at the timeout and keeps it", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(
        TaskService.run({ prompt: "a", persistence: "persistent" }, { timeout: "100 millis" })
      )
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait", operation: "TaskService.run" })
      expect(yield* count("POST stop")).toBe(1)
      expect(yield* ids).toHaveLength(1)
    }).pipe(againstTestClock(story)))

  it.effect("the timeout of run covers the create", () =>
    Effect.gen(function*() {
      const { inject } = yield* Emulator.Emulator
      yield* inject({ on: { path: "/tmp" }, kind: FaultKind.Delay({ duration: "3 seconds" }) })
      const fiber = yield* Effect.fork(Effect.flip(TaskService.run({ prompt: "a" }, { timeout: "300 millis" })))
      yield* TestClock.adjust("300 millis")
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait", limit: Duration.millis(300) })
      yield* TestClock.adjust("10 seconds")
    }).pipe(againstTestClock(story)))
})

describe("task", () => {
  it.effect("is a handle that asks nothing until it is used, and then each time", () =>
    Effect.gen(function*() {
      const created = yield* finished("hello")
      const { clearRequests } = yield* Emulator.Emulator
      yield* clearRequests
      const task = yield* TaskService.task(created.id)
      expect(yield* verbs).toEqual([])
      expect((yield* task.status).status).toBe("Finished")
      expect((yield* task.status).status).toBe("Finished")
      expect((yield* task.result).text).toBe("<hello>")
      expect((yield* settle(task.wait())).text).toBe("<hello>")
      expect(yield* settle(Stream.mkString(task.stream()))).toBe("<hello>")
      const events = yield* settle(Stream.runCollect(task.streamEvents()))
      expect(Array.from(events, ({ _tag }) => _tag)).toEqual(["Started", "Text", "Finished"])
      expect((yield* task.stop()).status).toBe("Finished")
      expect((yield* Effect.flip(task.asTemplate))._tag).toBe("UnsupportedByServerError")
      const continued = yield* task.continue({ prompt: " more" })
      expect((yield* settle(continued.wait())).text).toBe("< more>")
      const fork = yield* task.fork({ prompt: " fork" })
      expect((yield* settle(fork.wait())).text).toBe("< fork>")
      yield* task.delete()
      expect((yield* Effect.flip(task.status))._tag).toBe("TaskNotFoundError")
    }).pipe(againstTestClock(echo)))

  it.effect("refuses what cannot be an id", () =>
    Effect.gen(function*() {
      expect(yield* Effect.flip(TaskService.task("a/b"))).toMatchObject({
        _tag: "RWKVValidationError",
        operation: "TaskService.task",
        source: "client"
      })
    }).pipe(againstTestClock()))
})

describe("list and models", () => {
  it.effect("list tells what the server holds", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const list = yield* TaskService.list
      expect(list).toEqual({ cpuCacheCount: 1, databaseCount: 0, totalCount: 1, cpuTasks: [task.id], dbTasks: [] })
    }).pipe(againstTestClock()))

  it.effect("models tells that the server lives", () =>
    Effect.gen(function*() {
      expect(yield* TaskService.models).toMatchObject([{ id: "rwkv-7-g1g-2.9b", ownedBy: "rwkv" }])
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Status({ status: 503 }) })
      expect(yield* settle(TaskService.models)).toHaveLength(1)
    }).pipe(againstTestClock()))
})

describe("input of callers without types", () => {
  it.effect("is refused by type and nothing is sent", () =>
    Effect.gen(function*() {
      const tasks = yield* TaskService.TaskService
      const calls: ReadonlyArray<Effect.Effect<unknown, RWKVError.RWKVError>> = [
        tasks.wait("TMP_1", { timeout: untyped("abc") }),
        tasks.wait("TMP_1", { timeout: untyped(null) }),
        tasks.wait(untyped(5)),
        tasks.run({ prompt: "a" }, { timeout: untyped("abc") }),
        tasks.run(untyped(null)),
        tasks.stop("TMP_1", { within: untyped(null) }),
        tasks.stop(untyped(undefined)),
        tasks.create(untyped(null)),
        tasks.create(untyped("text")),
        tasks.create({ prompt: "" }),
        tasks.create({ prompt: "a", maxTokens: untyped("5") }),
        tasks.createPersistent(untyped(undefined)),
        tasks.createTemporary(untyped([])),
        tasks.fim(untyped(null)),
        tasks.fim({ prefix: untyped(3) }),
        tasks.result(untyped(5)),
        tasks.status(untyped({})),
        tasks.delete(untyped(5)),
        tasks.task(untyped(null)),
        tasks.asTemplate("../x"),
        tasks.continue(untyped(5), { prompt: "a" }),
        tasks.continue("TMP_1", untyped(null)),
        tasks.continue("TMP_1", { prompt: "" }),
        tasks.fork(untyped(5), { prompt: "a" }),
        tasks.fork("TMP_1", untyped(null)),
        tasks.fork("TMP_1", { prompt: "a", maxTokens: 0 })
      ]
      for (const call of calls) {
        const error = yield* failureOf(call)
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
        expect(error.operation).toMatch(/^TaskService\./)
      }
      expect(yield* verbs).toEqual([])
    }).pipe(againstTestClock()))

  it.effect("options that are no objects count as none", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      expect((yield* settle(task.wait(untyped(null)))).text).toBe("<a>")
      expect((yield* task.stop(untyped(null))).status).toBe("Finished")
      yield* task.delete(untyped(null))
    }).pipe(againstTestClock(echo)))
})

describe("the end of the program", () => {
  it.effect("a fork that is read in the background ends with it", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* Effect.gen(function*() {
        const source = yield* finished("source")
        yield* source.fork({ prompt: "fork", maxTokens: 4000 })
        yield* TestClock.adjust("50 millis")
        expect(yield* emulator.openStreams).toBe(1)
      }).pipe(Effect.provide(RWKV.layer()), settle)
      expect(yield* emulator.openStreams).toBe(0)
    }).pipe(Effect.provide(Emulator.layer({
      reply: ({ endpoint }) => endpoint === "fork" ? { tokens: ["x"], end: "loop" } : "source"
    }))))

  it.effect("the services of a program share what they remember", () =>
    Effect.gen(function*() {
      const source = yield* finished("source")
      yield* settle(Stream.runDrain(StreamService.fork(source.id, { prompt: "fork" })))
      expect((yield* TaskService.result(source.id)).text).toBe("<source>")
    }).pipe(againstTestClock(echo)))
})
