import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Queue, Schedule, Scope, Stream, TestClock } from "effect"
import { Polling, StreamService, TaskService } from "effect-rwkv"
import type * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { failureOf, settle } from "../support/harness.js"
import { type Cluster, emulator, figures, long, over, pool, server, story, two } from "./cluster.js"

describe("the queue of a pool", () => {
  it.scoped("does not count the runs of `runAll` against its limit", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        const all = yield* TaskService.runAll(Array.from({ length: 6 }, () => story), { concurrency: 6 }).pipe(
          Stream.runDrain,
          Effect.fork
        )
        yield* TestClock.adjust("20 millis")
        expect((yield* figures).queued).toBe(5)
        const run = yield* Effect.fork(TaskService.run(story))
        yield* TestClock.adjust("20 millis")
        expect((yield* figures).queued).toBe(6)
        yield* settle(Fiber.join(run))
        yield* settle(Fiber.join(all))
      }).pipe(over(cluster, { servers: [server("a", { capacity: 1 })], queueLimit: 2 }))
    }))

  it.scoped("waits half a minute each time that no server takes work", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        cluster.refuse("a", true)
        expect(yield* failureOf(TaskService.run(story), "1 second")).toMatchObject({ _tag: "RWKVConnectionError" })
        cluster.refuse("a", false)
        yield* TestClock.adjust("2 minutes")
        yield* settle(TaskService.run(story))
        cluster.refuse("a", true)
        const run = yield* Effect.fork(TaskService.run(story))
        yield* TestClock.adjust("5 seconds")
        cluster.refuse("a", false)
        expect((yield* settle(Fiber.join(run))).text).toBe(long)
      }).pipe(over(cluster, { servers: [server("a")] }))
    }))

  it.scoped("takes nobody while the pool is being closed", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      const scope = yield* Scope.make()
      const layer = pool(cluster, { servers: [server("a", { capacity: 1 })], retry: Polling.noRetry })
      const context = yield* Layer.buildWithScope(layer, scope)
      const go = Effect.provide(context)
      yield* go(TaskService.create(story))
      const leaver = yield* Effect.fork(go(TaskService.run(story)))
      yield* TestClock.adjust("20 millis")
      const again = yield* Effect.fork(
        Effect.catchAll(go(TaskService.run(story)), () => go(Effect.flip(TaskService.run(story))))
      )
      yield* TestClock.adjust("20 millis")
      yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settle(Fiber.await(leaver))
      expect(yield* settle(Fiber.join(again))).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
    }))

  it.scoped("has runs that lost their server before those that had none, and does not count them", () =>
    Effect.gen(function*() {
      const cluster = yield* two()
      yield* Effect.gen(function*() {
        cluster.refuse("b", true)
        yield* settle(Effect.ignore(TaskService.models))
        const request = { ...story, seed: 1 }
        const ended: Array<string> = []
        const ends = (name: string) => Effect.sync(() => ended.push(name))
        const first = yield* Effect.fork(
          Effect.zipRight(Stream.runDrain(StreamService.create(request)), ends("stream"))
        )
        yield* TestClock.adjust("100 millis")
        const others = yield* Effect.forEach(
          ["x", "y"],
          (name) => Effect.fork(Effect.zipRight(TaskService.run(request), ends(name)))
        )
        yield* TestClock.adjust("100 millis")
        expect(yield* figures).toMatchObject({ queued: 2 })
        cluster.refuse("a", true)
        yield* emulator(cluster, "a").restart("kill")
        yield* TestClock.adjust("2 seconds")
        cluster.refuse("b", false)
        yield* settle(Fiber.join(first))
        yield* settle(Fiber.joinAll(others))
        expect(ended).toEqual(["stream", "x", "y"])
      }).pipe(over(cluster, {
        servers: [server("a", { capacity: 1 }), server("b", { capacity: 1 })],
        queueLimit: 2,
        onServerLost: "replay"
      }))
    }))
})

describe("a stream whose reader is slow", () => {
  const slow = (stream: Stream.Stream<string, unknown, StreamService.StreamService>) =>
    Stream.mkString(Stream.tap(Stream.take(stream, 1000), () => Effect.sleep("45 seconds")))

  for (const transport of ["subscribe", "direct"] as const) {
    it.scoped(`is whole though others wait for the place of its task, ${transport}`, () =>
      Effect.gen(function*() {
        const cluster = yield* two({ reply: () => long, tokensPerPulse: 80 })
        yield* Effect.gen(function*() {
          const reading = yield* Effect.fork(slow(StreamService.create(story, { transport })))
          yield* TestClock.adjust("5 seconds")
          const other = yield* Effect.fork(TaskService.run(story))
          expect(yield* settle(Fiber.join(reading), "5 seconds")).toBe(long)
          expect((yield* settle(Fiber.join(other))).text).toBe(long)
        }).pipe(over(cluster, { servers: [server("a", { keeps: 1 })] }))
      }))

    it.scoped(`is whole though its server leaves, ${transport}`, () =>
      Effect.gen(function*() {
        const cluster = yield* two({ reply: () => long, tokensPerPulse: 80 })
        const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
        yield* lists.offer([server("a")])
        yield* Effect.gen(function*() {
          const reading = yield* Effect.fork(slow(StreamService.create(story, { transport })))
          yield* TestClock.adjust("5 seconds")
          yield* lists.offer([server("b")])
          expect(yield* settle(Fiber.join(reading), "5 seconds")).toBe(long)
          yield* TestClock.adjust("1 minute")
          expect((yield* figures).servers.map(({ name }) => name)).toEqual(["b"])
        }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
      }))
  }
})

it.scoped("a task that is being made on a server that is lost and leaves is still told of, and its text fails by type", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    yield* lists.offer([server("a")])
    yield* Effect.gen(function*() {
      yield* emulator(cluster, "a").inject({
        on: { path: /tmp/ },
        times: 2,
        kind: Emulator.FaultKind.Delay({ duration: "100 seconds" })
      })
      const making = yield* Effect.fork(TaskService.create(story))
      const reading = yield* Effect.fork(Stream.runDrain(StreamService.create(story)))
      yield* TestClock.adjust("1 second")
      cluster.refuse("a", true)
      yield* Effect.ignore(TaskService.models)
      yield* lists.offer([server("b")])
      const task = yield* settle(Fiber.join(making), "1 second")
      expect(yield* Effect.flip(task.status)).toMatchObject({ _tag: "RWKVPoolError", kind: "server", taskId: task.id })
      expect(yield* failureOf(Fiber.join(reading), "1 second")).toMatchObject({ _tag: "RWKVPoolError", kind: "server" })
    }).pipe(over(cluster, { servers: Stream.fromQueue(lists) }))
  }))

describe("a list of servers", () => {
  /** Two lists one after the other, and a program over the second. */
  const after = (
    lists: readonly [ReadonlyArray<RWKVPool.Server>, unknown],
    between: Effect.Effect<void, unknown, TaskService.TaskService>,
    then: (cluster: Cluster) => Effect.Effect<void, unknown, TaskService.TaskService | RWKVPool.RWKVPool>
  ) =>
    Effect.gen(function*() {
      const cluster = yield* two()
      const queue = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
      yield* queue.offer(lists[0])
      yield* Effect.gen(function*() {
        yield* between
        yield* queue.offer(lists[1] as never)
        yield* TestClock.adjust("1 second")
        yield* then(cluster)
        // A list that is passed over does not end those that come.
        yield* queue.offer([server("b")])
        yield* TestClock.adjust("1 second")
        expect((yield* figures).servers).toContainEqual(expect.objectContaining({ name: "b", health: "open" }))
      }).pipe(over(cluster, { servers: Stream.fromQueue(queue) }))
    })

  const throwing = {
    get headers(): never {
      throw new Error("hostile")
    }
  }

  it.scoped("whose headers are none is passed over", () =>
    Effect.forEach(
      [{ headers: null }, throwing, { headers: { a: 1n } }],
      (hostile) =>
        after(
          [[server("a")], [Object.defineProperties(server("a"), Object.getOwnPropertyDescriptors(hostile))]],
          Effect.void,
          () => Effect.void
        )
    ))

  it.scoped("that gives a name another address leaves the tasks of the name where they run", () => {
    let id = ""
    const made = Effect.map(TaskService.create(story), (made) => {
      id = made.id
    })
    return after(
      [[server("a")], [{ name: "a", baseUrl: "http://b:8000" }]],
      made,
      () => Effect.map(settle(Effect.suspend(() => TaskService.wait(id))), ({ text }) => expect(text).toBe(long))
    )
  })
})

it.scoped("a server that does not answer does not hold up the looks at others", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      const tasks = yield* Effect.replicateEffect(TaskService.create(story), 2)
      for (const { wait } of tasks) yield* settle(wait())
      yield* emulator(cluster, "a").inject({ kind: Emulator.FaultKind.Delay({ duration: "10 minutes" }), times: 100 })
      const run = yield* Effect.fork(TaskService.run(story))
      yield* TestClock.adjust("50 seconds")
      expect((yield* settle(Fiber.join(run), "1 second", "20 seconds")).text).toBe(long)
    }).pipe(over(cluster, { servers: [server("a", { keeps: 1 }), server("b", { keeps: 1 })] }))
  }))

it.scoped("a task of a handle whose create was lost is not made anew, not even with a replay", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    for (const name of ["a", "b"]) {
      yield* emulator(cluster, name).inject({ on: { path: /tmp/ }, kind: Emulator.FaultKind.Reset({ executed: true }) })
    }
    yield* Effect.gen(function*() {
      expect(yield* failureOf(TaskService.create(story))).toMatchObject({
        _tag: "RWKVConnectionError",
        requestSent: true
      })
    }).pipe(over(cluster, { onServerLost: "replay" }))
    const made = yield* Effect.forEach(["a", "b"], (name) => emulator(cluster, name).tasks)
    expect(made.flat().length).toBe(1)
  }))

it.scoped("a lost server comes back though the Schedule of its probe has ended before", () =>
  Effect.gen(function*() {
    const cluster = yield* two()
    yield* Effect.gen(function*() {
      cluster.refuse("a", true)
      yield* Effect.ignore(TaskService.models)
      yield* TestClock.adjust("20 seconds")
      expect(yield* figures).toMatchObject({ servers: [{ health: "lost" }] })
      cluster.refuse("a", false)
      yield* TestClock.adjust("1 minute")
      expect(yield* figures).toMatchObject({ servers: [{ health: "open" }] })
    }).pipe(over(cluster, { servers: [server("a")], probe: Schedule.recurs(2) }))
  }))
