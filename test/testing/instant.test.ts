/** F104: at `pulse: 0` nothing waits. No test here moves the TestClock, unless it says so. */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Exit, Layer, Scope, Stream } from "effect"
import { RWKV, type RWKVError, StreamService, type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { act, create, data, done, frames, get, isOpen, post, prompt, start, status, tick } from "../support/emulator.js"
import { origin } from "../support/wire.js"

const text = "0123456789".repeat(10)

const live = (options: Emulator.Options = {}) =>
  Layer.provideMerge(RWKV.layer(), Emulator.layer({ reply: () => text, pulse: 0, ...options }))

const request = { prompt: "Hello", maxTokens: 200 }

/** A test that would wait for the clock hangs: this is how long it may. */
const limit = 10_000

/** Lets all fibers do what they can without time. */
const idle = tick(0)

describe("F104 the SDK on an emulator without time", () => {
  for (const profile of ["current", "documented"] as const) {
    const server = live({ profile })
    const ends = (
      what: string,
      effect: Effect.Effect<unknown, RWKVError.RWKVError, StreamService.StreamService | TaskService.TaskService>
    ) =>
      it.effect(`${what} ends by itself (${profile})`, () =>
        Effect.gen(function*() {
          expect(yield* effect).toEqual(text)
        }).pipe(Effect.provide(server)), limit)
    const source = Effect.tap(TaskService.createPersistent(request), (task) => task.wait())

    for (const by of ["subscription", "polling"] as const) {
      ends(`run by ${by}`, Effect.map(TaskService.run(request, { by }), ({ text }) => text))
      ends(
        `wait by ${by}`,
        Effect.flatMap(TaskService.create(request), (task) => Effect.map(task.wait({ by }), ({ text }) => text))
      )
      ends(
        `wait of a fork by ${by}`,
        Effect.gen(function*() {
          const fork = yield* (yield* source).fork({ prompt: "again" })
          return (yield* fork.wait({ by })).text
        })
      )
      ends(
        `runAll by ${by}`,
        Effect.gen(function*() {
          const results = yield* Stream.runCollect(
            TaskService.runAll(Array.from({ length: 20 }, () => request), { by })
          )
          return Array.from(results, ({ result }) => Either.getOrThrow(result).text).join("") === text.repeat(20) &&
            text
        })
      )
    }

    for (const transport of ["subscribe", "direct"] as const) {
      ends(`a stream by ${transport}`, Stream.mkString(StreamService.create(request, { transport })))
      ends(
        `a stream of a fork by ${transport}`,
        Effect.flatMap(source, ({ id }) => Stream.mkString(StreamService.fork(id, { prompt: "again" }, { transport })))
      )
      ends(
        `a stream that goes on by ${transport}`,
        Effect.flatMap(
          source,
          ({ id }) => Stream.mkString(StreamService.continue(id, { prompt: "again" }, { transport }))
        )
      )
    }
    ends(
      "a subscription",
      Effect.flatMap(TaskService.create(request), ({ id }) => Stream.mkString(StreamService.subscribe(id)))
    )
    const prefill = { prompt: "Hello", maxTokens: 0 }
    const nothing = (what: string, effect: Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV>) =>
      it.effect(`${what} of a prompt that is only read ends by itself (${profile})`, () =>
        Effect.gen(function*() {
          expect(yield* effect).toEqual("")
        }).pipe(Effect.provide(server)), limit)
    for (const by of ["subscription", "polling"] as const) {
      nothing(`run by ${by}`, Effect.map(TaskService.run(prefill, { by }), ({ text }) => text))
      nothing(
        `wait by ${by}`,
        Effect.flatMap(TaskService.create(prefill), (task) => Effect.map(task.wait({ by }), ({ text }) => text))
      )
    }
    nothing("a stream", Stream.mkString(StreamService.create(prefill)))
    const cut = (what: string, effect: Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV>) =>
      it.effect(`${what} that a stop sequence ends is over by itself (${profile})`, () =>
        Effect.gen(function*() {
          expect(yield* effect).toEqual("0123456")
        }).pipe(Effect.provide(server)), limit)
    cut("run", Effect.map(TaskService.run(request, { stop: ["7"] }), ({ text }) => text))
    for (const transport of ["subscribe", "direct"] as const) {
      cut(`a stream by ${transport}`, Stream.mkString(StreamService.create(request, { transport, stop: ["7"] })))
    }
    it.effect(`a stream that is left is over by itself (${profile})`, () =>
      Effect.gen(function*() {
        const text = StreamService.create({ ...request, maxTokens: 4000 })
        expect(yield* Stream.runCount(Stream.take(text, 1))).toBe(1)
      }).pipe(Effect.provide(live({ profile, reply: () => ({ tokens: ["x"], end: "loop" }) }))), limit)
    it.effect(
      `a run of one token a pulse that a stop sequence ends is over by itself (${profile})`,
      () =>
        Effect.gen(function*() {
          expect(yield* TaskService.run(request, { stop: ["7"] })).toMatchObject({ text: "0123456" })
        }).pipe(Effect.provide(live({ profile, tokensPerPulse: 1 }))),
      limit
    )

    const again = Effect.gen(function*() {
      const task = yield* source
      const emulator = yield* Emulator.Emulator
      yield* emulator.shutdown
      yield* emulator.restart("graceful")
      return task
    })
    const restored = (
      what: string,
      use: (task: Task.Task) => Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV>
    ) =>
      it.effect(`${what} of a task that was restored ends by itself (${profile})`, () =>
        Effect.gen(function*() {
          expect(yield* Effect.flatMap(again, use)).toBe(text)
        }).pipe(Effect.provide(server)), limit)
    restored("wait by subscription", (task) => Effect.map(task.wait(), ({ text }) => text))
    restored("wait by polling", (task) => Effect.map(task.wait({ by: "polling" }), ({ text }) => text))
    restored("a stream", (task) => Stream.mkString(task.stream()))
    restored("a stream of a fork", ({ id }) => Stream.mkString(StreamService.fork(id, { prompt: "again" })))

    const readOnly = Effect.tap(TaskService.createPersistent({ prompt: "Hello", maxTokens: 0 }), (task) => task.wait())
    /** The current server reads the prompt under the old limit (H4). */
    const first = profile === "current" ? "" : text
    for (const by of ["subscription", "polling"] as const) {
      it.effect(
        `a task that was only read and goes on ends by itself, by ${by} (${profile})`,
        () =>
          Effect.gen(function*() {
            const task = yield* Effect.flatMap(readOnly, (task) => task.continue(request))
            expect(yield* task.wait({ by })).toMatchObject({ text: first })
          }).pipe(Effect.provide(server)),
        limit
      )
    }
    it.effect(`a stream of a task that was only read ends by itself (${profile})`, () =>
      Effect.gen(function*() {
        const { id } = yield* readOnly
        expect(yield* Stream.mkString(StreamService.continue(id, request))).toBe(first)
      }).pipe(Effect.provide(server)), limit)

    for (const [verb, goOn] of [["continue", StreamService.continue], ["fork", StreamService.fork]] as const) {
      it.effect(
        `a direct ${verb} of a task that was only read ends by itself (${profile})`,
        () =>
          Effect.gen(function*() {
            const { id } = yield* readOnly
            expect(yield* Stream.mkString(goOn(id, request, { transport: "direct" }))).toBe(first)
          }).pipe(Effect.provide(server)),
        limit
      )
    }

    ends("a stream of FIM", Stream.mkString(StreamService.fim({ prefix: "a", maxTokens: 200 })))
  }

  it.effect(
    "so do a long answer of the toy model and a batch that is larger than the server's",
    () =>
      Effect.gen(function*() {
        const runs = Array.from({ length: 20 }, () => TaskService.run({ prompt: "The ", maxTokens: 2000 }))
        const results = yield* Effect.all(runs, { concurrency: "unbounded" })
        expect(results.every(({ text }) => text.length > 0)).toBe(true)
      }).pipe(Effect.provide(live({ reply: undefined, maxBatchSize: 3 }))),
    limit
  )
})

describe("a GET stream", () => {
  it.scoped("tells of tokens and of the end at once", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0, pollInterval: 0, idleDelay: 20 })
      const id = yield* create(emulator, 0, 64)
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* idle
      expect(stream.chunks).toEqual([])
      yield* tick(20)
      expect(data(stream.chunks).join("")).toHaveLength(64)
      expect(stream.chunks.at(-1)).toBe(done)
    }), limit)

  it.scoped("tells a stop of a task that never ran", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pollInterval: 0, maxBatchSize: 1 })
      yield* create(emulator, 0, 4000)
      const id = yield* create(emulator, 0, 5)
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* idle
      yield* act(emulator, id, "stop")
      yield* idle
      expect(stream.chunks).toEqual([done])
    }), limit)

  it.scoped("hears what a fork writes into the buffer that both share (H15)", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0, idleDelay: 20, maxBatchSize: 1 })
      const id = yield* create(emulator, 0, 5)
      yield* tick(20)
      yield* act(emulator, id, "fork", prompt(1, 5))
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream?pos=4`))
      yield* tick(20)
      expect(stream.chunks.at(-1)).toBe(done)
    }), limit)

  it.scoped("keeps to a pollInterval that is given", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0, pollInterval: 50, idleDelay: 20 })
      const id = yield* create(emulator, 0, 64)
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* tick(49)
      expect(stream.chunks).toEqual([])
      yield* tick(1)
      expect(stream.chunks.at(-1)).toBe(done)
    }), limit)

  it.scoped("waits for ever where the server does (H25), and a restart cuts it", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0 })
      yield* post(emulator, "/v1/tasks/tmp", { prompt: [50, -1] })
      const id = yield* create(emulator, 1, 5)
      expect((yield* status(emulator, id)).status).toBe(2)
      const stream = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* idle
      expect([yield* isOpen(stream), yield* emulator.openStreams]).toEqual([true, 1])
      yield* emulator.restart("kill")
      expect(yield* Effect.flip(stream.fiber)).toMatchObject({ reason: "Decode", cause: { code: "ECONNRESET" } })
      expect(yield* emulator.openStreams).toBe(0)
    }), limit)

  it.scoped("is cut when the scope of its client closes, while it is read and before", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ maxBatchSize: 1, pollInterval: 0 })
      yield* create(emulator, 0, 4000)
      const id = yield* create(emulator, 0, 5)
      const scope = yield* Scope.make()
      const client = HttpClient.withScope(emulator.httpClient)
      const open = Scope.extend(client.get(`${origin}/v1/tasks/${id}/stream`), scope)
      const [read, unread] = [yield* open, yield* open]
      const stream = yield* frames(Effect.succeed(read))
      yield* idle
      yield* Scope.close(scope, Exit.void)
      expect(yield* Effect.flip(stream.fiber)).toMatchObject({ cause: { code: "ABORT_ERR" } })
      expect((yield* Effect.flip(unread.text)).cause).toMatchObject({ code: "ABORT_ERR" })
      expect(yield* emulator.openStreams).toBe(0)
    }), limit)
})

describe("who asks", () => {
  it.scoped("finds a run finished", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0 })
      const id = yield* create(emulator, 0, 4000)
      expect(yield* status(emulator, id)).toMatchObject({ status: 3, generated_buf: 4000 })
    }), limit)

  it.scoped("does not wait for an idleDelay that is given", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0, idleDelay: 20 })
      const id = yield* create(emulator, 0, 64)
      expect((yield* status(emulator, id)).status).toBe(1)
      yield* tick(20)
      expect((yield* status(emulator, id)).status).toBe(3)
    }), limit)

  it.scoped("can stop a run that has just been made", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ pulse: 0 })
      const id = yield* create(emulator, 0, 40_000)
      yield* act(emulator, id, "stop")
      expect((yield* status(emulator, id)).generated_buf).toBeLessThan(40_000)
    }), limit)
})
