import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Queue, Scope, Stream, TestClock } from "effect"
import { Polling, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import type * as RWKVPool from "effect-rwkv/RWKVPool"
import { failureOf, settle } from "../support/harness.js"
import * as Cluster from "./cluster.js"
import { emulator, figures, long, over, pool, server, start } from "./cluster.js"

type Options = Partial<RWKVPool.Options>

const echo: Emulator.Options = { reply: ({ text }) => `<${text}>` }

const two = (options: Emulator.Options = echo) => Cluster.two(options)

const health = Effect.map(figures, ({ servers }) => servers.map(({ health }) => health).join())

const paths = (cluster: Cluster.Cluster, name: string) =>
  Effect.map(emulator(cluster, name).requests, (requests) => requests.map(({ path }) => path))

const nameOf = (id: string) => id.slice(id.lastIndexOf("~") + 1)

const other = (id: string) => nameOf(id) === "a" ? "b" : "a"

const story = { prompt: "story", maxTokens: 400 }

describe("an id of a pool", () => {
  it.scoped("of a server that the pool does not have fails by type, and nobody is asked", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        for (const id of ["TMP_1~c", "TMP_1", "TMP_1~a~", "a", "~"]) {
          const verbs: ReadonlyArray<
            Effect.Effect<unknown, unknown, TaskService.TaskService | StreamService.StreamService>
          > = [
            TaskService.status(id),
            TaskService.result(id),
            TaskService.wait(id),
            TaskService.stop(id),
            TaskService.delete(id),
            TaskService.fork(id, { prompt: "x" }),
            TaskService.continue(id, { prompt: "x" }),
            TaskService.asTemplate(id),
            Stream.runDrain(StreamService.subscribe(id)),
            Effect.scoped(StreamService.openFork(id, { prompt: "x" }))
          ]
          for (const verb of verbs) {
            expect(yield* failureOf(verb)).toMatchObject({ _tag: "RWKVPoolError", kind: "server", taskId: id })
          }
          expect(yield* Effect.flip(TaskService.task(id))).toMatchObject({ _tag: "RWKVValidationError" })
        }
        expect(yield* Effect.flip(TaskService.status("TMP 1~a"))).toMatchObject({ _tag: "RWKVValidationError" })
      }).pipe(over(cluster))
      expect(yield* paths(cluster, "a")).toEqual([])
      expect(yield* paths(cluster, "b")).toEqual([])
    }))

  it.scoped("brings every verb to the server that made the task, in another process too", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      const id = yield* Effect.gen(function*() {
        const task = yield* TaskService.createPersistent({ prompt: "one", maxTokens: 50 })
        expect(task.id).toMatch(/^TASK_[0-9a-f]{32}~[ab]$/)
        expect((yield* settle(task.wait())).taskId).toBe(task.id)
        return task.id
      }).pipe(over(cluster))
      for (const name of ["a", "b"]) yield* emulator(cluster, name).clearRequests
      yield* Effect.gen(function*() {
        expect(yield* TaskService.status(id)).toMatchObject({ taskId: id, status: "Finished" })
        expect((yield* settle(TaskService.result(id))).text).toBe("<one>")
        expect(yield* settle(Stream.mkString(StreamService.subscribe(id)))).toBe("<one>")
        const again = yield* settle(TaskService.continue(id, { prompt: "two", maxTokens: 50 }))
        expect([again.id, (yield* settle(again.wait())).text]).toEqual([id, "<two>"])
        const fork = yield* settle(TaskService.fork(id, { prompt: "three", maxTokens: 50 }))
        expect(nameOf(fork.id)).toBe(nameOf(id))
        expect((yield* settle(fork.wait())).text).toBe("<three>")
        yield* settle(TaskService.stop(id))
        yield* settle(TaskService.delete(id))
        expect(yield* failureOf(TaskService.status(id))).toMatchObject({ _tag: "TaskNotFoundError", taskId: id })
      }).pipe(over(cluster))
      expect(yield* paths(cluster, other(id))).toEqual([])
    }))

  it.scoped("is in the list of all servers", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        const tasks = yield* Effect.replicateEffect(TaskService.create({ prompt: "x", maxTokens: 4 }), 6)
        const list = yield* TaskService.list
        expect(Array.from(list.cpuTasks).sort()).toEqual(tasks.map(({ id }) => id).sort())
        expect(list.totalCount).toBe(6)
        expect(new Set(tasks.map(({ id }) => nameOf(id))).size).toBe(2)
      }).pipe(over(cluster))
    }))
})

describe("new work", () => {
  it.scoped("never goes beyond capacity, waits its turn, and fails by type where too many wait", () =>
    Effect.gen(function*() {
      const cluster = yield* two({ reply: ({ text }) => text.repeat(100) })
      const servers = [server("a", { capacity: 2 }), server("b", { capacity: 1 })]
      yield* Effect.gen(function*() {
        const ended: Array<number> = []
        const fibers = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, index) => index),
          (index) =>
            TaskService.run({ prompt: `${index}`, maxTokens: 200 }).pipe(
              Effect.tap(() => Effect.sync(() => ended.push(index))),
              Effect.fork,
              Effect.zipLeft(Effect.yieldNow())
            )
        )
        yield* TestClock.adjust("20 millis")
        expect(yield* figures).toMatchObject({ queued: 5, servers: [{ running: 2 }, { running: 1 }] })
        const refused = yield* Effect.flip(TaskService.run({ prompt: "9", maxTokens: 1 }))
        expect(refused).toMatchObject({ _tag: "RWKVPoolError", kind: "full", isTransient: true, isSafeToRepeat: true })
        const results = yield* settle(Fiber.join(Fiber.all(fibers)))
        expect(results.map(({ text }) => text)).toEqual(fibers.map((_, index) => `${index}`.repeat(100)))
        expect(ended.slice(0, 3).sort()).toEqual([0, 1, 2])
        expect(yield* figures).toMatchObject({ queued: 0, servers: [{ running: 0 }, { running: 0 }] })
      }).pipe(over(cluster, { servers, queueLimit: 5 }))
    }))

  it.scoped("that is left in the queue, or times out there, leaves nothing", () =>
    Effect.gen(function*() {
      const cluster = yield* two({ reply: () => long })
      const servers = [server("a", { capacity: 1 })]
      yield* Effect.gen(function*() {
        const first = yield* Effect.fork(TaskService.run(story))
        yield* TestClock.adjust("20 millis")
        const waiting = yield* Effect.fork(TaskService.run({ prompt: "left", maxTokens: 5 }))
        const stream = yield* Effect.fork(Stream.runDrain(StreamService.create({ prompt: "left", maxTokens: 5 })))
        const late = yield* Effect.fork(Effect.flip(TaskService.run({ prompt: "late" }, { timeout: "100 millis" })))
        yield* TestClock.adjust("30 millis")
        expect((yield* figures).queued).toBe(3)
        yield* Fiber.interrupt(waiting)
        yield* Fiber.interrupt(stream)
        expect((yield* figures).queued).toBe(1)
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(late)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait" })
        expect((yield* figures).queued).toBe(0)
        yield* settle(Fiber.join(first))
        const queued = yield* Effect.fork(Effect.replicateEffect(TaskService.create(story), 2))
        expect(yield* failureOf(Fiber.join(queued), "1 second")).toMatchObject({
          _tag: "RWKVTimeoutError",
          kind: "queue"
        })
      }).pipe(over(cluster, { servers, queueTimeout: "2 seconds" }))
      const creates = (yield* paths(cluster, "a")).filter((path) => path === "/v1/tasks/tmp")
      expect(creates.length).toBe(2)
      expect(yield* paths(cluster, "b")).toEqual([])
    }))

  it.scoped("goes elsewhere if a server refuses, which is asked until it answers", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        cluster.refuse("a", true)
        const results = yield* settle(
          Effect.forEach(Array.from({ length: 10 }, (_, index) => `${index}`), (prompt) =>
            TaskService.run({ prompt, maxTokens: 20 }), { concurrency: "unbounded" })
        )
        expect(results.map(({ text }) =>
          text
        )).toEqual(results.map((_, index) => `<${index}>`))
        expect(new Set(results.map(({ taskId }) => nameOf(taskId)))).toEqual(new Set(["b"]))
        expect(yield* health).toBe("lost,open")
        cluster.refuse("a", false)
        yield* TestClock.adjust("1 minute")
        expect(yield* health).toBe("open,open")
        expect(yield* paths(cluster, "a")).toEqual(["/v1/models"])
      }).pipe(over(cluster))
    }))

  it.scoped("is not repeated where it may have begun; a server that fails three times is left out", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* emulator(cluster, "a").inject({
        on: { path: /tmp/ },
        times: 3,
        kind: Emulator.FaultKind.Status({ status: 500 })
      })
      yield* Effect.gen(function*() {
        const exits = yield* Effect.replicateEffect(
          Effect.exit(settle(TaskService.run({ prompt: "x", maxTokens: 5 }))),
          3
        )
        expect(exits.every(Exit.isFailure)).toBe(true)
        expect(yield* health).toBe("lost")
      }).pipe(over(cluster, { servers: [server("a")] }))
    }))

  it.scoped("fails by type if no server takes work for half a minute", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      for (const name of ["a", "b"]) cluster.refuse(name, true)
      yield* Effect.gen(function*() {
        const failure = yield* failureOf(TaskService.run({ prompt: "x", maxTokens: 5 }), "1 second")
        expect(failure).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false, isSafeToRepeat: true })
        const next = yield* Effect.flip(TaskService.run({ prompt: "x", maxTokens: 5 }))
        expect(next).toMatchObject({ _tag: "RWKVConnectionError" })
        for (const name of ["a", "b"]) cluster.refuse(name, false)
        yield* TestClock.adjust("1 minute")
        expect((yield* settle(TaskService.run({ prompt: "x", maxTokens: 5 }))).text).toBe("<x>")
      }).pipe(over(cluster))
    }))

  it.scoped("makes room in a full cache of what has ended and nobody asks about", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        const tasks = yield* settle(
          Effect.replicateEffect(
            Effect.tap(TaskService.create({ prompt: "x", maxTokens: 5 }), (task) => task.wait()),
            3
          )
        )
        expect(yield* figures).toMatchObject({ servers: [{ running: 0, kept: 3 }] })
        const more = yield* Effect.fork(TaskService.run({ prompt: "more", maxTokens: 20 }))
        yield* TestClock.adjust("1 second")
        expect((yield* figures).queued).toBe(1)
        expect((yield* settle(Fiber.join(more))).text).toBe("<more>")
        expect(yield* failureOf(TaskService.status(tasks[0]?.id ?? ""))).toMatchObject({ _tag: "TaskNotFoundError" })
      }).pipe(over(cluster, { servers: [server("a", { keeps: 3 })] }))
    }))
})

describe("a server that is lost", () => {
  /** Kills a server in the middle of a stream, and brings it back empty. */
  const killed = (
    options: Options,
    request: Parameters<typeof StreamService.create>[0],
    replies?: Emulator.Options["reply"]
  ) =>
    Effect.gen(function*() {
      const reply = () => long
      const cluster = yield* start({
        a: { seed: 1, reply, tokensPerPulse: 4 },
        b: { seed: 2, reply: replies ?? reply, tokensPerPulse: 4 }
      })
      return yield* Effect.gen(function*() {
        cluster.refuse("b", true)
        yield* settle(Effect.ignore(TaskService.models))
        const begun = yield* Deferred.make<void>()
        const texts: Array<string> = []
        const fiber = yield* StreamService.create(request).pipe(
          Stream.runForEach((text) =>
            Effect.zipRight(Effect.sync(() => texts.push(text)), Deferred.succeed(begun, undefined))
          ),
          Effect.exit,
          Effect.fork
        )
        yield* settle(Deferred.await(begun))
        cluster.refuse("b", false)
        cluster.refuse("a", true)
        yield* emulator(cluster, "a").restart("kill")
        const exit = yield* settle(Fiber.join(fiber), "1 second")
        return { exit, text: texts.join(""), cluster }
      }).pipe(over(cluster, { servers: [server("a", { weight: 1000 }), server("b")], ...options }))
    })

  const failing = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) ? exit.cause : undefined

  it.scoped("fails its tasks by type", () =>
    Effect.gen(function*() {
      const { exit, text } = yield* killed({}, { ...story, seed: 1 })
      expect(failing(exit)).toMatchObject({ _tag: "Fail", error: { _tag: "StreamTruncatedError", text } })
      expect(long.startsWith(text)).toBe(true)
    }))

  it.scoped("has its runs with a seed made anew, and each piece of text is delivered once", () =>
    Effect.gen(function*() {
      const { cluster, exit, text } = yield* killed({ onServerLost: "replay" }, { ...story, seed: 1 })
      expect(failing(exit)).toBe(undefined)
      expect(text).toBe(long)
      expect(yield* emulator(cluster, "b").running).toBe(0)
    }))

  it.scoped("fails a run of which text was delivered and that has no seed", () =>
    Effect.gen(function*() {
      const { exit, text } = yield* killed({ onServerLost: "replay" }, story)
      expect(failing(exit)).toMatchObject({ _tag: "Fail", error: { _tag: "StreamTruncatedError", text } })
    }))

  it.scoped("fails by type if what is made anew contradicts what was delivered", () =>
    Effect.gen(function*() {
      for (const reply of [() => "another text", () => "a"]) {
        const { cluster, exit, text } = yield* killed({ onServerLost: "replay" }, { ...story, seed: 1 }, reply)
        expect(failing(exit)).toMatchObject({ _tag: "Fail", error: { _tag: "RWKVPoolError", kind: "replay" } })
        expect(long.startsWith(text)).toBe(true)
        yield* TestClock.adjust("10 seconds")
        expect(yield* emulator(cluster, "b").running).toBe(0)
      }
    }))
})

describe("servers that come and go", () => {
  it.scoped("join, drain until nothing runs there, and leave", () =>
    Effect.gen(function*() {
      const cluster = yield* two({ reply: () => long })
      const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
      yield* lists.offer([server("a")])
      yield* Effect.gen(function*() {
        const first = yield* Effect.fork(TaskService.run(story))
        yield* TestClock.adjust("20 millis")
        yield* lists.offer([server("b")])
        yield* TestClock.adjust("20 millis")
        expect((yield* figures).servers).toMatchObject([{ name: "b", health: "open" }, {
          name: "a",
          health: "draining"
        }])
        const second = yield* TaskService.create(story)
        expect(nameOf(second.id)).toBe("b")
        const { taskId, text } = yield* settle(Fiber.join(first))
        expect([nameOf(taskId), text]).toEqual(["a", long])
        yield* TestClock.adjust("30 seconds")
        expect((yield* figures).servers).toMatchObject([{ name: "b" }])
        expect(yield* Effect.flip(TaskService.status(taskId))).toMatchObject({ _tag: "RWKVPoolError", kind: "server" })
        yield* lists.offer([server("b"), server("b")])
        yield* lists.offer([])
        yield* TestClock.adjust("1 second")
        expect((yield* figures).servers).toMatchObject([{ name: "b", health: "open" }])
        yield* lists.offer([server("b", { draining: true }), server("a")])
        yield* TestClock.adjust("1 second")
        expect(yield* health).toBe("draining,open")
        expect(nameOf((yield* TaskService.create(story)).id)).toBe("a")
        expect((yield* settle(TaskService.wait(second.id))).text).toBe(long)
      }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
    }))

  it.scoped("are checked: names, weights, lists", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      const bad: ReadonlyArray<readonly [unknown, string]> = [
        [[], "servers"],
        ["a", "servers"],
        [[server("a"), server("a")], "servers"],
        [[server("a~b")], "servers.0.name"],
        [[server("")], "servers.0.name"],
        [[server("x".repeat(33))], "servers.0.name"],
        [[{ ...server("a"), weight: 0 }], "servers.0.weight"],
        [[{ ...server("a"), capacity: 1.5 }], "servers.0.capacity"],
        [[{ ...server("a"), baseUrl: "nonsense" }], "baseUrl"],
        [[{ ...server("a"), url: "x" }], "servers.0.url"],
        [Stream.empty, "servers"]
      ]
      for (const [servers, path] of bad) {
        const failure = yield* Effect.flip(Effect.void.pipe(over(cluster, { servers: servers as never })))
        expect(failure, path).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path }] })
      }
      for (
        const options of [{ queueLimit: -1 }, { onServerLost: "retry" }, { probe: 3 }, { queueTimeout: NaN }, {
          nonsense: 1
        }]
      ) {
        const failure = yield* Effect.flip(Effect.void.pipe(over(cluster, options as never)))
        expect(failure).toMatchObject({ _tag: "RWKVValidationError" })
      }
    }))

  it.scoped("end with the pool: what waits and what runs fails by type, and no task is left", () =>
    Effect.gen(function*() {
      const cluster = yield* two({ reply: () => long })
      const scope = yield* Scope.make()
      const layer = pool(cluster, { servers: [server("a", { capacity: 1 })], retry: Polling.noRetry })
      const context = yield* Layer.buildWithScope(layer, scope)
      const run = yield* Effect.fork(Effect.flip(Effect.provide(TaskService.run(story), context)))
      yield* TestClock.adjust("20 millis")
      const waits = yield* Effect.fork(Effect.flip(Effect.provide(TaskService.run(story), context)))
      yield* TestClock.adjust("20 millis")
      yield* Scope.close(scope, Exit.void)
      expect(yield* settle(Fiber.join(run))).toMatchObject({ _tag: "RWKVConnectionError" })
      expect(yield* settle(Fiber.join(waits))).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
      expect(yield* Effect.flip(Effect.provide(TaskService.run(story), context))).toMatchObject({
        _tag: "RWKVConnectionError"
      })
      expect(yield* Effect.flip(Effect.provide(TaskService.list, context))).toMatchObject({
        _tag: "RWKVConnectionError"
      })
      expect(yield* emulator(cluster, "a").running).toBe(0)
    }))
})
