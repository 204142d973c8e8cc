import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Duration, Effect, Option, Stream } from "effect"
import { Protocol } from "effect-rwkv"
import { opened } from "../../../src/internal/stream/open.js"
import type { Pull } from "../../../src/internal/stream/telling.js"

const taskId = Protocol.TaskId.make("TMP_1")

const { Started, Text } = Protocol.StreamEvent

describe("a run that is open", () => {
  it.scoped("passes a defect of a client's own on to whoever waits for its end, and for its text", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const told: Array<Pull<Protocol.StreamEvent>> = [
        Effect.succeed(Chunk.of(Started({ taskId, prefillTime: Duration.zero }))),
        Effect.succeed(Chunk.of(Text({ text: "text" }))),
        Effect.zipRight(Deferred.await(gate), Effect.dieMessage("a mistake"))
      ]
      const pull = Effect.suspend(() => told.shift() ?? Effect.fail(Option.none()))
      const run = yield* opened("StreamService.open", new Map(), Effect.succeed(pull))
      yield* Effect.fork(run.finished)
      const pieces: Array<string> = []
      const read = yield* Effect.fork(
        Effect.sandbox(Stream.runForEach(run.text, (text) => Effect.sync(() => pieces.push(text))))
      )
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      for (const waiting of [Effect.sandbox(run.finished), Effect.flatten(read.await)]) {
        expect(Cause.pretty(yield* Effect.flip(waiting))).toContain("a mistake")
      }
      expect(pieces).toEqual(["text"])
    }))
})
