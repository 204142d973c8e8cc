import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import { type Protocol, type RWKVError, StreamService, type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import {
  againstTestClock,
  body,
  eventsOf,
  failureOf,
  finished,
  held,
  joined,
  last,
  serverText,
  settle,
  settledText,
  started
} from "./support/harness.js"
import { calls, count, long, verbs } from "./support/program.js"
import { untyped } from "./support/wire.js"

const bytes = (text: string) => new TextEncoder().encode(text)

/** Every 32nd token is the first half of a character, so each border of a frame cuts one. */
const cuts = (frames: number): ReadonlyArray<string | Uint8Array> =>
  Array.from({ length: frames }, (_, index) => [
    ...Array.from({ length: index === 0 ? 31 : 30 }, () => "x"),
    bytes("🌍").slice(0, 2),
    bytes("🌍").slice(2)
  ]).flat()

const cutText = (frames: number) =>
  Array.from({ length: frames }, (_, index) => `${"x".repeat(index === 0 ? 31 : 30)}🌍`).join("")

const anyTask = Effect.gen(function*() {
  const { tasks } = yield* Emulator.Emulator
  return (yield* tasks)[0]
})

type Kind = "create" | "fim" | "subscribe" | "continue" | "fork"
type Operation = {
  readonly text: Stream.Stream<string, RWKVError.RWKVError, StreamService.StreamService>
  readonly events: Stream.Stream<Protocol.StreamEvent, RWKVError.RWKVError, StreamService.StreamService>
}

/** What has to exist first, then the stream in both forms. */
const begin = (kind: Kind, options: Task.StreamOptions) =>
  Effect.gen(function*() {
    const prompt = "0123456789".repeat(8)
    if (kind === "create" || kind === "fim") {
      const both: Operation = kind === "create"
        ? {
          text: StreamService.create({ prompt }, options),
          events: StreamService.createEvents({ prompt }, options)
        }
        : {
          text: StreamService.fim({ prefix: prompt }, options),
          events: StreamService.fimEvents({ prefix: prompt }, options)
        }
      return both
    }
    const source = kind === "subscribe" ? yield* TaskService.create({ prompt }) : yield* finished()
    const both: Operation = kind === "subscribe"
      ? { text: StreamService.subscribe(source.id), events: StreamService.subscribeEvents(source.id) }
      : kind === "continue"
      ? {
        text: StreamService.continue(source.id, { prompt }, options),
        events: StreamService.continueEvents(source.id, { prompt }, options)
      }
      : {
        text: StreamService.fork(source.id, { prompt }, options),
        events: StreamService.forkEvents(source.id, { prompt }, options)
      }
    return both
  })

for (const profile of ["current", "documented"] as const) {
  for (const transport of ["subscribe", "direct"] as const) {
    for (const kind of ["create", "fim", "subscribe", "continue", "fork"] as const) {
      if (kind === "subscribe" && transport === "direct") continue
      describe(`${kind} (${profile}, ${transport})`, () => {
        const options: Emulator.Options = { profile, reply: ({ text }) => `${text} → 你好 🌍 ${text}` }

        it.effect("delivers the text that the server ends with, as text and as events", () =>
          Effect.gen(function*() {
            const streams = yield* begin(kind, { transport, cleanup: "keep" })
            const events = yield* eventsOf(streams.events)
            const id = started(events) ?? ""
            const told = yield* serverText(id)
            expect(told).toContain("→ 你好 🌍")
            expect(joined(events)).toBe(told)
            const tags = events.map(({ _tag }) => _tag)
            expect(tags[0]).toBe("Started")
            expect(tags.at(-1)).toBe("Finished")
            expect(tags.slice(1, -1).every((tag) => tag === "Text")).toBe(true)
            expect(tags.length).toBeGreaterThan(4)
            const result = last(events)
            expect(result).toMatchObject({ taskId: id, text: told, finished: true, undecodedTail: false })
            expect(Duration.toMillis(result?.generationTime ?? Duration.zero)).toBeGreaterThan(0)
            const again = yield* begin(kind, { transport, cleanup: "keep" })
            expect(yield* settledText(again.text)).toBe(told)
            const direct = (yield* Effect.flatMap(Emulator.Emulator, ({ requests }) => requests))
              .some(({ body }) => body.includes("\"stream\":true"))
            expect(direct).toBe(kind !== "subscribe" && transport === "direct")
          }).pipe(againstTestClock(options)))
      })
    }
  }
}

for (const transport of ["subscribe", "direct"] as const) {
  describe(`characters across frames (${transport})`, () => {
    it.effect("H10 emoji cut at every border arrive whole and once", () =>
      Effect.gen(function*() {
        const text = yield* settledText(StreamService.create({ prompt: "a" }, { transport }))
        expect(text).toBe(cutText(5))
      }).pipe(againstTestClock({ reply: () => ({ tokens: cuts(5) }) })))

    it.effect("H10 a text of one byte a token arrives whole and once", () =>
      Effect.gen(function*() {
        const text = yield* settledText(StreamService.create({ prompt: "a" }, { transport }))
        expect(text).toBe("日本語テキスト🎉".repeat(20))
      }).pipe(againstTestClock({ reply: () => "日本語テキスト🎉".repeat(20) })))

    it.effect("H11 a run that ends inside a character delivers what can be read, and says so", () =>
      Effect.gen(function*() {
        const events = yield* eventsOf(StreamService.createEvents({ prompt: "a" }, { transport }))
        expect(joined(events)).toBe("y".repeat(32))
        expect(last(events)).toMatchObject({ text: "y".repeat(32), undecodedTail: true, finished: true })
      }).pipe(againstTestClock({
        pollInterval: 1,
        reply: () => ({ tokens: [...Array.from({ length: 32 }, () => "y"), "zzz", bytes("🌍").slice(0, 2)] })
      })))
  })

  describe(`leaving early (${transport})`, () => {
    it.effect("F55 take(1) stops the task, once", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const parts = yield* settle(
          Stream.runCollect(Stream.take(StreamService.create({ prompt: "a" }, { transport, cleanup: "keep" }), 1))
        )
        expect(Chunk.size(parts)).toBe(1)
        yield* TestClock.adjust("5 seconds")
        expect(yield* count("POST stop")).toBe(1)
        expect(yield* emulator.running).toBe(0)
        expect(yield* emulator.openStreams).toBe(0)
        const task = yield* anyTask
        expect(task?.text.startsWith(Chunk.join(parts, ""))).toBe(true)
        expect(task?.generated).toBeLessThan(320)
      }).pipe(againstTestClock({ reply: () => long })))

    it.effect("F55 a failure of the consumer stops the task and stays the failure", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const error = yield* failureOf(
          StreamService.create({ prompt: "a" }, { transport }).pipe(Stream.runForEach(() => Effect.fail("full")))
        )
        expect(error).toBe("full")
        yield* TestClock.adjust("5 seconds")
        expect(yield* count("POST stop")).toBe(1)
        expect(yield* count("POST delete?force=true")).toBe(1)
        expect(yield* emulator.openStreams).toBe(0)
      }).pipe(againstTestClock({ reply: () => long })))

    it.effect("F54 an interrupt stops and deletes a temporary task", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const fiber = yield* Effect.fork(Stream.runDrain(StreamService.create({ prompt: "a" }, { transport })))
        yield* TestClock.adjust("120 millis")
        expect(yield* emulator.openStreams).toBe(1)
        yield* settle(Fiber.interrupt(fiber))
        yield* TestClock.adjust("5 seconds")
        expect((yield* calls).filter((verb) => verb.startsWith("POST"))).toEqual([
          "POST tmp",
          "POST stop",
          "POST delete?force=true"
        ])
        expect(yield* emulator.openStreams).toBe(0)
        expect(yield* emulator.running).toBe(0)
      }).pipe(againstTestClock({ reply: () => long })))

    it.effect("with detach the task runs on, undeleted", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        yield* settle(
          StreamService.create({ prompt: "a" }, { transport, onInterrupt: "detach" }).pipe(
            Stream.take(1),
            Stream.runDrain
          )
        )
        yield* TestClock.adjust("5 seconds")
        expect((yield* verbs).filter((verb) => verb.startsWith("POST"))).toEqual(["POST tmp"])
        expect((yield* anyTask)?.text).toBe(long)
        expect(yield* emulator.openStreams).toBe(0)
      }).pipe(againstTestClock({ reply: () => long })))
  })
}

describe("cleanup", () => {
  const options: Emulator.Options = { reply: () => "hello" }

  it.effect("streams of text and of events delete their temporary task, unless they keep it", () =>
    Effect.gen(function*() {
      yield* settledText(StreamService.create({ prompt: "a" }))
      yield* settledText(StreamService.fim({ prefix: "a" }))
      expect(yield* anyTask).toBeUndefined()
      yield* eventsOf(StreamService.createEvents({ prompt: "a" }))
      yield* settle(Effect.sleep("1 second"))
      expect(yield* anyTask).toBeUndefined()
      const events = yield* eventsOf(StreamService.createEvents({ prompt: "a" }, { cleanup: "keep" }))
      expect((yield* held(started(events) ?? ""))?.text).toBe("hello")
      expect(yield* count("POST stop")).toBe(0)
    }).pipe(againstTestClock(options)))

  it.effect("the option says otherwise, and undefined does not", () =>
    Effect.gen(function*() {
      yield* settledText(StreamService.create({ prompt: "a" }, { cleanup: undefined, transport: undefined }))
      yield* eventsOf(StreamService.fimEvents({ prefix: "a" }, { cleanup: "delete" }))
      expect(yield* anyTask).toBeUndefined()
      yield* settledText(StreamService.create({ prompt: "a" }, { cleanup: "keep" }))
      expect((yield* anyTask)?.text).toBe("hello")
    }).pipe(againstTestClock(options)))

  it.effect("persistent tasks are always kept", () =>
    Effect.gen(function*() {
      yield* settledText(StreamService.create({ prompt: "a", persistence: "persistent" }, { cleanup: "delete" }))
      expect((yield* anyTask)?.taskId).toMatch(/^TASK_/)
    }).pipe(againstTestClock(options)))

  it.effect("a temporary fork is deleted if asked for", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      yield* settledText(
        StreamService.fork(source.id, { prompt: "a", persistence: "temporary" }, { cleanup: "delete" })
      )
      expect(yield* count("POST delete?force=true")).toBe(1)
    }).pipe(againstTestClock(options)))
})

describe("create", () => {
  it.effect("H2 maxTokens 0 is refused before it is sent over the direct transport", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(
        Stream.runDrain(StreamService.create({ prompt: "a", maxTokens: 0 }, { transport: "direct" }))
      )
      expect(error).toMatchObject({ _tag: "RWKVValidationError", operation: "StreamService.create" })
      expect(yield* verbs).toEqual([])
    }).pipe(againstTestClock()))

  it.effect("sends the defaults of the configuration, and no field that was not given", () =>
    Effect.gen(function*() {
      yield* settledText(StreamService.create({ prompt: "a", maxTokens: undefined, seed: 3 }))
      expect(yield* body()).toEqual({ prompt: "a", max_tokens: 5, seed: 3 })
      yield* settledText(StreamService.fim({ prefix: "a", maxTokens: 6 }, { transport: "direct" }))
      expect(yield* body(1)).toEqual({ prefix: "a", max_tokens: 6, stream: true })
    }).pipe(againstTestClock({}, { defaults: { maxTokens: 5 } })))

  it.effect("tells the prefill's time", () =>
    Effect.gen(function*() {
      for (const transport of ["subscribe", "direct"] as const) {
        const events = yield* eventsOf(StreamService.createEvents({ prompt: "0123456789" }, { transport }))
        const [first] = events
        expect(first?._tag === "Started" && Duration.toMillis(first.prefillTime)).toBe(1000)
      }
    }).pipe(againstTestClock({ prefillPerToken: 100, reply: () => "hello" })))

  it.effect("text arrives while the task runs", () =>
    Effect.gen(function*() {
      const parts: Array<string> = []
      const fiber = yield* Effect.fork(Stream.runForEach(
        StreamService.create({ prompt: "a" }, { transport: "direct" }),
        (text) => Effect.sync(() => parts.push(text))
      ))
      yield* TestClock.adjust("51 millis")
      expect(parts.join("")).toBe(long.slice(0, 32))
      yield* TestClock.adjust("50 millis")
      expect(parts.join("")).toBe(long.slice(0, 64))
      yield* settle(Fiber.join(fiber))
    }).pipe(againstTestClock({ reply: () => long })))
})

describe("input of callers without types", () => {
  it.effect("is refused by type and nothing is sent", () =>
    Effect.gen(function*() {
      const streams = yield* StreamService.StreamService
      const calls: ReadonlyArray<Stream.Stream<unknown, RWKVError.RWKVError>> = [
        streams.create(untyped(null)),
        streams.create({ prompt: "" }),
        streams.createEvents({ prompt: "a" }, { idleTimeout: untyped("abc") }),
        streams.fim(untyped(undefined)),
        streams.fimEvents({ prefix: untyped(1) }, { transport: "direct" }),
        streams.subscribe(untyped(5)),
        streams.subscribe("TMP_1", { fromToken: 1.5 }),
        streams.subscribe("TMP_1", { fromToken: untyped(null) }),
        streams.subscribe("TMP_1", { stallTimeout: untyped("abc") }),
        streams.subscribeEvents("a b"),
        streams.continue(untyped(5), { prompt: "a" }),
        streams.continue("TMP_1", untyped(null)),
        streams.continueEvents("TMP_1", { prompt: "" }),
        streams.fork(untyped(5), { prompt: "a" }),
        streams.fork("TMP_1", untyped(null)),
        streams.forkEvents("TMP_1", { prompt: "a", maxTokens: 0 })
      ]
      for (const stream of calls) {
        const error = yield* failureOf(Stream.runDrain(stream))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
        expect(error.operation).toMatch(/^StreamService\./)
      }
      expect(yield* verbs).toEqual([])
    }).pipe(againstTestClock()))
})

describe("a stream that was not begun", () => {
  it.effect("F82 sends nothing when it starts interrupted", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.zipRight(Effect.interrupt, Stream.runDrain(StreamService.create({ prompt: "a" })))
      )
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(Option.isNone(Chunk.head(yield* Stream.runCollect(Stream.take(StreamService.create({ prompt: "a" }), 0)))))
        .toBe(true)
      expect(yield* verbs).toEqual([])
    }).pipe(againstTestClock()))
})
