/** A server that ends in good order: it lets open streams end, and refuses whatever comes after. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Either, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import { against, byBoth, FaultKind, inject, long, says, timed } from "../support/program.js"

/** A request for all of the text, which is not told to end before. */
const all = { prompt: "Tell me", maxTokens: long.length }
/** A request for more: the text ends early. */
const more = { prompt: "Tell me", maxTokens: 2000 }

const refused = [FaultKind.Refuse(), FaultKind.Reset({ executed: false }), FaultKind.Status({ status: 503 })]

const shutDown = (kind: Emulator.FaultKind = FaultKind.Refuse()) =>
  inject({ on: { path: /get_result|status|stop|delete/ }, times: Infinity, kind })

const unconfirmed = { _tag: "StreamTruncatedError", text: long, unconfirmed: true }

describe("F99 the server shuts down in good order in mid-stream", () => {
  for (const kind of refused) {
    it.effect(`a direct stream with all the tokens that were asked for is whole (${kind._tag})`, () =>
      Effect.gen(function*() {
        yield* shutDown(kind)
        const events = yield* Stream.runCollect(StreamService.createEvents(all, { transport: "direct" }))
        const text = Chunk.map(events, (event) => event._tag === "Text" ? event.text : "")
        expect(Chunk.join(text, "")).toBe(long)
        const last = Chunk.unsafeLast(events)
        expect(last).toMatchObject({ _tag: "Finished", result: { text: long, finished: true, undecodedTail: false } })
        if (last._tag !== "Finished") return
        expect(Duration.toMillis(last.result.generationTime)).toBe(500)
        expect(last.result.speed).toBeCloseTo(long.length / 0.5)
      }).pipe(against(says(long), { closeTimeout: 0 })))
  }

  for (const transport of ["direct", "subscribe"] as const) {
    it.effect(`a stream whose end nothing proves brings all its text, and says so (${transport})`, () =>
      Effect.gen(function*() {
        yield* shutDown()
        let told = ""
        const { millis, outcome } = yield* timed(
          StreamService.createEvents(more, { transport }).pipe(
            Stream.runForEach((event) => Effect.sync(() => told += event._tag === "Text" ? event.text : ""))
          )
        )
        expect(outcome).toMatchObject({ left: { ...unconfirmed, cause: { _tag: "RWKVConnectionError" } } })
        expect(told).toBe(long)
        // The schedule of retries, and no more.
        expect(millis).toBeLessThan(20_000)
      }).pipe(against(says(long), { closeTimeout: 0 })))
  }

  it.effect("by subscription nothing proves the end, though all tokens came", () =>
    Effect.gen(function*() {
      yield* shutDown()
      expect(yield* Effect.flip(Stream.runDrain(StreamService.create(all)))).toMatchObject(unconfirmed)
    }).pipe(against(says(long), { closeTimeout: 0 })))

  it.effect("a wait and a run bring the text", () =>
    Effect.gen(function*() {
      yield* shutDown()
      const task = yield* TaskService.create(more)
      expect(yield* Effect.flip(task.wait())).toMatchObject({ ...unconfirmed, operation: "TaskService.wait" })
      expect(yield* Effect.flip(TaskService.run(more))).toMatchObject({ ...unconfirmed, operation: "TaskService.run" })
    }).pipe(against(says(long), { closeTimeout: 0 })))

  it.effect("forks at once are whole if their tokens add up, and unconfirmed if they end early", () =>
    Effect.gen(function*() {
      const source = yield* TaskService.createPersistent({ prompt: "source" })
      yield* source.wait()
      const forks = [all, all, more].map((request) =>
        Effect.either(Stream.mkString(StreamService.fork(source.id, request)))
      )
      const running = yield* Effect.fork(Effect.all(forks, { concurrency: "unbounded" }))
      yield* Effect.sleep("100 millis")
      yield* shutDown()
      const texts = yield* running
      expect(texts.slice(0, 2)).toEqual([Either.right(long), Either.right(long)])
      expect(texts[2]).toMatchObject({ left: unconfirmed })
    }).pipe(against(says(long), { closeTimeout: 0 })))

  byBoth("a task that was deleted, and so ended, is no such end", (transport) =>
    Effect.gen(function*() {
      const gone = FaultKind.Status({ status: 404, body: "{\"detail\":\"Task not found\"}" })
      yield* shutDown(gone)
      const error = yield* Effect.flip(Stream.runDrain(StreamService.create(more, { transport })))
      expect(error).toMatchObject({
        _tag: "StreamTruncatedError",
        unconfirmed: false,
        cause: { _tag: "TaskNotFoundError" }
      })
    }).pipe(against(says(long), { closeTimeout: 0 })))
})
