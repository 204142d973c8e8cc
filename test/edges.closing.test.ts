import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { Polling, RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "./faults/support/clock.js"
import {
  against,
  FaultKind,
  inject,
  long,
  openStreams,
  running,
  says,
  type Transport,
  transports
} from "./faults/support/program.js"
import { eitherWay, watches } from "./waits.js"
import * as wire from "./wire.js"

const endless: Emulator.Options = { reply: () => ({ tokens: ["a", "b"], end: "loop" }) }

/** Closes the services so many turns after the answer to their first request, and says how a stream of theirs ends. */
const closedAfter = (turns: number, transport: Transport) =>
  Effect.gen(function*() {
    const answered = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const live = RWKV.layer({ transformClient: HttpClient.tap(() => Deferred.succeed(answered, undefined)) })
    const services = yield* Layer.buildWithScope(live, scope)
    const stream = StreamService.create({ prompt: "a" }, { transport })
    const fiber = yield* Effect.fork(Effect.provide(Stream.runDrain(stream), services))
    yield* Deferred.await(answered)
    yield* Effect.repeatN(Effect.yieldNow(), turns)
    yield* Scope.close(scope, Exit.void)
    const exit = yield* Fiber.await(fiber)
    yield* Effect.sleep("1 second")
    return { exit, left: [yield* openStreams, yield* running] }
  })

describe("the end of a service beside the answer to a create", () => {
  for (const transport of transports) {
    it.effect(`ends the stream by type and stops its task, however close (${transport})`, () =>
      Effect.forEach(Array.from({ length: 40 }, (_, turns) => turns), (turns) =>
        Effect.gen(function*() {
          const { exit, left } = yield* closedAfter(turns, transport)
          const error = yield* Effect.flip(exit)
          expect([turns, error._tag, ...left]).toEqual([turns, "RWKVConnectionError", 0, 0])
        }).pipe(Effect.provide(Emulator.layer(endless)), Clock.run()), { discard: true }))
  }
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

describe("a stream that is cut while its consumer is busy", () => {
  it.effect("delivers what came before, and tells all of it in the error", () =>
    Effect.gen(function*() {
      const event = (data: string) => new TextEncoder().encode(`data: ${JSON.stringify({ data })}\n\n`)
      const { client } = wire.platform(() => {
        const pieces = ["abc", "def"]
        const body = new ReadableStream<Uint8Array>({
          pull: (controller) => {
            const piece = pieces.shift()
            if (piece === undefined) controller.close()
            else controller.enqueue(event(piece))
          }
        })
        return new Response(body, { headers: { "content-type": "text/event-stream" } })
      })
      const live = Layer.provide(
        RWKV.layer({ retry: Polling.noRetry }),
        Layer.succeed(HttpClient.HttpClient, client)
      )
      const told: Array<string> = []
      const busy = Effect.repeatN(Effect.yieldNow(), 100)
      const error = yield* StreamService.subscribe("TMP_1").pipe(
        Stream.runForEach((text) => {
          told.push(text)
          return busy
        }),
        Effect.flip,
        Effect.provide(live)
      )
      expect(told.join("")).toBe("abcdef")
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", text: "abcdef" })
    }))
})
