import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { get, post, start, tick } from "../../support/emulator.js"

const { FaultKind } = Emulator

const body = { prompt: [60000, 50], max_tokens: 70 }

describe("clients that leave", () => {
  it.scoped("a create whose client leaves during the prefill is carried out", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ prefillPerToken: 100 })
      const fiber = yield* Effect.fork(post(emulator, "/v1/tasks/tmp", { ...body, max_tokens: 5 }))
      yield* tick(50)
      yield* Fiber.interrupt(fiber)
      yield* tick(1000)
      expect(yield* emulator.tasks).toMatchObject([{ status: 3, text: "abcde" }])
    }))

  it.scoped("a create whose answer is held back is carried out, and its task known before the answer", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* emulator.inject({ kind: FaultKind.Delay({ duration: 1000, executed: true }) })
      const fiber = yield* Effect.fork(post(emulator, "/v1/tasks/tmp", body))
      yield* tick(10)
      expect(yield* emulator.running).toBe(1)
      yield* tick(990)
      expect((yield* fiber).status).toBe(200)
    }))
})

describe("recorded requests", () => {
  it.scoped("method, path with query, headers and body are kept in order of arrival", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* get(emulator, "/v1/tasks/a%2Fb/stream?pos=3")
      yield* post(emulator, "/v1/tasks/tmp", { prompt: "你好" })
      const [first, second] = yield* emulator.requests
      expect(first).toMatchObject({ method: "GET", path: "/v1/tasks/a%2Fb/stream?pos=3", body: "" })
      expect(second).toMatchObject({
        method: "POST",
        path: "/v1/tasks/tmp",
        headers: { "content-type": "application/json" },
        body: "{\"prompt\":\"你好\"}"
      })
      yield* emulator.clearRequests
      expect(yield* emulator.requests).toEqual([])
    }))
})
