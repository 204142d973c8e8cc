import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import { type RWKVError, StreamService, type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, body, echo, failureOf, finished, ids, serverText, settle, story } from "./support/harness.js"
import { count, long, verbs } from "./support/program.js"

const { FaultKind } = Emulator

describe("continue", () => {
  it.effect("starts a new run of the same id, with a text of its own", () =>
    Effect.gen(function*() {
      const task = yield* finished("one")
      const continued = yield* TaskService.continue(task.id, { prompt: "two", maxTokens: 100 })
      expect(continued.id).toBe(task.id)
      expect((yield* settle(continued.wait())).text).toBe("<two>")
      expect(yield* body(1)).toEqual({ prompt: "two", max_tokens: 100 })
    }).pipe(againstTestClock(echo)))

  it.effect("F63 fails with TaskBusyError, and sends nothing, while the task is ready or runs", () =>
    Effect.gen(function*() {
      const running = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("20 millis")
      const ready = yield* TaskService.create({ prompt: "b" })
      expect(yield* Effect.flip(TaskService.continue(running.id, { prompt: "c" }))).toMatchObject({
        _tag: "TaskBusyError",
        status: "Running",
        taskId: running.id,
        operation: "TaskService.continue"
      })
      expect(yield* Effect.flip(ready.continue({ prompt: "c" }))).toMatchObject({ status: "Ready" })
      expect(yield* Effect.flip(ready.fork({ prompt: "c" }))).toMatchObject({
        _tag: "TaskBusyError",
        status: "Ready",
        operation: "TaskService.fork"
      })
      expect(yield* Effect.flip(running.fork({ prompt: "c" }))).toMatchObject({ status: "Running" })
      expect((yield* verbs).filter((verb) => verb.startsWith("POST"))).toEqual(["POST tmp", "POST tmp"])
    }).pipe(againstTestClock({ ...story, maxBatchSize: 1 })))

  it.effect("F63 tells a task that was found busy by the server from a server that failed", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* finished("one")
      const status = (code: number) =>
        FaultKind.Respond({
          status: 200,
          headers: { "content-type": "application/json" },
          body: `{"task_id":"${task.id}","generated_buf":1,"status":${code}}`
        })
      yield* emulator.inject({ on: { path: "continue" }, times: 3, kind: FaultKind.Status({ status: 500 }) })
      yield* emulator.inject({ on: { path: "continue" }, kind: FaultKind.Status({ status: 502 }) })
      expect((yield* Effect.flip(task.continue({ prompt: "a" })))._tag).toBe("RWKVServerError")
      yield* emulator.inject({ on: { path: "status" }, kind: status(3) })
      yield* emulator.inject({ on: { path: "status" }, kind: FaultKind.Status({ status: 401 }) })
      expect((yield* Effect.flip(task.continue({ prompt: "a" })))._tag).toBe("RWKVServerError")
      yield* emulator.inject({ on: { path: "status" }, kind: status(3) })
      yield* emulator.inject({ on: { path: "status" }, kind: status(2) })
      expect(yield* Effect.flip(task.continue({ prompt: "a" }))).toMatchObject({
        _tag: "TaskBusyError",
        operation: "TaskService.continue"
      })
      expect(yield* Effect.flip(task.continue({ prompt: "a" }))).toMatchObject({ _tag: "RWKVServerError", status: 502 })
    }).pipe(againstTestClock(echo)))

  it.effect("a task that was stopped and continued is no longer cancelled", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("120 millis")
      yield* settle(task.stop())
      expect((yield* failureOf(task.wait()))._tag).toBe("TaskCancelledError")
      const continued = yield* task.continue({ prompt: "b" })
      expect((yield* settle(continued.wait())).text).toBe(long)
    }).pipe(againstTestClock(story)))

  it.effect("F54 interrupted after it was sent, stops the run and keeps the task", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* settle(
        Effect.flatMap(TaskService.create({ prompt: "a", maxTokens: 1 }), (task) => Effect.as(task.wait(), task))
      )
      yield* emulator.inject({
        on: { path: "continue" },
        kind: FaultKind.Delay({ duration: "1 second", executed: true })
      })
      const fiber = yield* Effect.fork(task.continue({ prompt: "b", maxTokens: 5000 }))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      expect(yield* count("POST stop")).toBe(1)
      expect(yield* ids).toEqual([task.id])
    }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }) })))
})

for (const profile of ["current", "documented"] as const) {
  describe(`fork (${profile})`, () => {
    const options: Emulator.Options = { profile, reply: ({ text }) => `<${text.repeat(40)}>` }
    const told = (prompt: string) => `<${prompt.repeat(40)}>`

    it.effect("the source keeps its text for this program", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* source.fork({ prompt: "fork" })
        expect(fork.id).toMatch(/^TASK_/)
        expect(fork.id).not.toBe(source.id)
        expect(yield* source.result).toMatchObject({ text: told("source"), finished: true })
        expect((yield* settle(fork.wait())).text).toBe(told("fork"))
        expect((yield* source.result).text).toBe(told("source"))
        expect((yield* settle(source.wait())).text).toBe(told("source"))
        expect(yield* settle(Stream.mkString(StreamService.subscribe(source.id)))).toBe(told("source"))
        expect(yield* serverText(source.id)).toBe(profile === "current" ? told("fork") : told("source"))
      }).pipe(againstTestClock(options)))

    it.effect("forks of one source that run at the same time each get their own text", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const prompts = ["alpha", "beta", "gamma"]
        const forks = yield* Effect.forEach(prompts, (prompt) => source.fork({ prompt }), { concurrency: "unbounded" })
        const texts = yield* settle(
          Effect.forEach(forks, (fork) => fork.wait(), { concurrency: "unbounded" })
        )
        expect(texts.map(({ text }) => text)).toEqual(prompts.map(told))
        expect(texts.map(({ taskId }) => taskId)).toEqual(forks.map(({ id }) => id))
        for (const [index, fork] of forks.entries()) {
          expect((yield* fork.result).text).toBe(told(prompts[index] ?? ""))
          expect(yield* settle(Stream.mkString(fork.stream()))).toBe(told(prompts[index] ?? ""))
        }
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock(options)))

    it.effect("concurrent forks keep the source's text though its readings are slow", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const source = yield* finished("source")
        yield* emulator.inject({ on: { path: "get_result" }, kind: FaultKind.Delay({ duration: "1 millis" }) })
        yield* emulator.inject({ on: { path: "get_result" }, kind: FaultKind.Delay({ duration: "300 millis" }) })
        const forks = yield* settle(
          Effect.forEach(["a", "b"], (prompt) => source.fork({ prompt }), { concurrency: "unbounded" })
        )
        yield* settle(Effect.forEach(forks, (fork) => fork.wait()))
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock(options)))

    it.effect("a fork of a fork, and a continue of a fork, get their own text", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const child = yield* source.fork({ prompt: "child" })
        yield* settle(child.wait())
        const grandchild = yield* child.fork({ prompt: "grandchild" })
        const sibling = yield* source.fork({ prompt: "sibling" })
        expect((yield* settle(grandchild.wait())).text).toBe(told("grandchild"))
        expect((yield* settle(sibling.wait())).text).toBe(told("sibling"))
        expect((yield* child.result).text).toBe(told("child"))
        const continued = yield* child.continue({ prompt: "more" })
        expect(continued.id).toBe(child.id)
        expect((yield* settle(continued.wait())).text).toBe(told("more"))
        expect((yield* grandchild.result).text).toBe(told("grandchild"))
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock(options)))

    it.effect("a fork of a fork that was only streamed keeps that text", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const events = yield* settle(Stream.runCollect(StreamService.forkEvents(source.id, { prompt: "child" })))
        const [first] = events
        if (first?._tag !== "Started") return yield* Effect.dieMessage("no Started")
        const other = yield* source.fork({ prompt: "other" })
        const grandchild = yield* TaskService.fork(first.taskId, { prompt: "grandchild" })
        expect((yield* settle(other.wait())).text).toBe(told("other"))
        expect((yield* settle(grandchild.wait())).text).toBe(told("grandchild"))
        expect((yield* TaskService.result(first.taskId)).text).toBe(told("child"))
      }).pipe(againstTestClock(options)))

    it.effect("the text so far of a running fork is its own", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* source.fork({ prompt: "fork" })
        const other = yield* source.fork({ prompt: "other" })
        yield* TestClock.adjust("120 millis")
        const sofar = yield* fork.result
        expect(sofar).toMatchObject({ finished: false, taskId: fork.id })
        expect(sofar.text.length).toBeGreaterThan(30)
        expect(told("fork").startsWith(sofar.text)).toBe(true)
        const reading = yield* Effect.fork(Stream.mkString(fork.stream()))
        expect((yield* settle(other.wait())).text).toBe(told("other"))
        expect(yield* settle(Fiber.join(reading))).toBe(told("fork"))
      }).pipe(againstTestClock(options)))

    it.effect("a result that says finished is whole", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* source.fork({ prompt: "fork" })
        for (let i = 0; i < 100; i++) {
          const { finished, text } = yield* settle(fork.result)
          if (finished) {
            expect(text).toBe(told("fork"))
            return
          }
          yield* TestClock.adjust("7 millis")
        }
        return yield* Effect.dieMessage("never finished")
      }).pipe(againstTestClock({ ...options, lateTokens: "30 millis" })))

    it.effect("a fork that runs cannot be continued or forked yet", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* source.fork({ prompt: "fork" })
        yield* TestClock.adjust("60 millis")
        expect(yield* Effect.flip(fork.continue({ prompt: "more" }))).toMatchObject({
          _tag: "TaskBusyError",
          operation: "TaskService.continue",
          taskId: fork.id
        })
        expect((yield* Effect.flip(fork.fork({ prompt: "more" })))._tag).toBe("TaskBusyError")
        expect((yield* settle(fork.wait())).text).toBe(told("fork"))
      }).pipe(againstTestClock(options)))

    it.effect("a tree of forks and continues keeps every text apart", () =>
      Effect.gen(function*() {
        const grow = (task: Task.Task, name: string, depth: number): Effect.Effect<void, RWKVError.RWKVError> =>
          Effect.forEach(["l", "r"], (side) =>
            Effect.gen(function*() {
              const fork = yield* task.fork({ prompt: name + side })
              expect((yield* fork.wait()).text).toBe(told(name + side))
              if (depth > 1) yield* grow(fork, name + side, depth - 1)
              else yield* Effect.flatMap(fork.continue({ prompt: `${name}${side}c` }), (task) => task.wait())
              const text = depth > 1 ? told(name + side) : told(`${name}${side}c`)
              expect((yield* fork.result).text).toBe(text)
              expect((yield* fork.wait()).text).toBe(text)
            }), { concurrency: "unbounded", discard: true })
        const source = yield* finished("source")
        yield* settle(grow(source, "n", 3))
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock(options)))

    it.effect("may be temporary", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* TaskService.fork(source.id, { prompt: "fork", persistence: "temporary" })
        expect(fork.id).toMatch(/^TMP_/)
        expect((yield* settle(fork.wait())).text).toBe(told("fork"))
      }).pipe(againstTestClock(options)))

    it.effect("stopping a fork cancels whoever waits for it", () =>
      Effect.gen(function*() {
        const source = yield* finished("source")
        const fork = yield* source.fork({ prompt: "fork" })
        yield* TestClock.adjust("60 millis")
        yield* settle(fork.stop())
        const error = yield* failureOf(fork.wait())
        expect(error._tag).toBe("TaskCancelledError")
        expect(error._tag === "TaskCancelledError" && told("fork").startsWith(error.text)).toBe(true)
      }).pipe(againstTestClock(options)))

    it.effect("F54 interrupted before the answer, stops the fork", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const source = yield* finished("source")
        yield* emulator.inject({
          on: { path: "fork" },
          kind: FaultKind.Delay({ duration: "1 second", executed: true })
        })
        const fiber = yield* Effect.fork(source.fork({ prompt: "x".repeat(2000) }))
        yield* TestClock.adjust("10 millis")
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("2 seconds")
        expect(yield* count("POST stop")).toBe(1)
        expect(yield* emulator.running).toBe(0)
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock(options)))
  })
}

describe("a task that was evicted", () => {
  it.effect("F63 is not found when it was temporary, and busy for ever when it ran and was persistent", () =>
    Effect.gen(function*() {
      const temporary = yield* TaskService.createTemporary({ prompt: "a" })
      const persistent = yield* TaskService.createPersistent({ prompt: "a" })
      yield* TestClock.adjust("60 millis")
      expect((yield* Effect.flip(temporary.continue({ prompt: "b" })))._tag).toBe("TaskNotFoundError")
      yield* TaskService.createTemporary({ prompt: "a" })
      yield* TestClock.adjust("1 minute")
      expect(yield* Effect.flip(persistent.continue({ prompt: "b" }))).toMatchObject({
        _tag: "TaskBusyError",
        status: "Running"
      })
      expect(yield* failureOf(persistent.wait({ timeout: "10 seconds" }))).toMatchObject({ kind: "wait" })
    }).pipe(againstTestClock({ ...story, cacheCapacity: 1 })))
})

describe("asTemplate", () => {
  it.effect("F64 on the current server fails with UnsupportedByServerError, and nothing is lost", () =>
    Effect.gen(function*() {
      const source = yield* finished("source")
      expect(yield* Effect.flip(TaskService.asTemplate(source.id))).toMatchObject({
        _tag: "UnsupportedByServerError",
        operation: "TaskService.asTemplate",
        feature: "templates"
      })
      expect((yield* source.result).text).toBe("<source>")
      expect(yield* ids).toEqual([source.id])
    }).pipe(againstTestClock(echo)))

  it.effect("F64 templates that others made on the current server are told from tasks", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const source = yield* finished("source")
      yield* emulator.httpClient.post(`http://localhost:8000/v1/tasks/${source.id}/as_template`)
      const template = (yield* ids).find((id) => id.startsWith("_")) ?? ""
      expect((yield* Effect.flip(TaskService.result(template)))._tag).toBe("UnsupportedByServerError")
      expect(yield* Effect.flip(TaskService.fork(template, { prompt: "a" }))).toMatchObject({
        _tag: "UnsupportedByServerError",
        operation: "TaskService.fork"
      })
      expect((yield* Effect.flip(TaskService.continue(template, { prompt: "a" })))._tag).toBe(
        "UnsupportedByServerError"
      )
      expect((yield* source.result).text).toBe("<source>")
    }).pipe(againstTestClock(echo)))

  it.effect("on the documented server makes a template that can be forked, and deleted by force", () =>
    Effect.gen(function*() {
      const source = yield* finished("source")
      const template = yield* source.asTemplate
      expect(template.id).toMatch(/^_TMPL_/)
      expect((yield* template.status).taskId).toBe(template.id)
      const forks = yield* Effect.forEach(["a", "b"], (prompt) => template.fork({ prompt }))
      const results = yield* settle(Effect.forEach(forks, (fork) => fork.wait()))
      expect(results.map(({ text }) => text)).toEqual(["<a>", "<b>"])
      expect(yield* Effect.flip(template.asTemplate)).toMatchObject({
        _tag: "AlreadyTemplateError",
        operation: "TaskService.asTemplate"
      })
      expect((yield* Effect.flip(template.delete()))._tag).toBe("TemplateProtectedError")
      yield* template.delete({ force: true })
      expect((yield* Effect.flip(template.status))._tag).toBe("TaskNotFoundError")
    }).pipe(againstTestClock({ ...echo, profile: "documented" })))

  it.effect("interrupted before the answer, deletes the template", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const source = yield* finished("source")
      yield* emulator.inject({
        on: { path: "as_template" },
        kind: FaultKind.Delay({ duration: "1 second", executed: true })
      })
      const fiber = yield* Effect.fork(source.asTemplate)
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      expect(yield* ids).toEqual([source.id])
    }).pipe(againstTestClock({ ...echo, profile: "documented" })))

  it.effect("rides out a transient failure of its check", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const source = yield* finished("source")
      yield* emulator.inject({ on: { path: "get_result" }, kind: FaultKind.Status({ status: 503 }) })
      expect((yield* settle(source.asTemplate)).id).toMatch(/^_TMPL_/)
    }).pipe(againstTestClock({ ...echo, profile: "documented" })))
})
