/** Servers from a Stream of lists. */
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, MetricState, Queue, Stream, TestClock } from "effect"
import { TaskService } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { settle } from "../support/harness.js"
import { emulator, pool, server, start } from "./cluster.js"

it.scoped("the last list that is valid holds: others are logged, and so is the failure of their Stream", () =>
  Effect.gen(function*() {
    const said: Array<string> = []
    const logger = Logger.make(({ message }) => void said.push(String(message)))
    const cluster = yield* start({ a: {}, b: {} })
    const fails = Stream.fail("mine")
    const servers = Stream.concat(Stream.make([server("a")], [], [server("a"), server("b")]), fails)
    const layer = Layer.provide(pool(cluster, { servers }), Logger.replace(Logger.defaultLogger, logger))
    yield* Effect.gen(function*() {
      yield* TestClock.adjust("1 second")
      const { figures } = yield* RWKVPool.RWKVPool
      expect((yield* figures).servers).toMatchObject([{ name: "a" }, { name: "b" }])
    }).pipe(Effect.provide(layer))
    expect(said).toEqual([expect.stringContaining("at least one server"), expect.stringContaining("mine")])
    expect(yield* Effect.flip(Layer.build(pool(cluster, { servers: fails })))).toBe("mine")
  }))

it.scoped("another header is sent from then on, and the server's work stays counted", () =>
  Effect.gen(function*() {
    const cluster = yield* start({ a: { reply: () => "a story that takes a while to tell" } })
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    const sent = Effect.map(emulator(cluster, "a").requests, (requests) =>
      requests.map(({ headers }) => headers["x-key"]))
    yield* lists.offer([server("a", { headers: { "x-key": "old" } })])
    yield* Effect.gen(function*() {
      const { figures } = yield* RWKVPool.RWKVPool
      const task = yield* TaskService.create({ prompt: "x", maxTokens: 100 })
      yield* lists.offer([server("a", { headers: { "x-key": "new" }, capacity: 3 })])
      yield* TestClock.adjust("1 second")
      expect((yield* figures).servers).toMatchObject([{ name: "a", running: 1, capacity: 3 }])
      expect((yield* settle(task.wait())).text).toBe("a story that takes a while to tell")
      expect((yield* figures).servers).toMatchObject([{ name: "a", running: 0, kept: 1 }])
      const keys = yield* sent
      expect([keys[0], new Set(keys.slice(1))]).toEqual(["old", new Set(["new"])])
    }).pipe(Effect.provide(pool(cluster, { servers: Stream.fromQueue(lists) })))
  }))

it.scoped("the gauges of a server that has left are zero", () =>
  Effect.gen(function*() {
    const cluster = yield* start({ leaves: {}, stays: {} })
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    yield* lists.offer([server("leaves")])
    const gauges = Effect.map(Metric.snapshot, (pairs) =>
      pairs.flatMap(({ metricKey, metricState }) =>
        metricKey.name.startsWith("rwkv.pool.") && metricKey.tags.some(({ value }) =>
            value === "leaves"
          ) &&
          MetricState.isGaugeState(metricState)
          ? [metricState.value]
          : []
      ))
    yield* Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "x", maxTokens: 4 })
      yield* settle(task.wait())
      expect(yield* gauges).toEqual(expect.arrayContaining([1, 1]))
      yield* lists.offer([server("stays")])
      yield* TestClock.adjust("1 minute")
      expect(yield* gauges).toEqual([0, 0, 0, 0])
    }).pipe(Effect.provide(pool(cluster, { servers: Stream.fromQueue(lists) })))
  }))
