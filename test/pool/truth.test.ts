/** What a pool knows of its work stays true, whatever programs and servers do. */
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Metric, MetricState, Queue, Schedule, Stream, TestClock } from "effect"
import { Polling, StreamService, TaskService, Telemetry } from "effect-rwkv"
import type * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import * as Tracing from "../support/tracing.js"
import { failureOf, settle } from "../support/harness.js"
import { emulator, figures, long, over, pool, server, start, story, two } from "./cluster.js"

const gaugesOf = (name: string) =>
  Effect.map(
    Metric.snapshot,
    (pairs) =>
      pairs.flatMap(({ metricKey, metricState }) =>
        metricKey.name.startsWith("rwkv.pool.") && metricKey.tags.some(({ value }) => value === name) &&
          MetricState.isGaugeState(metricState)
          ? [metricState.value]
          : []
      )
  )

it.scoped("an error names its task by the very id that was asked about", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      for (const id of ["TMP_1~a~a", "TMP_1~a"]) {
        expect(yield* failureOf(TaskService.status(id))).toMatchObject({ _tag: "TaskNotFoundError", taskId: id })
      }
    }).pipe(over(cluster))
  }))

it.scoped("a request that is refused for its figures leaves those of the server as they were", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      for (const maxTokens of [Infinity, 1e300]) {
        yield* Effect.flip(TaskService.create({ ...story, maxTokens }))
      }
      yield* Effect.flip(TaskService.create({ prompt: { length: Infinity } as never }))
      expect(yield* figures).toMatchObject({ servers: [{ running: 0, outstandingTokens: 0 }] })
    }).pipe(over(cluster, { servers: [server("a")] }))
  }))

it.scoped("a server that leaves the list and comes back holds no more than its capacity", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    const a = server("a", { capacity: 2 })
    yield* lists.offer([a])
    yield* Effect.gen(function*() {
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 6 }, () => TaskService.run(story)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("100 millis")
      yield* lists.offer([server("b", { draining: true })])
      yield* TestClock.adjust("100 millis")
      yield* lists.offer([a])
      yield* TestClock.adjust("100 millis")
      expect(yield* emulator(cluster, "a").running).toBe(2)
      yield* settle(Fiber.join(all))
    }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
  }))

it.scoped("the gauges of a pool that has ended are zero", () =>
  Effect.gen(function*() {
    const cluster = yield* start({ ended: { reply: () => long } })
    yield* Effect.gen(function*() {
      yield* TaskService.create(story)
      expect(yield* gaugesOf("ended")).toEqual(expect.arrayContaining([1, 1]))
    }).pipe(over(cluster))
    expect(yield* gaugesOf("ended")).toEqual([0, 0, 0, 0])
  }))

const schedule = Schedule.spaced("1 minute")

it.scoped("a task that a program waits for is not taken for one that nobody asks about, however seldom it looks", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      const run = yield* Effect.fork(TaskService.run(story, { schedule }))
      yield* TestClock.adjust("100 millis")
      const other = yield* Effect.fork(TaskService.run(story))
      expect((yield* settle(Fiber.join(run), "1 second")).text).toBe(long)
      expect((yield* settle(Fiber.join(other), "1 second")).text).toBe(long)
      const task = yield* TaskService.create(story)
      const wait = yield* Effect.fork(task.wait({ schedule }))
      yield* TestClock.adjust("100 millis")
      const next = yield* Effect.fork(TaskService.run(story))
      expect((yield* settle(Fiber.join(wait), "1 second")).text).toBe(long)
      expect((yield* settle(Fiber.join(next), "1 second")).text).toBe(long)
    }).pipe(over(cluster, { servers: [server("a", { keeps: 1 })] }))
  }))

it.scoped("a server that leaves stays while a task of another program there is asked about", () =>
  Effect.gen(function*() {
    const text = "a story. ".repeat(400)
    const cluster = yield* start({ a: { reply: () => text, pulse: 1000, tokensPerPulse: 20 }, b: {} })
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    yield* lists.offer([server("a")])
    const other = yield* Layer.build(pool(cluster, { servers: [server("a")] }))
    const { id } = yield* Effect.provide(TaskService.create({ prompt: "x", maxTokens: 4000 }), other)
    yield* Effect.gen(function*() {
      const waits = yield* Effect.fork(TaskService.wait(id, { by: "polling", schedule: Schedule.spaced("5 seconds") }))
      yield* lists.offer([server("b")])
      expect((yield* settle(Fiber.join(waits), "5 seconds")).text).toBe(text)
    }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
  }))

it.scoped("the list has the tasks of a server that leaves, and where all are lost it fails by type", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    yield* lists.offer([server("a")])
    yield* Effect.gen(function*() {
      const { id } = yield* TaskService.create(story)
      yield* lists.offer([server("b")])
      yield* TestClock.adjust("100 millis")
      expect((yield* TaskService.list).cpuTasks).toEqual([id])
      cluster.refuse("a", true)
      cluster.refuse("b", true)
      for (let i = 0; i < 2; i++) {
        expect(yield* Effect.flip(TaskService.models)).toMatchObject({
          _tag: "RWKVConnectionError",
          requestSent: false
        })
        expect(yield* Effect.flip(TaskService.list)).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
      }
    }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
  }))

it.scoped("only the run that lost its server comes before others, and not what its hooks ask for", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      yield* emulator(cluster, "a").inject({ on: { path: /tmp/ }, kind: Emulator.FaultKind.Reset({ executed: false }) })
      let once = false
      const refused = yield* Deferred.make<unknown>()
      const tasks = yield* TaskService.TaskService
      const nested = tasks.run(story)
      const run = yield* Effect.fork(TaskService.run(story, {
        onProgress: () =>
          Effect.suspend(() => {
            if (once) return Effect.void
            once = true
            return Effect.asVoid(Effect.flatMap(Effect.either(nested), (result) => Deferred.succeed(refused, result)))
          })
      }))
      yield* TestClock.adjust("100 millis")
      yield* settle(Fiber.join(run))
      expect(yield* Deferred.await(refused)).toMatchObject({ left: { _tag: "RWKVPoolError", kind: "full" } })
    }).pipe(over(cluster, { servers: [server("a", { capacity: 1 })], queueLimit: 0, onServerLost: "replay" }))
  }))

it.scoped("a seed of the defaults is one", () =>
  Effect.gen(function*() {
    const cluster = yield* two({ reply: () => long, tokensPerPulse: 4 })
    const streamed = Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Stream.mkString(Stream.tap(StreamService.create(story), () => Deferred.succeed(begun, undefined)))
      )
      yield* settle(Deferred.await(begun))
      cluster.refuse("a", true)
      yield* emulator(cluster, "a").restart("kill")
      cluster.refuse("b", false)
      expect(yield* settle(Fiber.join(fiber), "1 second")).toBe(long)
    })
    cluster.refuse("b", true)
    const options = { onServerLost: "replay" as const }
    yield* Effect.zipRight(settle(Effect.ignore(TaskService.models)), streamed).pipe(
      over(cluster, { ...options, defaults: { seed: 1 } })
    )
  }))

it.scoped("a Stream of servers that dies is logged, and so is a probe's middleware that dies", () =>
  Effect.gen(function*() {
    const said: Array<string> = []
    const logger = Logger.make(({ cause, message }) => void said.push(`${String(message)} ${String(cause)}`))
    const cluster = yield* start({ a: {} })
    const servers = Stream.concat(Stream.make([server("a")]), Stream.die(new Error("mine")))
    const layer = Layer.provide(pool(cluster, { servers }), Logger.replace(Logger.defaultLogger, logger))
    yield* Effect.provide(TestClock.adjust("1 second"), layer)
    expect(said.join()).toContain("mine")
  }))

it.scoped("what the pool knows is what the server does, once all has ended", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      const task = yield* TaskService.create({ ...story, maxTokens: 10 })
      yield* settle(task.wait())
      for (const transport of ["direct", "subscribe"] as const) {
        yield* settle(Stream.runDrain(StreamService.continue(task.id, { prompt: "x", maxTokens: 5 }, { transport })))
        expect(yield* figures).toMatchObject({ servers: [{ running: 0, kept: 1, outstandingTokens: 0 }] })
      }
      const fork = yield* settle(TaskService.fork(task.id, { prompt: "y", maxTokens: 5 }))
      yield* settle(fork.wait())
      yield* TestClock.adjust("1 second")
      expect(yield* figures).toMatchObject({ servers: [{ running: 0, kept: 2, outstandingTokens: 0 }] })
      yield* settle(
        Stream.runDrain(StreamService.create(story, { cleanup: "keep", transport: "direct", stop: ["while"] }))
      )
      yield* TestClock.adjust("20 seconds")
      expect(yield* figures).toMatchObject({ servers: [{ running: 0, kept: 3, outstandingTokens: 0 }] })
      yield* settle(Stream.runDrain(Stream.take(StreamService.create(story, { cleanup: "keep" }), 2)))
      yield* TestClock.adjust("20 seconds")
      expect(yield* figures).toMatchObject({ servers: [{ running: 0, kept: 4, outstandingTokens: 0 }] })
    }).pipe(over(cluster, { servers: [server("a")] }))
  }))

it.scoped("the metric of running tasks is zero once all has ended, with a replay too", () =>
  Effect.gen(function*() {
    const cluster = yield* start({ o1: { seed: 1, reply: () => long }, o2: { seed: 2, reply: () => long } })
    const running = Effect.map(Metric.snapshot, (pairs) =>
      pairs.flatMap(({ metricKey, metricState }) => {
        const host = metricKey.tags.find(({ key }) => key === Telemetry.names.address)?.value
        return metricKey.name.includes("running") && !metricKey.name.includes("pool") &&
            (host === "o1" || host === "o2")
          ? [
            [
              metricKey.name,
              host,
              "count" in metricState ? String(metricState.count) : JSON.stringify(metricState)
            ] as const
          ]
          : []
      }))
    yield* Effect.gen(function*() {
      cluster.refuse("o2", true)
      yield* settle(Effect.ignore(TaskService.models))
      const fiber = yield* Effect.fork(TaskService.run(story))
      yield* TestClock.adjust("100 millis")
      cluster.refuse("o1", true)
      cluster.refuse("o2", false)
      yield* settle(Fiber.join(fiber), "1 second")
      cluster.refuse("o1", false)
      yield* TestClock.adjust("5 minutes")
    }).pipe(Effect.provide(Layer.merge(pool(cluster, { onServerLost: "replay" }), Telemetry.layer())))
    const told = yield* running
    expect(told.length).toBeGreaterThan(0)
    expect(told.filter(([, , count]) => count !== "0")).toEqual([])
  }))

it.scoped("a server's own header is sent instead of the pool's, whatever their cases", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* TaskService.models.pipe(over(cluster, {
      headers: { Authorization: "pool", "x-a": "pool" },
      servers: [server("a", { headers: { authorization: "own", "X-A": "own" } })]
    }))
    expect((yield* emulator(cluster, "a").requests)[0]?.headers).toMatchObject({ authorization: "own", "x-a": "own" })
  }))

it.scoped("a run that was made anew is one that ended well, with its own tokens", () =>
  Effect.gen(function*() {
    const cluster = yield* two({ reply: () => long, pulse: 200, tokensPerPulse: 8 })
    const { own, traced } = Tracing.make()
    yield* Effect.gen(function*() {
      cluster.refuse("b", true)
      yield* settle(Effect.ignore(TaskService.models))
      const run = yield* Effect.fork(TaskService.run(story))
      yield* TestClock.adjust("2 seconds")
      yield* emulator(cluster, "a").inject({ kind: Emulator.FaultKind.Status({ status: 503 }), times: 3 })
      for (const name of ["a", "b"]) cluster.refuse(name, name === "a")
      yield* TestClock.adjust("6 seconds")
      cluster.refuse("a", false)
      expect((yield* settle(Fiber.join(run), "1 second")).taskId).toMatch(/~b$/)
      yield* TestClock.adjust("1 minute")
    }).pipe(
      Effect.provide(Layer.merge(
        pool(cluster, { onServerLost: "replay", retry: Polling.noRetry }),
        Telemetry.layer()
      )),
      traced
    )
    const span = own().find(({ name }) => name === Telemetry.names.completion)
    expect(span?.attributes.get(Telemetry.names.outputTokens)).toBe(long.length)
    expect(span?.attributes.get(Telemetry.names.finishReasons)).toEqual(["stop"])
    expect(span?.attributes.has(Telemetry.names.errorType)).toBe(false)
  }))

it.scoped("a task that another takes the place of is stopped, though the stream would leave its own running", () =>
  Effect.gen(function*() {
    const cluster = yield* two({ reply: () => long, pulse: 1000, tokensPerPulse: 2 })
    const cut = { on: { path: /stream/ }, kind: Emulator.FaultKind.Cut({ afterBytes: 100, clean: false }) }
    yield* emulator(cluster, "a").inject(cut)
    cluster.refuse("b", true)
    yield* Effect.gen(function*() {
      yield* settle(Effect.ignore(TaskService.models))
      const begun = yield* Deferred.make<void>()
      const reading = yield* StreamService.create({ ...story, seed: 1 }, { onInterrupt: "detach" }).pipe(
        Stream.tap(() => Deferred.succeed(begun, undefined)),
        Stream.mkString,
        Effect.fork
      )
      yield* Effect.fork(Effect.zipRight(Deferred.await(begun), Effect.sync(() => cluster.refuse("a", true))))
      yield* TestClock.adjust("5 seconds")
      cluster.refuse("b", false)
      yield* TestClock.adjust("5 seconds")
      cluster.refuse("a", false)
      yield* TestClock.adjust("30 seconds")
      const running = Effect.zipWith(emulator(cluster, "a").running, emulator(cluster, "b").running, (a, b) => a + b)
      expect(yield* running).toBe(1)
      yield* Effect.fork(Fiber.interrupt(reading))
      yield* TestClock.adjust("5 seconds")
      expect(yield* running).toBe(1)
    }).pipe(over(cluster, { onServerLost: "replay" }))
  }))
