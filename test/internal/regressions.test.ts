/** Mistakes that were made once. */
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { type Clock, Duration, Effect, Fiber, Layer, Stream, Tracer } from "effect"
import { Polling, RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { Readable } from "node:stream"
import { runInNewContext } from "node:vm"
import * as alarm from "../../src/internal/alarm.js"
import * as Body from "../../src/internal/wire/body.js"
import { connect, type Signal, take } from "../../src/internal/stream/connection.js"
import { makeDecoder } from "../../src/internal/wire/sse.js"
import * as Virtual from "../faults/support/clock.js"
import * as Tcp from "../faults/support/tcp.js"
import { bytesOf, reading, turns, withSource } from "./support/sources.js"

describe("a client that reads answers itself", () => {
  for (const [name, http] of [...Tcp.https, ["node:http", NodeHttpClient.layer] as const]) {
    it.live(`may read their text before the SDK does (${name})`, () =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const info = yield* TaskService.status(Tcp.id).pipe(Tcp.client(server, http, {
          transformClient: HttpClient.tap((response) => Effect.ignore(response.text))
        }))
        expect(info.status).toBe("Finished")
      }).pipe(Effect.scoped))

    it.live(`is told by type that nothing is left of a stream that it has read (${name})`, () =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const error = yield* Effect.flip(Stream.runDrain(StreamService.subscribe(Tcp.id))).pipe(
          Tcp.client(server, http, {
            transformClient: HttpClient.tap((response) => Effect.ignore(response.text)),
            retry: Polling.noRetry
          })
        )
        expect(error._tag).toMatch(/^(RWKVConnectionError|StreamTruncatedError)$/)
      }).pipe(Effect.scoped))
  }
})

describe("a client that brings a tracer", () => {
  it.effect("gets the spans of requests, whoever traces outside", () =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const native = yield* Effect.tracer
      const tracer = Tracer.make({
        span: (name, ...rest) => {
          names.push(name)
          return native.span(name, ...rest)
        },
        context: (run) => run()
      })
      const transformClient = (client: HttpClient.HttpClient) =>
        HttpClient.transform(client, (effect) => Effect.withTracer(effect, tracer))
      const live = Layer.provide(RWKV.layer({ transformClient }), Emulator.layer())
      yield* Effect.provide(TaskService.models, live)
      expect(names).toEqual(["http.client GET"])
    }))
})

describe("frames", () => {
  it("of any length are no mistake, whatever they are made of", () => {
    const text = "\u{1F600}".repeat(4 * 1024 * 1024)
    const decoder = makeDecoder(64 * 1024 * 1024, (said) => said)
    const frames = decoder.push(new TextEncoder().encode(`data: ${JSON.stringify({ data: text })}\n\n`))
    expect(frames.map((frame) => frame._tag === "Data" && frame.text === text)).toEqual([true])
  })
})

describe("bodies", () => {
  it.effect("that a runtime does not show are read as text", () =>
    Effect.gen(function*() {
      const shown = new Response("hidden", { headers: { "content-type": "application/json" } })
      const response = HttpClientResponse.fromWeb(
        HttpClientRequest.get("http://localhost"),
        new Proxy(shown, {
          get: (target, key) =>
            key === "body" ? undefined : key === "text" ? () => target.text() : Reflect.get(target, key, target)
        })
      )
      expect(yield* Body.text(response, 100, () => "too large")).toBe("hidden")
      expect(yield* Effect.flip(Body.text(response, 3, () => "too large"))).toBe("too large")
    }))

  it.scoped("of another realm are bytes all the same", () =>
    Effect.gen(function*() {
      const body = new Readable({ objectMode: true, read: () => {} })
      const told = yield* reading(withSource(body))
      body.push(runInNewContext("Uint8Array.of(1, 2, 3)"))
      body.push(null)
      yield* turns
      expect(bytesOf(told)).toEqual([1, 2, 3])
    }))

  it.scoped("that are text fail", () =>
    Effect.gen(function*() {
      const body = new Readable({ read: () => {} }).setEncoding("utf8")
      const told = yield* reading(withSource(body))
      body.push("text")
      yield* turns
      expect(told.ends).toHaveLength(1)
      expect(bytesOf(told)).toEqual([])
    }))

  it.scoped("whose listener makes mistakes wherever it is called do not end the process", () =>
    Effect.gen(function*() {
      const body = new Readable({ read: () => {} })
      let uncaught = 0
      const count = () => {
        uncaught++
      }
      process.prependListener("uncaughtException", count)
      const fail = () => {
        throw new Error("mistake")
      }
      yield* reading(withSource(body), { bytes: fail, fail })
      body.push(Uint8Array.of(1))
      yield* turns
      process.off("uncaughtException", count)
      expect(uncaught).toBe(0)
    }))
})

it.effect("a take that is interrupted with a signal in hand leaves it there", () =>
  Effect.gen(function*() {
    let say: (signal: Signal<never>) => void = () => {}
    const connection = yield* connect<never>((heard) => {
      say = heard
      return Effect.succeed({ pause: () => {}, resume: () => {}, close: Effect.void })
    })
    const fiber = yield* Effect.fork(take(connection))
    yield* Effect.repeatN(Effect.yieldNow(), 10)
    say({ _tag: "Ended" })
    fiber.unsafeInterruptAsFork(fiber.id())
    yield* Fiber.await(fiber)
    expect(connection.unread()).toBe(true)
  }))

describe("reminders", () => {
  it.effect("that ring at once may set the next and take it back: nothing sleeps on", () =>
    Effect.gen(function*() {
      let sleeping = 0
      const clock: Clock.Clock = {
        ...Virtual.make(),
        // As the TestClock.
        sleep: (duration) =>
          Duration.toMillis(duration) === 0 ? Effect.void : Effect.suspend(() => {
            sleeping++
            return Effect.onInterrupt(Effect.never, () =>
              Effect.sync(() => {
                sleeping--
              }))
          })
      }
      let unset = () => {}
      alarm.after(clock, 0, () => {
        unset = alarm.after(clock, 3_600_000, () => {})
      })
      unset()
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      expect(sleeping).toBe(0)
    }))

  it.effect("sleep in no fiber of those who set them: whoever ends takes no limit of others along", () =>
    Effect.gen(function*() {
      const clock = Virtual.make()
      const rung: Array<string> = []
      const first = Effect.sync(() => alarm.after(clock, 100, () => rung.push("first")))
      yield* Effect.ensuringChildren(first, (children) => Fiber.interruptAll(children))
      yield* Effect.withClock(Effect.sleep("100 millis"), clock)
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      expect(rung).toEqual(["first"])
    }))

  it.live("do not go by the date, which may be set back", () =>
    Effect.gen(function*() {
      const real = yield* Effect.clock
      let date = 1_000_000_000
      const clock: Clock.Clock = {
        ...real,
        sleep: real.sleep.bind(real),
        unsafeCurrentTimeNanos: () => real.unsafeCurrentTimeNanos(),
        unsafeCurrentTimeMillis: () => date
      }
      const rung = yield* Effect.async<boolean>((resume) => {
        alarm.after(clock, 20, () => resume(Effect.succeed(true)))
        date -= 3_600_000
      })
      expect(rung).toBe(true)
    }), 5000)

  it.effect("find another sleeper where the first was lost", () =>
    Effect.gen(function*() {
      const base = Virtual.make()
      let lost = true
      let now = 0
      const clock: Clock.Clock = {
        ...base,
        unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
        sleep: () => lost ? Effect.never : Effect.void
      }
      const rung: Array<string> = []
      alarm.after(clock, 50, () => rung.push("lost"))
      // The timers of the runtime were exchanged, and so was the date.
      lost = false
      now = 1_000_000
      alarm.after(clock, 0, () => rung.push("next"))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      expect(rung).toEqual(["lost", "next"])
    }))
})
