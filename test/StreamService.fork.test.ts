import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import {
  againstTestClock,
  eventsOf,
  failureOf,
  finished,
  ids,
  joined,
  last,
  settle,
  settledText,
  started
} from "./support/harness.js"
import { count, long, verbs } from "./support/program.js"

const { FaultKind } = Emulator

describe("subscribe", () => {
  const options: Emulator.Options = { reply: () => long }

  it.effect("any number may listen at once, and late, and each hears all", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      const listen = Stream.mkString(task.stream())
      const early = yield* Effect.fork(Effect.all(Array.from({ length: 10 }, () => listen), { concurrency: 10 }))
      yield* TestClock.adjust("230 millis")
      const texts = yield* settle(Effect.all(Array.from({ length: 10 }, () => listen), { concurrency: 10 }))
      expect(new Set([...texts, ...(yield* settle(Fiber.join(early))), yield* settle(listen)])).toEqual(new Set([long]))
    }).pipe(againstTestClock(options)))

  it.effect("leaving early leaves the task alone, unless told to stop it", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* settle(Stream.runDrain(Stream.take(StreamService.subscribe(task.id), 1)))
      yield* TestClock.adjust("10 millis")
      expect(yield* count("POST stop")).toBe(0)
      yield* settle(Stream.runDrain(Stream.take(StreamService.subscribe(task.id, { onInterrupt: "stop" }), 1)))
      yield* TestClock.adjust("5 seconds")
      expect(yield* count("POST stop")).toBe(1)
      expect(yield* count("POST delete")).toBe(0)
    }).pipe(againstTestClock(options)))

  it.effect("begins at a token of a finished run, counted from the start or the end", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* settle(task.wait())
      expect(yield* settledText(task.stream({ fromToken: 300 }))).toBe(long.slice(300))
      expect(yield* settledText(task.stream({ fromToken: -7 }))).toBe(long.slice(-7))
      expect(yield* settledText(task.stream({ fromToken: -1000 }))).toBe(long)
      expect(yield* settledText(task.stream({ fromToken: 320 }))).toBe("")
      expect(yield* settledText(task.stream({ fromToken: 5000 }))).toBe("")
      const events = yield* eventsOf(task.streamEvents({ fromToken: 310 }))
      expect(joined(events)).toBe(long.slice(310))
      expect(last(events)?.text).toBe(long)
    }).pipe(againstTestClock(options)))

  it.effect("begins at a token of a running run", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("120 millis")
      expect((yield* task.status).generatedTokens).toBe(64)
      const [later, back] = yield* settle(Effect.all([
        Stream.mkString(task.stream({ fromToken: 100 })),
        Stream.mkString(task.stream({ fromToken: -4 }))
      ], { concurrency: 2 }))
      expect(later).toBe(long.slice(100))
      expect(back).toBe(long.slice(60))
    }).pipe(againstTestClock(options)))

  it.effect("a token inside a character stands for the whole character", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* settle(task.wait())
      for (const fromToken of [2, 3, 4, 5]) {
        expect(yield* settledText(task.stream({ fromToken }))).toBe("🌍cd")
      }
      expect(yield* settledText(task.stream({ fromToken: 6 }))).toBe("cd")
      expect(yield* settledText(task.stream({ fromToken: -3 }))).toBe("🌍cd")
    }).pipe(againstTestClock({ reply: () => "ab🌍cd" })))

  it.effect("a task without tokens is an empty stream", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a", maxTokens: 0 })
      expect(yield* settledText(task.stream())).toBe("")
      const events = yield* eventsOf(StreamService.createEvents({ prompt: "a", maxTokens: 0 }))
      expect(events.map(({ _tag }) => _tag)).toEqual(["Started", "Finished"])
    }).pipe(againstTestClock(options)))

  it.effect("fails with TaskNotFoundError for an unknown task", () =>
    Effect.gen(function*() {
      for (const options of [{}, { fromToken: -3 }]) {
        expect(yield* failureOf(Stream.runDrain(StreamService.subscribe("TMP_none", options)))).toMatchObject({
          _tag: "TaskNotFoundError",
          operation: "StreamService.subscribe"
        })
      }
    }).pipe(againstTestClock(options)))

  it.effect("a negative token rides out a status that fails once", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* TaskService.create({ prompt: "a" })
      yield* settle(task.wait())
      yield* emulator.inject({ on: { path: "status" }, kind: FaultKind.Status({ status: 502 }) })
      expect(yield* settledText(task.stream({ fromToken: -5 }))).toBe(long.slice(-5))
    }).pipe(againstTestClock(options)))
})

describe("continue and fork", () => {
  const options: Emulator.Options = { reply: ({ text }) => `<${text.repeat(30)}>` }
  const told = (prompt: string) => `<${prompt.repeat(30)}>`

  it.effect("F63 fail with TaskBusyError while the task runs, and start nothing", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "a" })
      yield* TestClock.adjust("20 millis")
      const streams = [
        ["continue", StreamService.continue(task.id, { prompt: "b" })],
        ["fork", StreamService.fork(task.id, { prompt: "b" })]
      ] as const
      for (const [operation, stream] of streams) {
        expect(yield* failureOf(Stream.runDrain(stream))).toMatchObject({
          _tag: "TaskBusyError",
          operation: `StreamService.${operation}`
        })
      }
      expect((yield* verbs).filter((verb) => verb.startsWith("POST"))).toEqual(["POST tmp"])
    }).pipe(againstTestClock({ reply: () => ({ tokens: ["a"], end: "loop" }) })))

  it.effect("tell a task that the server found busy from a server that failed", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const task = yield* finished()
      yield* emulator.inject({ on: { path: "fork" }, kind: FaultKind.Status({ status: 500 }) })
      expect((yield* failureOf(Stream.runDrain(StreamService.fork(task.id, { prompt: "b" }))))._tag).toBe(
        "RWKVServerError"
      )
      yield* emulator.inject({ on: { path: "fork" }, kind: FaultKind.Status({ status: 401 }) })
      expect((yield* failureOf(Stream.runDrain(StreamService.fork(task.id, { prompt: "b" }))))._tag).toBe(
        "RWKVStatusError"
      )
    }).pipe(againstTestClock(options)))

  it.effect("a continued task is no longer what it was: its old text and a stop are forgotten", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "abc" })
      yield* TestClock.adjust("60 millis")
      yield* settle(task.stop())
      expect(yield* settledText(StreamService.continue(task.id, { prompt: "more" }))).toBe(told("more"))
      expect((yield* settle(task.wait())).text).toBe(told("more"))
    }).pipe(againstTestClock(options)))

  for (const profile of ["current", "documented"] as const) {
    it.effect(`forks at once each deliver their own text, and can be read again (${profile})`, () =>
      Effect.gen(function*() {
        const source = yield* finished()
        const prompts = ["alpha", "beta", "gamma", "delta"]
        const all = yield* settle(Effect.forEach(
          prompts,
          (prompt) =>
            Effect.map(
              Stream.runCollect(StreamService.forkEvents(source.id, { prompt })),
              Chunk.toReadonlyArray
            ),
          { concurrency: "unbounded" }
        ))
        expect(all.map(joined)).toEqual(prompts.map(told))
        for (const [index, events] of all.entries()) {
          const id = started(events) ?? ""
          const text = told(prompts[index] ?? "")
          expect((yield* TaskService.result(id)).text).toBe(text)
          expect((yield* settle(TaskService.wait(id))).text).toBe(text)
          const again = yield* eventsOf(StreamService.subscribeEvents(id))
          expect(joined(again)).toBe(text)
          expect(again.map(({ _tag }) => _tag)).toEqual(["Started", "Text", "Finished"])
          expect(last(again)?.taskId).toBe(id)
        }
        expect(yield* settledText(StreamService.subscribe(source.id))).toBe(told("source"))
      }).pipe(againstTestClock({ ...options, profile })))

    it.effect(`a fork can be continued as a stream while its sibling runs (${profile})`, () =>
      Effect.gen(function*() {
        const source = yield* finished()
        const fork = yield* source.fork({ prompt: "fork" })
        yield* settle(fork.wait())
        const [continued, sibling] = yield* settle(Effect.all([
          Stream.mkString(StreamService.continue(fork.id, { prompt: "continued" })),
          Stream.mkString(StreamService.fork(source.id, { prompt: "sibling" }))
        ], { concurrency: 2 }))
        expect(continued).toBe(told("continued"))
        expect(sibling).toBe(told("sibling"))
        expect((yield* fork.result).text).toBe(told("continued"))
        expect((yield* source.result).text).toBe(told("source"))
      }).pipe(againstTestClock({ ...options, profile })))
  }

  it.effect("H15 forks at once whose characters the server cuts fail rather than deliver the text of others", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      const texts = yield* settle(Effect.forEach(
        ["🌍", "ascii"],
        (prompt) => Effect.either(Stream.mkString(StreamService.fork(source.id, { prompt }))),
        { concurrency: 2 }
      ))
      expect(texts[0]).toMatchObject({ _tag: "Left", left: { _tag: "StreamTruncatedError" } })
      expect(texts[1]).toMatchObject({ _tag: "Right", right: told("ascii") })
      expect(yield* settledText(StreamService.fork(source.id, { prompt: "🌍" }))).toBe(told("🌍"))
    }).pipe(againstTestClock(options)))

  it.effect("a temporary fork is deleted at its end, as text and as events, and kept if it is persistent", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      const temporary = { prompt: "fork", persistence: "temporary" } as const
      expect(yield* settledText(StreamService.fork(source.id, temporary))).toBe(told("fork"))
      yield* settle(Effect.sleep("1 second"))
      expect(yield* ids).toEqual([source.id])
      yield* eventsOf(StreamService.forkEvents(source.id, temporary))
      yield* settle(Effect.sleep("1 second"))
      expect(yield* ids).toEqual([source.id])
      yield* settledText(StreamService.fork(source.id, { prompt: "fork" }))
      yield* settledText(StreamService.fork(source.id, temporary, { cleanup: "keep" }))
      yield* settle(Effect.sleep("1 second"))
      expect(yield* ids).toHaveLength(3)
    }).pipe(againstTestClock(options)))

  it.effect("a fork that was left alone is read from the server again", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      let id = ""
      yield* settle(
        StreamService.forkEvents(source.id, { prompt: "fork" }, { onInterrupt: "detach" }).pipe(
          Stream.tap((event) => Effect.sync(() => event._tag === "Started" ? id = event.taskId : id)),
          Stream.takeUntil(({ _tag }) => _tag === "Text"),
          Stream.runDrain
        )
      )
      expect((yield* settle(TaskService.wait(id))).text).toBe(told("fork"))
      expect((yield* TaskService.result(id)).text).toBe(told("fork"))
    }).pipe(againstTestClock(options)))

  it.effect("a fork that was left among others has a text that nobody knows any more, and says so", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      const other = yield* source.fork({ prompt: "other" })
      let id = ""
      yield* settle(
        StreamService.forkEvents(source.id, { prompt: "fork" }, { onInterrupt: "detach" }).pipe(
          Stream.tap((event) => Effect.sync(() => event._tag === "Started" ? id = event.taskId : id)),
          Stream.takeUntil(({ _tag }) => _tag === "Text"),
          Stream.runDrain
        )
      )
      expect((yield* settle(other.wait())).text).toBe(told("other"))
      expect(yield* failureOf(TaskService.wait(id))).toMatchObject({ _tag: "StreamTruncatedError", taskId: id })
      expect(yield* failureOf(TaskService.wait(id, { by: "subscription" }))).toMatchObject({
        _tag: "StreamTruncatedError"
      })
      const sofar = yield* settle(TaskService.result(id))
      expect(sofar.undecodedTail).toBe(true)
      expect(told("fork").startsWith(sofar.text)).toBe(true)
    }).pipe(againstTestClock(options)))

  it.effect("waiting for a fork whose stream is left fails instead of waiting on", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      let id = ""
      const reading = yield* Effect.fork(
        StreamService.forkEvents(source.id, { prompt: "fork" }).pipe(
          Stream.runForEach((event) => Effect.sync(() => event._tag === "Started" ? id = event.taskId : id))
        )
      )
      yield* TestClock.adjust("60 millis")
      const waiting = yield* Effect.fork(Effect.flip(Stream.runDrain(StreamService.subscribe(id))))
      yield* TestClock.adjust("1 millis")
      yield* settle(Fiber.interrupt(reading))
      expect((yield* settle(Fiber.join(waiting)))._tag).toBe("StreamTruncatedError")
    }).pipe(againstTestClock(options)))

  it.effect("a fork of a task without text replays as no text", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      yield* settledText(StreamService.fork(source.id, { prompt: "a" }))
      const events = yield* eventsOf(StreamService.subscribeEvents(source.id))
      expect(events.map(({ _tag }) => _tag)).toEqual(["Started", "Finished"])
    }).pipe(againstTestClock({ reply: ({ endpoint }) => endpoint === "fork" ? "text" : { tokens: [] } })))

  it.effect("a fork over the subscribe transport is whole while it runs alone", () =>
    Effect.gen(function*() {
      const source = yield* finished()
      const text = yield* settledText(StreamService.fork(source.id, { prompt: "fork" }, { transport: "subscribe" }))
      expect(text).toBe(told("fork"))
    }).pipe(againstTestClock(options)))
})
