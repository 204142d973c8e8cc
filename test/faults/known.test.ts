/** F100 where this program knows the end of a task that it leaves. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import * as Probe from "../support/probe.js"
import { against, calls, count, endless, running } from "../support/program.js"

const request = { prompt: "endless", maxTokens: 4000 }

describe("F100 an end that this program has seen", () => {
  for (const how of ["stopped", "stopped and deleted", "deleted"]) {
    it.effect(`F100 nothing is sent and said of a task that this program ${how} before its events are left`, () => {
      const probe = Probe.make()
      return Effect.gen(function*() {
        let id = ""
        const seen = yield* Deferred.make<void>()
        const events = StreamService.createEvents(request, { cleanup: "keep" }).pipe(
          Stream.runForEach((event) => {
            if (event._tag === "Started") id = event.taskId
            return event._tag === "Text"
              ? Effect.zipRight(Deferred.succeed(seen, undefined), Effect.never)
              : Effect.void
          })
        )
        const fiber = yield* Effect.fork(events)
        yield* Deferred.await(seen)
        if (how.includes("stopped")) yield* TaskService.stop(id)
        if (how.includes("deleted")) yield* TaskService.delete(id)
        const before = yield* calls
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep("1 minute")
        expect(yield* calls).toEqual(before)
        expect(probe.warnings).toEqual([])
      }).pipe(probe.watching, against(endless, probe.config))
    })
  }

  it.effect("F100 an end that was seen of an earlier run says nothing of the next one", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      const task = yield* TaskService.createPersistent({ prompt: "endless", maxTokens: 5 })
      yield* task.wait()
      const more = StreamService.continue(task.id, request)
      yield* Stream.runDrain(Stream.take(more, 1))
      yield* Effect.sleep("5 seconds")
      expect([yield* count("POST stop"), yield* running, probe.warnings]).toEqual([1, 0, []])
    }).pipe(probe.watching, against(endless, probe.config))
  })
})
