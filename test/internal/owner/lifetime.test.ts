import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { RWKV, StreamService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../../support/clock.js"
import { endless, openStreams, running, type Transport, transports } from "../../support/program.js"

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
