/** Servers from a Stream of lists. */
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream, TestClock } from "effect"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { pool, server, start } from "./cluster.js"

it.scoped("the last list that is valid holds: others are logged, and so is the failure of their Stream", () =>
  Effect.gen(function*() {
    const said: Array<string> = []
    const logger = Logger.make(({ message }) => void said.push(String(message)))
    const cluster = yield* start({ a: {}, b: {} })
    const fails = Stream.fail("mine")
    const servers = Stream.concat(Stream.make([server("a")], [], [server("a"), server("b")]), fails)
    const layer = Layer.provide(pool(cluster, { servers }), Logger.replace(Logger.defaultLogger, logger))
    yield* Effect.gen(function*() {
      yield* TestClock.adjust("1 second")
      const { figures } = yield* RWKVPool.RWKVPool
      expect((yield* figures).servers).toMatchObject([{ name: "a" }, { name: "b" }])
    }).pipe(Effect.provide(layer))
    expect(said).toEqual([expect.stringContaining("at least one server"), expect.stringContaining("mine")])
    expect(yield* Effect.flip(Layer.build(pool(cluster, { servers: fails })))).toBe("mine")
  }))
