import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import {
  against,
  byBoth,
  count,
  FaultKind,
  inject,
  onStream,
  onText,
  request,
  says,
  textOf
} from "../support/program.js"
import * as Tcp from "../support/tcp.js"

const encoder = new TextEncoder()

/** One byte a token, so that a pulse may end inside any character. */
const bytes = (text: string): Emulator.Script => ({
  tokens: Array.from(encoder.encode(text), (byte) => Uint8Array.of(byte))
})

const replacement = "\uFFFD"

const mixed = "क्षि 한국어 👩‍👩‍👧‍👦 e\u0301 שלום العربية 𝒳𝒴 🏳️‍🌈 नमस्ते 漢字かな"

describe("streams: text", () => {
  for (const size of [1, 2, 3, 5, 7, 32]) {
    byBoth(`F48 characters split at the borders of frames of ${size}`, (transport) =>
      Effect.gen(function*() {
        const text = yield* textOf(transport)
        expect(text).toBe(mixed)
      }).pipe(against({ reply: () => bytes(mixed), tokensPerPulse: size })))
  }

  byBoth("F48 a single character split at a frame border, once", (transport) =>
    Effect.gen(function*() {
      expect(yield* textOf(transport)).toBe(`${"a".repeat(31)}漢${"b".repeat(100)}`)
    }).pipe(against({ reply: () => bytes(`${"a".repeat(31)}漢${"b".repeat(100)}`) })))

  it.effect("F48 a text that cannot be read for long is not asked for at every frame", () =>
    Effect.gen(function*() {
      yield* inject({
        on: onStream,
        times: Infinity,
        kind: FaultKind.Corrupt({
          transform: (chunk) =>
            encoder.encode(new TextDecoder().decode(chunk).replace(/"data": "[^"]*"/, `"data": "\\ufffd"`))
        })
      })
      expect(yield* textOf("subscribe")).toBe("x".repeat(1000))
      expect(yield* count("GET stream")).toBeLessThan(30)
    }).pipe(against({ reply: () => "x".repeat(1000), tokensPerPulse: 1, pulse: "100 millis" })))

  Tcp.overBoth("F49 get_result is U+FFFD for a while", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("漢字!", {
        stream: (_, index) =>
          index < 3 ? Tcp.stream(replacement).slice(0, 2).concat(Tcp.wait(10), Tcp.reset) : Tcp.stream("漢字!"),
        get_result: (_, index) => Tcp.json(index < 2 ? Tcp.resultOf(replacement, false) : Tcp.resultOf("漢字!"))
      }))
      const text = yield* Stream.mkString(StreamService.create(request)).pipe(Tcp.client(server, http))
      expect(text).toBe("漢字!")
    }))

  byBoth("F50 the run ends inside a character", (transport) =>
    Effect.gen(function*() {
      const events = yield* Stream.runCollect(
        StreamService.createEvents({ ...request, maxTokens: 66 }, { transport })
      )
      const text = Array.from(events, (event) => event._tag === "Text" ? event.text : "").join("")
      expect(text).toBe("a".repeat(64))
      expect(Chunk.toReadonlyArray(events).at(-1)).toMatchObject({
        _tag: "Finished",
        result: { finished: true, text, undecodedTail: true }
      })
    }).pipe(against({ reply: () => bytes(`${"a".repeat(64)}漢字`), pollInterval: "10 millis" })))

  byBoth("F51 the model really wrote U+FFFD inside other text", (transport) =>
    Effect.gen(function*() {
      const text = `a${replacement}b${replacement.repeat(3)}${"c".repeat(40)}${replacement}`
      expect(yield* textOf(transport)).toBe(text)
    }).pipe(against(says(bytes(`a${replacement}b${replacement.repeat(3)}${"c".repeat(40)}${replacement}`)))))

  byBoth("F51 a frame of nothing but a U+FFFD that the model wrote", (transport) =>
    Effect.gen(function*() {
      expect(yield* textOf(transport)).toBe(`ab${replacement}cd`)
    }).pipe(against({ reply: () => ({ tokens: ["a", "b", replacement, "c", "d"] }), tokensPerPulse: 1 })))

  Tcp.overBoth("F52 resume where the delivered text is no prefix of the new reading", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("Another text", {
        stream: (_, index) =>
          index > 0
            ? Tcp.stream("Another text")
            : [Tcp.write(Tcp.streamHead), Tcp.write(Tcp.chunk(Tcp.data("One text"))), Tcp.wait(20), Tcp.reset]
      }))
      const seen: Array<string> = []
      const error = yield* StreamService.create(request).pipe(
        Stream.runForEach((text) => Effect.sync(() => seen.push(text))),
        Effect.flip,
        Tcp.client(server, http)
      )
      expect(seen).toEqual(["One text"])
      expect(error).toMatchObject({
        _tag: "StreamTruncatedError",
        text: "One text",
        description: expect.stringContaining("no longer continues")
      })
    }))

  it.effect("F52 a task that is continued by someone else in mid-stream", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 40 })
      yield* Effect.sleep("2 seconds")
      yield* inject({ on: onStream, kind: FaultKind.Stall({ afterBytes: 150 }) })
      const fiber = yield* Effect.fork(Effect.flip(Stream.mkString(task.stream())))
      yield* Effect.sleep("10 seconds")
      yield* task.continue({ prompt: "other", maxTokens: 100 })
      const error = yield* fiber
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", text: "x".repeat(40) })
    }).pipe(against({
      reply: ({ endpoint }) => ({ tokens: endpoint === "continue" ? ["y"] : ["x"], end: "loop" }),
      defaultMaxTokens: 40
    })))

  it.effect("F52 two forks at a time never get each other's text", () =>
    Effect.gen(function*() {
      const source = yield* TaskService.run({ ...request, persistence: "persistent" })
      yield* inject({ on: { path: "/fork" }, kind: FaultKind.Cut({ afterBytes: 300, clean: false }) })
      const fork = (prompt: string) =>
        Effect.either(Stream.mkString(StreamService.fork(source.taskId, { prompt, maxTokens: 200 })))
      const [one, two] = yield* Effect.all([fork("1"), fork("2")], { concurrency: 2 })
      expect(one).toMatchObject({ _tag: "Left", left: { _tag: "StreamTruncatedError" } })
      expect(two).toMatchObject({ _tag: "Right", right: "2".repeat(200) })
    }).pipe(against({ reply: ({ text }) => ({ tokens: [text], end: "loop" }), defaultMaxTokens: 10 })))

  it.effect("F52 a lone fork whose stream lost its first frame does not pass for whole", () =>
    Effect.gen(function*() {
      const source = yield* TaskService.run({ ...request, maxTokens: 10, persistence: "persistent" })
      yield* inject({ on: { path: "/fork" }, kind: FaultKind.DropFrame({ index: 0 }) })
      const error = yield* Effect.flip(
        Stream.mkString(StreamService.fork(source.taskId, { prompt: "1", maxTokens: 200 }))
      )
      expect(error).toMatchObject({ _tag: "StreamTruncatedError" })
    }).pipe(against(says("0123456789".repeat(20)))))

  for (const size of [1, 3, 4, 11]) {
    byBoth(
      `F53 characters of several code points across resume points of ${size}`,
      (transport) =>
        Effect.gen(function*() {
          for (const at of [1, 7, 60, 130, 133, 200, 290, 411]) {
            yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: 100 + at, clean: at % 2 === 0 }) })
            yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: 90 + at, clean: false }) })
            const pieces = yield* Stream.runCollect(StreamService.create(request, { transport }))
            expect(Array.from(pieces).join("")).toBe(mixed)
            expect(Array.from(pieces).every((piece) => piece.isWellFormed())).toBe(true)
          }
        }).pipe(against({ reply: () => bytes(mixed), tokensPerPulse: size }))
    )
  }
})
