/** Which requests each verb makes, from its beginning to its end. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Random, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import { against, count, verbs } from "./support/program.js"

/** A server whose every task takes this long: 32 tokens of one byte every 50 ms. */
const taking = (seconds: number): Emulator.Options => ({
  reply: () => "0123456789abcdefghijklmnopqrstuv".repeat(seconds * 20)
})

/** Nobody waits for a deletion. */
const behind = Effect.sleep("1 second")

const request = (seconds: number) => ({ prompt: "Hello", maxTokens: seconds * 640 })

describe("tasks", () => {
  it.effect("run, however long: one to create, one to listen, one to read, one to clean up", () =>
    Effect.gen(function*() {
      const { text } = yield* TaskService.run(request(5))
      expect(text).toHaveLength(5 * 640)
      yield* behind
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result", "POST delete"])
    }).pipe(against(taking(5))))

  it.effect("run of a task that waits 14 seconds for its turn: one question for each 5 of them", () =>
    Effect.gen(function*() {
      const first = yield* TaskService.create(request(14))
      yield* TaskService.run(request(1))
      yield* behind
      expect(yield* verbs).toEqual([
        "POST tmp",
        "POST tmp",
        "GET stream",
        "GET status",
        "GET status",
        "GET get_result",
        "POST delete"
      ])
      yield* first.wait()
    }).pipe(against({ reply: () => "x".repeat(14 * 640), maxBatchSize: 1 })))

  it.effect("run of a task that is kept: one more, to count", () =>
    Effect.gen(function*() {
      yield* TaskService.run({ ...request(2), persistence: "persistent" })
      yield* behind
      expect(yield* verbs).toEqual(["POST create", "GET stream", "GET get_result", "GET status"])
    }).pipe(against(taking(2))))

  it.effect("a task that is waited for: one to create, one to listen, one to read, one to count", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request(3))
      yield* task.wait()
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result", "GET status"])
    }).pipe(against(taking(3))))

  it.effect("run of a task of 3 seconds, by polling: a look every 20 to 500 ms, 14 in all", () =>
    Effect.gen(function*() {
      const { text } = yield* TaskService.run(request(3), { by: "polling" }).pipe(
        Effect.withRandom(Random.fixed([0.5]))
      )
      expect(text).toHaveLength(3 * 640)
      yield* behind
      const all = yield* verbs
      expect(all.filter((verb) => verb !== "GET status")).toEqual(["POST tmp", "GET get_result", "POST delete"])
      expect(yield* count("GET status")).toBeLessThanOrEqual(14)
    }).pipe(against(taking(3))))

  it.effect("runAll: four for each run, however many are reported", () =>
    Effect.gen(function*() {
      const [runs, seconds] = [20, 2]
      const requests = Array.from({ length: runs }, () => request(seconds))
      const results = TaskService.runAll(requests, { onProgress: () => Effect.void })
      const right = Stream.filter(results, ({ result }) => result._tag === "Right")
      expect(yield* Stream.runCount(right)).toBe(runs)
      yield* behind
      const each = ["POST tmp", "GET stream", "GET get_result", "POST delete"]
      expect([...yield* verbs].sort()).toEqual(each.flatMap((verb) => Array.from({ length: runs }, () => verb)).sort())
    }).pipe(against(taking(2))))
})

describe("streams", () => {
  it.effect("a stream: one to create, one to listen, one to check, one to clean up", () =>
    Effect.gen(function*() {
      const text = yield* Stream.mkString(StreamService.create(request(2)))
      expect(text).toHaveLength(2 * 640)
      yield* behind
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result", "POST delete"])
    }).pipe(against(taking(2))))

  it.effect("events read directly of a task that is kept: none to listen, one to count", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.createEvents(request(2), { transport: "direct", cleanup: "keep" }))
      expect(yield* verbs).toEqual(["POST tmp", "GET get_result", "GET status"])
    }).pipe(against(taking(2))))

  it.effect("events of a task that is kept: one more, to count", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.createEvents(request(2), { cleanup: "keep" }))
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result", "GET status"])
    }).pipe(against(taking(2))))

  it.effect("events of a task that is deleted: the answer to that counts", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.createEvents(request(2)))
      yield* behind
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result", "POST delete"])
    }).pipe(against(taking(2))))

  it.effect("text that a stop sequence ends: one stop, a look, one to clean up", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.create(request(5), { stop: ["89ab"] }))
      yield* behind
      const all = yield* verbs
      expect(all.filter((verb) => verb !== "GET status")).toEqual([
        "POST tmp",
        "GET stream",
        "POST stop",
        "POST delete"
      ])
      expect(yield* count("GET status")).toBeLessThanOrEqual(1)
    }).pipe(against(taking(5))))

  it.effect("events that a stop sequence ends: one more, for the time that the run took", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.createEvents(request(5), { stop: ["89ab"] }))
      yield* behind
      expect((yield* verbs).filter((verb) => verb !== "GET status"))
        .toEqual(["POST tmp", "GET stream", "POST stop", "GET get_result", "POST delete"])
    }).pipe(against(taking(5))))

  it.effect("a subscription", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request(2))
      yield* Stream.runDrain(StreamService.subscribe(task.id))
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "GET get_result"])
    }).pipe(against(taking(2))))

  it.effect("a stream that is left early: one stop", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(StreamService.createEvents(request(5)), 2))
      expect(yield* verbs).toEqual(["POST tmp", "GET stream", "POST stop"])
    }).pipe(against(taking(5))))

  it.effect("a stream that is silent for 14 seconds: one question for each 5 of them, and a new connection where it pays", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(StreamService.createEvents(request(2), { idleTimeout: "5 seconds" }))
      const all = yield* verbs
      expect(all.slice(0, 2)).toEqual(["POST tmp", "GET stream"])
      expect(all.length).toBeLessThanOrEqual(7)
    }).pipe(against({ reply: () => "x".repeat(64), pulse: "7 seconds", pollInterval: "1 second" })))
})
