/** What the tests of the lane, of patience and of ends hold in virtual time, once more over both HTTP layers. */
import { describe, expect } from "@effect/vitest"
import { HttpClient, HttpClientError } from "@effect/platform"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { type RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { long, transports } from "../support/program.js"
import { promising, wirings } from "../support/wirings.js"

const retry = Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(3))

/** What is silent for a third of a second is reset, before its headers or after. */
const impatient: NonNullable<RWKVConfig.Options["transformClient"]> = HttpClient.transform((response, request) => {
  const cause = Object.assign(new Error("reset"), { code: "ECONNRESET" })
  const late = () => new HttpClientError.RequestError({ request, reason: "Transport", cause })
  return Effect.map(
    Effect.timeoutFail(response, { duration: "300 millis", onTimeout: late }),
    (response) =>
      new Proxy(response, {
        get: (target, key) =>
          key === "stream"
            ? Stream.timeoutFail(
              target.stream,
              () => new HttpClientError.ResponseError({ request, response, reason: "Decode", cause }),
              "300 millis"
            )
            : Reflect.get(target, key, target)
      })
  )
})

const open = Effect.flatMap(Emulator.Emulator, ({ openStreams }) => openStreams)

describe.each(wirings.filter(([name]) => name !== "in process"))("%s", (name, wiring) => {
  const promise = promising(wiring)

  promise(
    `F91 a task that is queued for longer than a proxy and the retries are patient (${name})`,
    Effect.gen(function*() {
      yield* TaskService.create({ prompt: "first", maxTokens: 32 * 60 })
      const request = { prompt: "second", maxTokens: long.length }
      expect((yield* TaskService.run(request)).text).toBe(long)
    }),
    {
      reply: ({ text }) => text === "first" ? { tokens: ["x"], end: "loop" } : long,
      pulse: 50,
      maxBatchSize: 1
    },
    { transformClient: impatient, retry }
  )

  promise(
    `F98 forks of one source at once are whole (${name})`,
    Effect.gen(function*() {
      const source = yield* TaskService.createPersistent({ prompt: "so", maxTokens: 1 })
      yield* source.wait()
      const forks = Array.from(
        { length: 8 },
        (_, index) => Stream.mkString(StreamService.fork(source.id, { prompt: `${index}`, maxTokens: 200 }))
      )
      const texts = yield* Effect.all(forks, { concurrency: "unbounded" })
      expect(texts).toEqual(Array.from({ length: 8 }, (_, index) => `${index}`.repeat(200)))
    }),
    { reply: ({ text }) => text.repeat(200), prefillPerToken: 40, pulse: 20 }
  )

  for (const transport of transports) {
    promise(
      `F99 the server shuts down in mid-stream (${transport}, ${name})`,
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const request = { prompt: "Tell me", maxTokens: long.length }
        const stream = Stream.mkString(StreamService.create(request, { transport }))
        const fiber = yield* Effect.fork(Effect.either(stream))
        yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => Effect.map(open, (count) => count === 1) })
        yield* Effect.fork(emulator.shutdown)
        expect(yield* Fiber.join(fiber)).toMatchObject(
          transport === "direct"
            ? { right: long }
            : { left: { _tag: "StreamTruncatedError", text: long, unconfirmed: true } }
        )
        yield* emulator.restart("kill")
      }),
      { reply: () => long, pulse: 50 },
      { retry, closeTimeout: "1 second" }
    )
  }
})
