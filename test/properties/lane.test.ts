/**
 * Direct runs at once on a server that reads prompts meanwhile: whole where this client is alone, and never called whole
 * without their beginning where others are about. FC_RUNS sets the number of runs.
 */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Layer, Stream } from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../support/clock.js"
import { live } from "../support/program.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)

const run = fc.record({
  /** Who starts it: this client, or another one. */
  mine: fc.boolean(),
  kind: fc.constantFrom("fork", "fork", "direct", "plain", "subscribed"),
  after: fc.integer({ min: 0, max: 1500 }),
  maxTokens: fc.integer({ min: 1, max: 260 }),
  /** Tokens after which it ends early, if that is before. */
  length: fc.constantFrom(1000, 1000, 20, 90)
})

const scenario = fc.record({
  runs: fc.array(run, { minLength: 1, maxLength: 16, size: "max" }),
  alone: fc.boolean(),
  prefillPerToken: fc.constantFrom(0, 5, 20, 80),
  pulse: fc.constantFrom(20, 60, 200),
  idleDelay: fc.constantFrom(0, 500),
  tokensPerPulse: fc.constantFrom(32, 32, 64)
})

type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

/** A text of its own for each prompt: a prompt says how long it is. */
const told = (prompt: string) => {
  const length = Number(/\d+$/.exec(prompt)?.[0])
  return Array.from({ length: 200 }, (_, index) => `${prompt[0]}${index}.`).join("").slice(0, length)
}

const play = ({ alone, runs, ...server }: Scenario) =>
  Effect.gen(function*() {
    const { httpClient } = yield* Emulator.Emulator
    const source = yield* TaskService.createPersistent({ prompt: "s1", maxTokens: 1 })
    yield* source.wait()
    const layer = Layer.provide(RWKV.layer(), Layer.succeed(HttpClient.HttpClient, httpClient))
    const others = yield* Layer.build(layer)
    // Others do not write to the buffer of ours.
    const played = runs.filter(({ kind, mine }) => mine || alone || kind !== "fork")
    const outcomes = yield* Effect.forEach(played, ({ after, kind, length, maxTokens, mine }, index) => {
      const prompt = `${"abcdefghijklmnop"[index]}${length}`
      const request = { prompt, maxTokens }
      const started: Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV> = kind === "fork"
        ? Stream.mkString(StreamService.fork(source.id, request))
        : kind === "plain"
        ? Effect.map(TaskService.run(request), ({ text }) => text)
        : Stream.mkString(
          StreamService.create(request, {
            transport: kind === "direct" ? "direct" : "subscribe",
            idleTimeout: "5 seconds"
          })
        )
      const isMine = mine || alone
      const owned = isMine ? started : Effect.provide(started, others)
      return Effect.delay(owned, after).pipe(
        Effect.either,
        Effect.map((text) => ({ prompt, maxTokens, length, isMine, text }))
      )
    }, { concurrency: "unbounded" })
    for (const { isMine, length, maxTokens, prompt, text } of outcomes) {
      if (!isMine) continue
      const whole = told(prompt).slice(0, maxTokens)
      const early = length < maxTokens
      if (Either.isLeft(text)) {
        expect(text.left._tag).toBe("StreamTruncatedError")
        // Tokens may look lost after an early end.
        if (!runs.some(({ mine }) => !mine) || alone) expect(early).toBe(true)
      } else if (alone || !early) {
        expect(text.right).toBe(whole)
      } else expect(whole.endsWith(text.right)).toBe(true)
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(live({ ...server, reply: ({ text }) => told(text), cacheCapacity: 4096 })),
    Clock.run("1 hour"),
    Effect.runPromise
  )

describe("F98 direct runs at once", () => {
  it(
    "are whole where this client is alone, and never called whole without their beginning",
    () => fc.assert(fc.asyncProperty(scenario, play), { numRuns }),
    1_000_000
  )
})
