/** F102: whoever closes a service is interrupted meanwhile. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../support/clock.js"
import * as Probe from "../support/probe.js"
import { endless, request, tasks } from "../support/program.js"

const programs: Readonly<Record<string, Effect.Effect<unknown, unknown, RWKV.RWKV>>> = {
  "a stream": Stream.runDrain(StreamService.create(request)),
  "a direct stream": Stream.runDrain(StreamService.create(request, { transport: "direct" })),
  "a run": TaskService.run(request),
  "a run by polling": TaskService.run(request, { by: "polling" }),
  "a run that a stop sequence has ended": TaskService.run(request, { stop: ["ab"] })
}

describe("F102 the closing of a service is interrupted", () => {
  for (const [what, program] of Object.entries(programs)) {
    for (const misses of [false, true]) {
      for (const after of [0, 30, 500]) {
        it.effect(`${what} is ended or warned of (${misses ? "stops miss" : "stops hit"}, after ${after} ms)`, () => {
          const probe = Probe.make()
          return Effect.gen(function*() {
            const scope = yield* Scope.make()
            const client = yield* Layer.buildWithScope(RWKV.layer(probe.config), scope)
            yield* Effect.forkDaemon(Effect.provide(Effect.exit(program), client))
            yield* Effect.sleep("120 millis")
            const closing = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
            yield* Effect.sleep(after)
            yield* Fiber.interrupt(closing)
            const left = (yield* tasks).map(({ taskId }) => taskId)
            expect(left.filter((id) => !probe.warnedOf().includes(id))).toEqual([])
            expect(probe.deletedRunning).toEqual([])
          }).pipe(
            probe.watching,
            Effect.scoped,
            Effect.provide(Emulator.layer({ ...endless, stopMisses: () => misses })),
            Clock.run()
          )
        })
      }
    }
  }
})
