/** Runs that are open before their text is read. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { StreamService } from "effect-rwkv"
import { against, count, endless, long, request, says } from "./support/program.js"

describe("a run that is open", () => {
  it.effect("is read once, and tells its end as often as one likes", () =>
    Effect.gen(function*() {
      const run = yield* StreamService.open(request)
      expect(yield* Stream.mkString(run.text)).toBe(long)
      expect(yield* Effect.flip(Stream.runDrain(run.events))).toMatchObject({ _tag: "RWKVValidationError" })
      expect((yield* run.finished).text).toBe(long)
      expect((yield* run.finished).taskId).toBe(run.taskId)
    }).pipe(against(says(long))))

  it.effect("tells its end though nobody reads, or the reader has left", () =>
    Effect.gen(function*() {
      expect((yield* (yield* StreamService.open(request)).finished).text).toBe(long)
      const run = yield* StreamService.open(request, { transport: "direct" })
      yield* Stream.runDrain(Stream.take(run.text, 1))
      expect((yield* run.finished).text).toBe(long)
    }).pipe(against(says(long))))

  it.effect("is stopped where its Scope is closed", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(StreamService.open(request))
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(against(endless)))
})
