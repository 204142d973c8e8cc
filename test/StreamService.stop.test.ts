/** How a run ends: by itself, by its limit, and by stop sequences, over either transport. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { against, type Env, FaultKind, inject, says, tasks, transports, verbs } from "./support/program.js"

const reply = "one\n\nUser: two and more".padEnd(640, ".")
const stop = ["\n\nUser:", "\n\nSystem:"]
const request = { prompt: "Hello", maxTokens: 640 }

describe("a stop sequence", () => {
  for (const transport of transports) {
    it.effect(`ends a text stream before it, and the task (${transport})`, () =>
      Effect.gen(function*() {
        expect(yield* Stream.mkString(StreamService.create(request, { transport, stop }))).toBe("one")
        yield* Effect.sleep("5 seconds")
        expect((yield* verbs).filter((verb) => verb === "POST stop")).toHaveLength(1)
        expect(yield* tasks).toEqual([])
      }).pipe(against(says(reply))))

    it.effect(`ends a stream of events, which says so (${transport})`, () =>
      Effect.gen(function*() {
        const events = yield* Stream.runCollect(StreamService.createEvents(request, { transport, stop }))
        const last = Array.from(events).at(-1)
        expect(last).toMatchObject({
          result: { text: "one", finishReason: "stop-sequence", stopSequence: "\n\nUser:" }
        })
      }).pipe(against(says(reply))))
  }

  it.effect("ends a run, which is a success", () =>
    Effect.gen(function*() {
      expect(yield* TaskService.run(request, { stop })).toMatchObject({ text: "one", finishReason: "stop-sequence" })
    }).pipe(against(says(reply))))

  it.effect("ends a fork, a continue and each of many runs", () =>
    Effect.gen(function*() {
      const source = yield* TaskService.createPersistent({ ...request, prompt: "source" })
      yield* source.wait()
      const more = { prompt: " more", maxTokens: 640 }
      expect(yield* Stream.mkString(StreamService.fork(source.id, more, { stop }))).toBe("one")
      const other = yield* TaskService.createPersistent({ ...request, prompt: "other" })
      yield* other.wait()
      expect(yield* Stream.mkString(StreamService.continue(other.id, more, { stop }))).toBe("one")
      const results = yield* Stream.runCollect(TaskService.runAll([request, request], { stop }))
      for (const { result } of results) {
        expect(result).toMatchObject({ right: { text: "one", finishReason: "stop-sequence" } })
      }
    }).pipe(against(says(reply))))

  it.effect("is refused where the end is waited for by polling", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(TaskService.run(request, JSON.parse("{\"by\":\"polling\",\"stop\":[\"x\"]}")))
      expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "stop" }] })
      expect(yield* verbs).toEqual([])
    }).pipe(against(says(reply))))

  it.effect("leaves a kept task past it, from which nothing goes on unless asked for", () =>
    Effect.gen(function*() {
      const kept = { ...request, persistence: "persistent" as const }
      expect(yield* Stream.mkString(StreamService.create(kept, { stop }))).toBe("one")
      yield* Effect.sleep("5 seconds")
      const id = (yield* tasks)[0]?.taskId ?? ""
      expect((yield* TaskService.result(id)).text).toBe("one")
      const streams = [StreamService.continue(id, request), StreamService.fork(id, request)].map(Stream.runDrain)
      const opened = [StreamService.openContinue(id, request), StreamService.openFork(id, request)]
      const started = [TaskService.continue(id, request), TaskService.fork(id, request)]
      for (const refused of Array.of<Effect.Effect<unknown, unknown, Env>>(...started, ...streams, ...opened)) {
        expect(yield* Effect.flip(refused)).toMatchObject({
          _tag: "RWKVValidationError",
          issues: [{ path: "allowPastStop" }]
        })
      }
      yield* TaskService.continue(id, request, { allowPastStop: true })
    }).pipe(against(says(reply))))
})

describe("the figures of a run", () => {
  it.effect("are unknown where the deletion that tells them fails or is late, and the result is there all the same", () =>
    Effect.gen(function*() {
      for (const kind of [FaultKind.Status({ status: 404 }), FaultKind.Hang({ executed: false })]) {
        yield* inject({ on: { path: "/delete" }, times: 1, kind })
        const result = yield* TaskService.run(request)
        expect(result).toMatchObject({ text: reply, usage: { outputTokens: undefined }, finishReason: "unknown" })
      }
    }).pipe(against(says(reply), { requestTimeout: "5 seconds" })))

  it.effect("are of the tokens that were asked for, or of fewer", () =>
    Effect.gen(function*() {
      expect(yield* TaskService.run(request)).toMatchObject({ usage: { outputTokens: 640 }, finishReason: "length" })
      const early = yield* TaskService.run({ ...request, maxTokens: 2000 })
      expect(early).toMatchObject({ usage: { outputTokens: 640 }, finishReason: "stop" })
      expect(early.tokensPerSecond).toBeGreaterThan(0)
      expect((yield* TaskService.run({ prompt: "Hello" })).finishReason).toBe("unknown")
    }).pipe(against(says(reply))))
})
