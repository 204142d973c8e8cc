/** A process that ends, or is killed, and another one that goes on over the same storage. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import { Emulator } from "effect-rwkv/testing"
import { against, processes, until } from "../support/durable.js"
import { count, endless, running, tasks } from "../support/program.js"

const generation = { key: "a", request: { prompt: "Tell me", maxTokens: 20_000 } }

const isRunning = Effect.map(running, (n) => n > 0)

/** A generation whose process has ended while its task ran, and how another process begins. */
const left = Effect.gen(function*() {
  const { begin } = yield* processes(RWKVDurable.layer)
  const first = yield* begin
  const id = yield* first.within(RWKVDurable.start(generation))
  yield* until(isRunning)
  yield* first.end
  return { begin, id }
})

describe("a generation of which the process ends", () => {
  it.live("leaves its task running for the next process, which waits for it and makes no other", () =>
    Effect.gen(function*() {
      const { begin, id } = yield* left
      expect(yield* running).toBe(1)
      const second = yield* begin
      yield* until(second.within(Effect.map(RWKVDurable.poll(id), Option.isSome)))
      expect(yield* second.within(RWKVDurable.poll(id))).toMatchObject({
        value: { value: { finishReason: "length", usage: { outputTokens: 20_000 } } }
      })
      expect([yield* count("POST tmp"), yield* count("POST stop"), yield* tasks]).toEqual([1, 0, []])
      yield* second.end
    }).pipe(against(endless)))

  it.live("makes the task anew if the server has lost it meanwhile", () =>
    Effect.gen(function*() {
      const { begin, id } = yield* left
      yield* Effect.flatMap(Emulator.Emulator, (self) => self.restart("kill"))
      const second = yield* begin
      yield* until(second.within(Effect.map(RWKVDurable.poll(id), Option.isSome)))
      expect([yield* count("POST tmp"), yield* tasks]).toEqual([2, []])
      yield* second.end
    }).pipe(against(endless)))

  it.live("keeps the result that was recorded, and asks the server for nothing more", () =>
    Effect.gen(function*() {
      const { begin } = yield* processes(RWKVDurable.layer)
      const first = yield* begin
      const result = yield* first.within(RWKVDurable.Generation.execute(generation))
      yield* first.end
      const emulator = yield* Emulator.Emulator
      yield* emulator.clearRequests
      const second = yield* begin
      expect(yield* second.within(RWKVDurable.Generation.execute(generation))).toEqual(result)
      expect(yield* emulator.requests).toEqual([])
      yield* second.end
    }).pipe(against(endless)))

  it.live("is cancelled by the next process", () =>
    Effect.gen(function*() {
      const { begin, id } = yield* left
      const second = yield* begin
      yield* second.within(RWKVDurable.cancel(id))
      yield* Effect.sleep("10 seconds")
      expect(yield* running).toBe(0)
      yield* until(second.within(Effect.map(RWKVDurable.poll(id), Option.isSome)))
      expect([yield* count("POST tmp"), yield* tasks]).toEqual([1, []])
      yield* second.end
    }).pipe(against({ ...endless, pulse: "1 second" })))
})
