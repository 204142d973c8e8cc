/**
 * Each row of the table that maps the Python SDK's methods to these: over real sockets with two clients, and in process.
 */
import { describe, expect } from "@effect/vitest"
import { Chunk, Effect, Ref, Schedule, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { promising, story, wirings } from "../support/wirings.js"

const { FaultKind } = Emulator

const sent = Effect.gen(function*() {
  const { requests } = yield* Emulator.Emulator
  return (yield* requests).map(({ method, path }) => `${method} ${path.replace(/[A-Z]+_[0-9a-f]{32}/, "{id}")}`)
})

const ended = Effect.flatMap(
  TaskService.createPersistent({ prompt: "Hello" }),
  (task) => Effect.as(task.wait(), task)
)

for (const [name, wiring] of wirings) {
  const promise = promising(wiring)

  describe(`the table of methods (${name})`, () => {
    promise(
      "Client(base_url, timeout, headers): RWKV.layer",
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        yield* TaskService.models
        expect((yield* emulator.requests)[0]?.headers["x-tenant"]).toBe("a")
        yield* emulator.inject({ kind: FaultKind.Hang({ executed: false }) })
        expect(yield* Effect.flip(TaskService.models)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "request" })
      }),
      {},
      { headers: { "X-Tenant": "a" }, requestTimeout: "200 millis" }
    )

    promise(
      "create, create_tmp, create_persistent",
      Effect.gen(function*() {
        yield* TaskService.create({ prompt: "a" })
        yield* TaskService.create({ prompt: "a", persistence: "persistent" })
        expect((yield* TaskService.createTemporary({ prompt: "a" })).id).toMatch(/^TMP_/)
        expect((yield* TaskService.createPersistent({ prompt: "a" })).id).toMatch(/^TASK_/)
        expect(yield* sent).toEqual([
          "POST /v1/tasks/tmp",
          "POST /v1/tasks/create",
          "POST /v1/tasks/tmp",
          "POST /v1/tasks/create"
        ])
      })
    )

    promise(
      "create_stream: StreamService.create, and createEvents that tells the id",
      Effect.gen(function*() {
        expect(yield* Stream.mkString(StreamService.create({ prompt: "Tell" }))).toBe(story)
        const kept = StreamService.createEvents({ prompt: "Tell" }, { cleanup: "keep" })
        const events = Chunk.toReadonlyArray(yield* Stream.runCollect(kept))
        const [first] = events
        const last = events.at(-1)
        if (first?._tag !== "Started" || last?._tag !== "Finished") return yield* Effect.dieMessage("no frame")
        expect(last.result.text).toBe(story)
        expect((yield* TaskService.result(first.taskId)).text).toBe(story)
      })
    )

    promise(
      "fim, fim_stream",
      Effect.gen(function*() {
        expect((yield* TaskService.run({ prefix: "a", suffix: "b" })).text).toBe("return a + b")
        for (const transport of ["subscribe", "direct"] as const) {
          expect(yield* Stream.mkString(StreamService.fim({ prefix: "a" }, { transport }))).toBe("return a + b")
        }
      })
    )

    promise(
      "stream_task(id, pos), task.stream(pos)",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "abcdef" })
        yield* task.wait()
        expect(yield* Stream.mkString(StreamService.subscribe(task.id, { fromToken: 4 }))).toBe("ef!")
        expect(yield* Stream.mkString(task.stream({ fromToken: -2 }))).toBe("f!")
      })
    )

    promise(
      "get_task_result, get_task_status, list_tasks",
      Effect.gen(function*() {
        const task = yield* ended
        expect((yield* TaskService.result(task.id)).text).toBe("Hello!")
        expect(yield* TaskService.status(task.id)).toEqual({ taskId: task.id, status: "Finished", generatedTokens: 6 })
        expect((yield* TaskService.list).cpuTasks).toEqual([task.id])
      })
    )

    promise(
      "stop_task, delete_task(force)",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "endless" })
        expect((yield* TaskService.stop(task.id)).status).toBe("Finished")
        yield* TaskService.delete(task.id)
        const template = yield* Effect.flatMap(ended, (task) => task.asTemplate)
        expect((yield* Effect.flip(TaskService.delete(template.id)))._tag).toBe("TemplateProtectedError")
        yield* TaskService.delete(template.id, { force: true })
        expect((yield* Effect.flip(TaskService.status(template.id)))._tag).toBe("TaskNotFoundError")
      }),
      { profile: "documented" }
    )

    for (const profile of ["current", "documented"] as const) {
      promise(
        `fork_task, continue_task, as text and as streams (${profile})`,
        Effect.gen(function*() {
          const source = yield* ended
          const forks = yield* Effect.forEach([" one", " two", " three"], (prompt) => source.fork({ prompt }))
          const results = yield* Effect.forEach(forks, (fork) => fork.wait(), { concurrency: "unbounded" })
          expect(results.map(({ text }) => text)).toEqual([" one!", " two!", " three!"])
          expect((yield* source.result).text).toBe("Hello!")
          const both = yield* Effect.all([
            Stream.mkString(StreamService.fork(source.id, { prompt: " and on".repeat(40) })),
            Stream.mkString(StreamService.fork(source.id, { prompt: " four" }))
          ], { concurrency: 2 })
          expect(both).toEqual([`${" and on".repeat(40)}!`, " four!"])
          const [fork] = forks
          if (fork === undefined) return yield* Effect.dieMessage("no fork")
          const more = yield* TaskService.continue(fork.id, { prompt: " more" })
          expect((yield* more.wait()).text).toBe(" more!")
          expect(yield* Stream.mkString(StreamService.continue(fork.id, { prompt: " again" }))).toBe(" again!")
          expect((yield* source.result).text).toBe("Hello!")
        }),
        { profile }
      )
    }

    promise(
      "as_template where the server can",
      Effect.gen(function*() {
        const template = yield* Effect.flatMap(ended, (task) => TaskService.asTemplate(task.id))
        const fork = yield* TaskService.fork(template.id, { prompt: " x" })
        expect((yield* fork.wait()).text).toBe(" x!")
        expect((yield* Effect.flip(TaskService.asTemplate(template.id)))._tag).toBe("AlreadyTemplateError")
      }),
      { profile: "documented" }
    )

    promise(
      "as_template where it cannot loses nothing",
      Effect.gen(function*() {
        const task = yield* ended
        expect((yield* Effect.flip(task.asTemplate))._tag).toBe("UnsupportedByServerError")
        expect((yield* task.wait()).text).toBe("Hello!")
        expect((yield* TaskService.list).cpuTasks).toEqual([task.id])
      })
    )

    promise(
      "task.wait(poll_interval, timeout): schedule, timeout, onProgress",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Tell me a story" })
        const seen = yield* Ref.make(0)
        const result = yield* task.wait({
          schedule: Schedule.spaced("5 millis"),
          timeout: "10 seconds",
          onProgress: () => Ref.update(seen, (n) => n + 1)
        })
        expect(result.text).toBe(story)
        expect(yield* Ref.get(seen)).toBeGreaterThan(1)
        expect((yield* task.wait({ by: "subscription" })).text).toBe(story)
      })
    )

    promise(
      "leaving a stream stops its task, and the sockets are free",
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        for (const transport of ["subscribe", "direct"] as const) {
          yield* Stream.runDrain(Stream.take(StreamService.create({ prompt: "endless" }, { transport }), 2))
        }
        const quiet = Effect.all([emulator.running, emulator.openStreams])
        const state = yield* Effect.repeat(quiet, {
          until: ([running, open]) => running + open === 0,
          schedule: Schedule.spaced("10 millis").pipe(Schedule.intersect(Schedule.recurs(100)))
        }).pipe(Effect.zipRight(quiet))
        expect(state).toEqual([0, 0])
        expect((yield* sent).filter((request) => request === "POST /v1/tasks/{id}/stop")).toHaveLength(2)
      })
    )
  })
}
