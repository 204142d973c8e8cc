import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { ofStop } from "../../../src/internal/input/options.js"
import { againstTestClock } from "../../support/harness.js"
import { verbs } from "../../support/program.js"
import { untyped } from "../../support/wire.js"

describe("options of callers without types", () => {
  const bad: ReadonlyArray<readonly [what: string, path: string, options: unknown]> = [
    ["a schedule that is none", "schedule", { schedule: 5 }],
    ["a progress that nobody can call", "onProgress", { onProgress: 5 }],
    ["a way that is none", "by", { by: "foo" }],
    ["a misspelt option", "timout", { timout: 5 }],
    ["a getter that throws", "timeout", {
      get timeout() {
        throw new Error("no")
      }
    }]
  ]

  for (const [what, path, options] of bad) {
    it.effect(`${what} is refused by wait, and nothing is sent`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(TaskService.wait("TMP_1", untyped(options)))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path }] })
        expect(yield* verbs).toEqual([])
      }).pipe(againstTestClock()))
  }

  for (const options of [{ onInterrupt: "detatch" }, { transport: "ws" }, { cleanup: "no" }, { retry: 5 }]) {
    it.effect(`${Object.keys(options)[0]} is refused by a stream, and nothing is sent`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Stream.runDrain(StreamService.create({ prompt: "a" }, untyped(options))))
        expect(error._tag).toBe("RWKVValidationError")
        expect(yield* verbs).toEqual([])
      }).pipe(againstTestClock()))
  }

  it.effect("a force that is no boolean, and failures that are no choice, are refused", () =>
    Effect.gen(function*() {
      expect((yield* Effect.flip(TaskService.delete("TMP_1", untyped({ force: "yes" }))))._tag).toBe(
        "RWKVValidationError"
      )
      const bulk = Stream.runDrain(TaskService.runAll([], untyped({ failures: "failed" })))
      expect((yield* Effect.flip(bulk))._tag).toBe("RWKVValidationError")
    }).pipe(Effect.provide(RWKV.layerFetch())))

  const misspelt: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, RWKV.RWKV>, string, string]> = [
    ["create", TaskService.create(untyped({ prompt: "a", maxTokens1: 5 })), "maxTokens1", "maxTokens"],
    ["fim", TaskService.fim(untyped({ prefix: "a", sufix: "b" })), "sufix", "suffix"],
    ["run", TaskService.run({ prompt: "a" }, untyped({ timeOut: 5 })), "timeOut", "timeout"],
    ["runAll", Stream.runDrain(TaskService.runAll([], untyped({ concurency: 5 }))), "concurency", "concurrency"],
    ["continue", TaskService.continue("TMP_1", untyped({ prompt: "a", top_p: 5 })), "top_p", "topP"],
    ["fork", TaskService.fork("TMP_1", untyped({ prompt: "a", persistance: 5 })), "persistance", "persistence"],
    ["stop", TaskService.stop("TMP_1", untyped({ whithin: 5 })), "whithin", "within"],
    ["delete", TaskService.delete("TMP_1", untyped({ forced: true })), "forced", "force"],
    [
      "stream",
      Stream.runDrain(StreamService.create({ prompt: "a" }, untyped({ idleTimout: 5 }))),
      "idleTimout",
      "idleTimeout"
    ],
    ["subscribe", Stream.runDrain(StreamService.subscribe("TMP_1", untyped({ from: 5 }))), "from", "fromToken"]
  ]

  for (const [verb, effect, path, meant] of misspelt) {
    it.effect(`a misspelt name is told with the one that is nearest: ${verb}`, () =>
      Effect.gen(function*() {
        const message = `is an unknown option: did you mean ${meant}?`
        expect(yield* Effect.flip(effect)).toMatchObject({ issues: expect.arrayContaining([{ path, message }]) })
        expect(yield* verbs).toEqual([])
      }).pipe(againstTestClock()))
  }

  it.effect("options are an object, whatever was given", () =>
    Effect.gen(function*() {
      expect(yield* ofStop("op", undefined)).toEqual({})
      expect(yield* ofStop("op", untyped(5))).toEqual({})
      expect(yield* ofStop("op", { within: undefined })).toEqual({})
      expect(yield* ofStop("op", { within: "1 second" })).toEqual({ within: "1 second" })
    }))
})
