import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Fiber } from "effect"
import { TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import {
  against,
  count,
  endless,
  FaultKind,
  inject,
  long,
  onStream,
  openStreams,
  request,
  running,
  says,
  tasks,
  timed,
  verbs
} from "../../support/program.js"
import { eitherWay, watches, type Way, ways } from "../../support/waits.js"

/** Ten frames in 70 seconds: silent for longer than a wait listens without a question. */
const slow: Emulator.Options = { ...says(long), pulse: "7 seconds" }

/** A task that waits for its turn for a quarter of an hour, and then takes a minute. */
const queued: Emulator.Options = { ...endless, pulse: "1 minute", maxBatchSize: 1 }
const waiting = Effect.zipRight(
  TaskService.create({ prompt: "first", maxTokens: 15 * 32 }),
  TaskService.create({ prompt: "second", maxTokens: 32 })
)

const lost = FaultKind.Status({ status: 404, body: "{\"detail\":\"Task not found\"}" })
const html = FaultKind.Respond({ status: 200, headers: { "content-type": "text/html" }, body: "<html>" })

describe("a wait, while nothing comes", () => {
  eitherWay("outlasts the quarter of an hour in which the task waits for its turn", (by) =>
    Effect.gen(function*() {
      const task = yield* waiting
      const { millis, outcome } = yield* timed(task.wait({ by }))
      expect(Either.getOrThrow(outcome)).toMatchObject({ text: "ab".repeat(16), finished: true })
      expect(millis).toBeGreaterThanOrEqual(16 * 60_000)
      expect(yield* count("GET get_result")).toBe(1)
    }).pipe(against(queued)))

  it.effect("asks every 5 seconds whether the task still is there, over one stream", () =>
    Effect.gen(function*() {
      const task = yield* waiting
      yield* task.wait()
      expect(yield* count("GET stream")).toBe(1)
      expect(yield* count("GET status")).toBeLessThanOrEqual(16 * 60 / 5 + 1)
    }).pipe(against(queued)))

  for (
    const [what, kind, error] of [
      ["refuses connections", FaultKind.Refuse(), { _tag: "RWKVConnectionError", requestSent: false }],
      ["resets connections", FaultKind.Reset({ executed: false }), { _tag: "RWKVConnectionError" }],
      ["fails", FaultKind.Status({ status: 500 }), { _tag: "RWKVServerError", status: 500 }],
      ["answers with a page", html, { _tag: "RWKVDecodeError" }],
      ["never answers", FaultKind.Hang({ executed: false }), { _tag: "RWKVTimeoutError", kind: "request" }]
    ] as const
  ) {
    eitherWay(`fails by type when a server ${what} that is asked for the status`, (by) =>
      Effect.gen(function*() {
        const task = yield* waiting
        yield* inject({ on: { path: "/status" }, times: Infinity, kind })
        const { millis, outcome } = yield* timed(task.wait({ by }))
        expect(outcome).toMatchObject({ left: { ...error, operation: "TaskService.wait", taskId: task.id } })
        expect(millis).toBeLessThan(5 * 60_000)
      }).pipe(against(queued)))
  }

  it.effect("goes on when the status is not found, and the stream tells the text", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      yield* inject({ on: { path: "/status" }, times: Infinity, kind: lost })
      expect((yield* task.wait()).text).toBe(long)
      expect(yield* count("GET status")).toBeGreaterThan(5)
      expect(yield* count("GET stream")).toBe(1)
    }).pipe(against(slow)))

  it.effect("hears a task to its end that was evicted", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const fiber = yield* Effect.fork(timed(task.wait()))
      yield* Effect.sleep("10 seconds")
      yield* TaskService.create({ prompt: "another", maxTokens: 1 })
      expect(yield* Effect.flip(task.status)).toMatchObject({ _tag: "TaskNotFoundError" })
      const { millis } = yield* fiber
      expect(millis).toBeGreaterThanOrEqual(70_000)
      expect(millis).toBeLessThanOrEqual(71_000)
    }).pipe(against({ ...slow, cacheCapacity: 1 })))

  eitherWay("fails with TaskNotFoundError when the task is deleted", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const fiber = yield* Effect.fork(timed(task.wait({ by })))
      yield* Effect.sleep("10 seconds")
      yield* task.delete()
      const { millis, outcome } = yield* fiber
      expect(outcome).toMatchObject({ left: { _tag: "TaskNotFoundError", taskId: task.id } })
      expect(millis).toBeLessThan(12_000)
    }).pipe(against(slow)))

  eitherWay(
    "fails with TaskNotFoundError when the server has started anew and lost the task",
    (by) =>
      Effect.gen(function*() {
        const { restart } = yield* Emulator.Emulator
        const task = yield* TaskService.create(request)
        const fiber = yield* Effect.fork(timed(task.wait({ by })))
        yield* Effect.sleep("10 seconds")
        yield* restart("kill")
        const { millis, outcome } = yield* fiber
        expect(outcome).toMatchObject({ left: { _tag: "TaskNotFoundError", taskId: task.id } })
        expect(millis).toBeLessThan(12_000)
        expect(yield* openStreams).toBe(0)
      }).pipe(against(slow))
  )
})

describe("a wait fails with the same types either way", () => {
  for (
    const [what, kind, error] of [
      ["is refused", FaultKind.Refuse(), { _tag: "RWKVConnectionError", requestSent: false }],
      ["is not allowed", FaultKind.Status({ status: 401 }), { _tag: "RWKVStatusError", status: 401 }],
      ["is not found", lost, { _tag: "TaskNotFoundError" }],
      ["fails", FaultKind.Status({ status: 502 }), { _tag: "RWKVServerError", status: 502 }],
      ["is answered by a page", html, { _tag: "RWKVDecodeError" }]
    ] as const
  ) {
    for (const path of [/status|stream/, "/get_result"]) {
      eitherWay(`when ${path === "/get_result" ? path : "what it watches"} ${what}`, (by) =>
        Effect.gen(function*() {
          const task = yield* TaskService.create(request)
          yield* inject({ on: { path }, times: Infinity, kind })
          // A stream that came to its end has all the text, and cannot have that confirmed (F99).
          const isOpen = by === "subscription" && path === "/get_result" && "requestSent" in error ||
            what === "fails" && by === "subscription" && path === "/get_result"
          const expected = isOpen
            ? { _tag: "StreamTruncatedError", text: long, unconfirmed: true, cause: error }
            : error
          const left = { ...expected, operation: "TaskService.wait", taskId: task.id }
          expect(yield* Effect.either(task.wait({ by }))).toMatchObject({ left })
        }).pipe(against(says(long))))
    }
  }

  const sofar = {
    status: 200,
    headers: { "content-type": "text/event-stream" },
    body: "data: {\"task_id\": \"TMP_1\", \"prefill_time\": 0.0}\n\ndata: {\"data\": \"abab\"}\n\n"
  }
  it.effect("but for a stream that never reaches its end, which carries the text so far", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 40_000 })
      yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Respond(sofar) })
      expect(yield* Effect.flip(task.wait())).toMatchObject({
        _tag: "StreamTruncatedError",
        operation: "TaskService.wait",
        text: expect.stringMatching(/^(ab)+$/)
      })
    }).pipe(against({ ...endless, pulse: "10 hours" })))
})

describe("the timeout of a wait", () => {
  const limit = 7000
  const hang = FaultKind.Hang({ executed: false })
  const expired = { left: { _tag: "RWKVTimeoutError", kind: "wait" } }

  const forEver = { ...request, maxTokens: 40_000 }
  /** What hangs, and a server whose task comes that far. */
  const hanging = (path: string, by: Way): readonly [path: string, server: Emulator.Options] =>
    path === "what it watches" ? [watches[by], endless] : [path, says(long)]

  for (const what of ["what it watches", "/get_result"]) {
    eitherWay(`ends it at the limit while this hangs: ${what}`, (by) => {
      const [path, server] = hanging(what, by)
      return Effect.gen(function*() {
        const task = yield* TaskService.create(forEver)
        yield* inject({ on: { path }, times: Infinity, kind: hang })
        const { millis, outcome } = yield* timed(task.wait({ by, timeout: limit }))
        expect(outcome).toMatchObject(expired)
        expect(millis).toBe(limit)
        expect([yield* openStreams, yield* count("POST stop")]).toEqual([0, 0])
      }).pipe(against(server))
    })
  }

  it.effect("ends it at the limit while a stream stalls, and the question why hangs", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Stall({ afterBytes: 100 }) })
      yield* inject({ on: { path: "/status" }, times: Infinity, kind: hang })
      const { millis, outcome } = yield* timed(task.wait({ timeout: limit }))
      expect(outcome).toMatchObject(expired)
      expect(millis).toBe(limit)
      expect(yield* count("GET status")).toBe(1)
    }).pipe(against(endless)))

  for (const what of ["/tmp", "what it watches", "/get_result"]) {
    eitherWay(`of run ends it at the limit and leaves nothing while this hangs: ${what}`, (by) => {
      const [path, server] = hanging(what, by)
      return Effect.gen(function*() {
        yield* inject({ on: { path }, times: Infinity, kind: hang })
        const { millis, outcome } = yield* timed(TaskService.run(forEver, { by, timeout: limit }))
        expect(outcome).toMatchObject(expired)
        expect(millis).toBe(limit)
        yield* Effect.sleep("5 seconds")
        expect([yield* openStreams, yield* running]).toEqual([0, 0])
        // Nothing is deleted before the server says that it has ended.
        yield* Effect.flatMap(Emulator.Emulator, (emulator) => emulator.clearFaults)
        yield* Effect.sleep("3 minutes")
        expect(yield* tasks).toEqual([])
      }).pipe(against(server))
    })
  }
})

describe("a wait over a connection that breaks", () => {
  for (const clean of [true, false]) {
    it.effect(`returns the whole text for one more stream, cut ${clean ? "as if it were whole" : "off"}`, () =>
      Effect.gen(function*() {
        yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: 300, clean }) })
        expect((yield* TaskService.run(request)).text).toBe(long)
        yield* Effect.sleep("1 second")
        expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET stream", "GET get_result", "POST delete"])
      }).pipe(against(says(long))))
  }

  it.effect("returns the whole text of a stream that falls silent, 5 seconds later, for one question", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      yield* inject({ on: onStream, kind: FaultKind.Stall({ afterBytes: 300 }) })
      const { millis, outcome } = yield* timed(task.wait())
      expect(Either.getOrThrow(outcome).text).toBe(long)
      expect(millis).toBeLessThanOrEqual(6000)
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET status", "GET get_result", "GET status"])
    }).pipe(against(says(long))))

  it.effect("listens anew when the task goes on and its stream does not", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 640 * 20 })
      yield* inject({ on: onStream, kind: FaultKind.Stall({ afterBytes: 300 }) })
      const { millis, outcome } = yield* timed(task.wait())
      expect(Either.getOrThrow(outcome).text).toBe("ab".repeat(320 * 20))
      expect(millis).toBeLessThanOrEqual(20_100)
      expect((yield* verbs).slice(1)).toEqual([
        "GET stream",
        "GET status",
        "GET status",
        "GET stream",
        "GET get_result",
        "GET status"
      ])
    }).pipe(against(endless)))
})

describe("a wait that a server makes hard", () => {
  eitherWay("rides out one look that takes the whole time of a request", (by) =>
    Effect.gen(function*() {
      const task = yield* waiting
      yield* inject({ on: { path: "/status" }, kind: FaultKind.Hang({ executed: false }) })
      expect((yield* task.wait({ by })).text).toBe("ab".repeat(16))
    }).pipe(against(queued)))

  it.effect("ends where a persistent task was evicted while it ran, and stands still for ever", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.createPersistent(request)
      const fiber = yield* Effect.fork(Effect.flip(task.wait()))
      yield* Effect.sleep("10 seconds")
      yield* TaskService.create({ prompt: "another", maxTokens: 1 })
      expect(yield* fiber).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
    }).pipe(against({ ...slow, cacheCapacity: 1 })))
})

describe("leaving a wait", () => {
  eitherWay("leaves the task alone", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const fiber = yield* Effect.fork(task.wait({ by }))
      yield* Effect.sleep("200 millis")
      yield* Fiber.interrupt(fiber)
      expect([yield* openStreams, yield* running, yield* count("POST stop")]).toEqual([0, 1, 0])
      expect((yield* task.wait({ by })).text).toBe(long)
    }).pipe(against(says(long))))

  eitherWay("of run stops and deletes its task, once", (by) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(TaskService.run(request, { by }))
      yield* Effect.sleep("200 millis")
      expect(yield* running).toBe(1)
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep("1 second")
      expect([yield* openStreams, yield* running, (yield* tasks).length]).toEqual([0, 0, 0])
      expect([yield* count("POST stop"), yield* count("POST delete")]).toEqual([1, 1])
    }).pipe(against(endless)))

  it.effect("by one of two leaves the other", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const [left, right] = [yield* Effect.fork(task.wait()), yield* Effect.fork(task.wait())]
      yield* Effect.sleep("200 millis")
      yield* Fiber.interrupt(left)
      expect((yield* right).text).toBe(long)
    }).pipe(against(says(long))))
})

describe("waits for forks of one source that run at the same time", () => {
  const told = (prompt: string) => `<${prompt.repeat(40)}>`
  const prompts = ["alpha", "beta", "gamma", "delta"]

  const texts = (wayOf: (index: number) => Way) =>
    Effect.gen(function*() {
      const source = yield* TaskService.createPersistent({ prompt: "source" })
      yield* source.wait({ by: wayOf(0) })
      const forks = yield* Effect.forEach(prompts, (prompt) => source.fork({ prompt }), { concurrency: "unbounded" })
      const results = yield* Effect.forEach(forks, (fork, index) => fork.wait({ by: wayOf(index) }), {
        concurrency: "unbounded"
      })
      expect(results.map(({ text }) => text)).toEqual(prompts.map(told))
      expect(results.map(({ taskId }) => taskId)).toEqual(forks.map(({ id }) => id))
      expect((yield* source.wait({ by: wayOf(1) })).text).toBe(told("source"))
    }).pipe(against({ reply: ({ text }) => told(text) }))

  eitherWay("give each its own text", (by) => texts(() => by))
  it.effect("give each its own text, some by polling and some by subscription", () =>
    texts((index) => ways[index % 2] ?? "polling"))
})

describe("a wait rides out one request that takes its whole time", () => {
  eitherWay("for what is watched", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", maxTokens: 320 })
      yield* inject({ on: { path: watches[by] }, kind: FaultKind.Hang({ executed: false }) })
      expect((yield* task.wait({ by })).text).toBe(long)
    }).pipe(against(says(long))))

  eitherWay("for the result", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", maxTokens: 320 })
      yield* inject({ on: { path: "/get_result" }, kind: FaultKind.Hang({ executed: false }) })
      expect((yield* task.wait({ by })).text).toBe(long)
    }).pipe(against(says(long))))
})
