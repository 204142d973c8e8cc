import { expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
const settle = <A>(a: A) => a
import { emulator, pool, start } from "./cluster.js"

it.scopedLive("smoke", () =>
  Effect.gen(function*() {
    const reply = ({ text }: { text: string }) => `<${text}>`
    const cluster = yield* start({ a: { reply, pulse: 0, seed: 1 }, b: { reply, pulse: 0, seed: 2 } })
    yield* Effect.gen(function*() {
      const texts = yield* settle(Effect.forEach(Array.from({ length: 20 }, (_, i) => `p${i}`), (prompt) =>
        Stream.mkString(StreamService.create({ prompt, maxTokens: 50 })), { concurrency: "unbounded" }))
      expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `<p${i}>`))
      const result = yield* settle(TaskService.run({ prompt: "x", maxTokens: 9 }))
      console.log(result, yield* Effect.flatMap(RWKVPool.RWKVPool, (p) => p.figures))
      const task = yield* TaskService.create({ prompt: "hello", maxTokens: 10 })
      console.log(task.id, yield* settle(task.wait()), yield* TaskService.list)
      const many = yield* settle(Stream.runCount(TaskService.runAll(Array.from({ length: 1000 }, (_, i) => ({ prompt: `${i}`, maxTokens: 10 })))))
      console.log(many, yield* Effect.flatMap(RWKVPool.RWKVPool, (p) => p.figures))
      for (const name of ["a", "b"]) console.log(name, (yield* emulator(cluster, name).requests).length)
    }).pipe(Effect.provide(pool(cluster)))
  }))
