/** Answers that are lost on their way: the server may have begun, and nobody knows the id. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import { against, memory } from "../support/durable.js"
import { count, FaultKind, inject, onCreate, request, says } from "../support/program.js"

const generation = { key: "a", request }

const durable = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  program.pipe(Effect.provide(memory(RWKVDurable.layer)), against(says("hello")))

describe("a create whose answer is lost", () => {
  it.live("is made anew, whether the server has begun or not", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Reset({ executed: true }) })
      yield* inject({ on: onCreate, kind: FaultKind.Cut({ afterBytes: 5, clean: false }) })
      expect(yield* RWKVDurable.Generation.execute(generation)).toMatchObject({ text: "hello" })
      expect(yield* count("POST tmp")).toBe(3)
    }).pipe(durable))

  it.live("fails after `recreate` more, as nobody knows how many run", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Reset({ executed: true }), times: 100 })
      expect(yield* Effect.flip(RWKVDurable.Generation.execute(generation))).toMatchObject({
        _tag: "RWKVConnectionError",
        requestSent: true
      })
      expect(yield* count("POST tmp")).toBe(4)
    }).pipe(durable))
})
