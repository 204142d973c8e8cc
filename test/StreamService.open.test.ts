/** Runs that are open before their text is read. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { against, count, endless, FaultKind, inject, long, onCreate, request, says, verbs } from "./support/program.js"

/** Its character is cut by the end of the first frame. */
const globe = `${"a".repeat(30)}🌍${"b".repeat(20)}`
const tokens = Array.from(new TextEncoder().encode(globe), (byte) => Uint8Array.of(byte))

describe("a run that is open", () => {
  it.effect("is read once, and tells its end as often as one likes", () =>
    Effect.gen(function*() {
      const run = yield* StreamService.open(request)
      expect(yield* Stream.mkString(run.text)).toBe(long)
      for (const again of [run.events, run.text]) {
        expect(yield* Effect.flip(Stream.runDrain<unknown, unknown, never>(again))).toMatchObject({
          _tag: "RWKVValidationError",
          message: "StreamService.open: invalid request: text and events of a run are read once, and were read already"
        })
      }
      expect((yield* run.finished).text).toBe(long)
      expect((yield* run.finished).taskId).toBe(run.taskId)
    }).pipe(against(says(long))))

  it.effect("tells its end though nobody reads, or the reader has left", () =>
    Effect.gen(function*() {
      expect((yield* (yield* StreamService.open(request)).finished).text).toBe(long)
      const run = yield* StreamService.open(request, { transport: "direct" })
      yield* Stream.runDrain(Stream.take(run.text, 1))
      expect((yield* run.finished).text).toBe(long)
    }).pipe(against(says(long))))

  it.effect("is read by who comes first, though its end was asked for before", () =>
    Effect.gen(function*() {
      const atOnce = yield* StreamService.open(request)
      const both = [atOnce.finished, Stream.mkString(atOnce.text)] as const
      const [end, text] = yield* Effect.all(both, { concurrency: 2 })
      expect([end.text, text]).toEqual([long, long])
      const later = yield* StreamService.open(request)
      yield* later.finished
      expect((yield* Stream.runCollect(later.events)).pipe(Chunk.map(({ _tag }) => _tag), Chunk.dedupe, Array.from))
        .toEqual(["Started", "Text", "Finished"])
      expect(yield* Effect.flip(Stream.runDrain(later.text))).toMatchObject({ _tag: "RWKVValidationError" })
    }).pipe(against(says(long))))

  it.effect("fails at its end and in its text where its Scope is closed before", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const run = yield* Scope.extend(StreamService.open(request), scope)
      const ended = yield* Effect.fork(Effect.flip(run.finished))
      yield* Effect.sleep("300 millis")
      yield* Scope.close(scope, Exit.void)
      const left = { _tag: "StreamTruncatedError", text: expect.stringMatching(/^(ab)+$/) }
      expect(yield* Fiber.join(ended)).toMatchObject(left)
      expect(yield* Effect.flip(Stream.runDrain(run.text))).toMatchObject(left)
    }).pipe(against(endless)))

  it.effect("fills in the middle where a prefix is given, and refuses what is neither", () =>
    Effect.gen(function*() {
      expect(yield* Stream.mkString((yield* StreamService.open({ prefix: "a", suffix: "b" })).text)).toBe(long)
      expect(yield* verbs).toContain("POST fim")
      const neither = new Proxy(request, {
        has: () => {
          throw new Error("mine")
        }
      })
      expect(yield* Effect.flip(StreamService.open(neither))).toMatchObject({ _tag: "RWKVValidationError" })
    }).pipe(against(says(long))))

  it.effect("may be a continue or a fork", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.createPersistent({ prompt: "source", maxTokens: 2000 })
      yield* task.wait()
      const more = { prompt: " more", maxTokens: 2000 }
      const continued = yield* StreamService.openContinue(task.id, more)
      expect([continued.taskId, yield* Stream.mkString(continued.text)]).toEqual([task.id, long])
      const fork = yield* StreamService.openFork(task.id, more)
      expect(fork.taskId).not.toBe(task.id)
      expect((yield* fork.finished).text).toBe(long)
    }).pipe(against(says(long))))

  for (const profile of ["current", "documented"] as const) {
    for (const pulse of [0, "50 millis"] as const) {
      it.effect(`H15 may be held open when the next one begins on its buffer, and that is whole (${profile}, ${pulse})`, () =>
        Effect.gen(function*() {
          const { id } = yield* Effect.tap(TaskService.createPersistent(request), (task) => task.wait())
          const first = yield* StreamService.openFork(id, request)
          expect((yield* first.finished).text).toBe(globe)
          const second = yield* StreamService.openContinue(first.taskId, request)
          expect(yield* Stream.mkString(second.text)).toBe(globe)
          const third = yield* StreamService.openFork(id, request)
          expect(yield* Stream.runLast(third.events)).toMatchObject({ value: { result: { text: globe } } })
          expect(yield* Stream.mkString(StreamService.continue(second.taskId, request))).toBe(globe)
        }).pipe(against({ profile, pulse, reply: () => ({ tokens }) })))
    }
  }

  it.effect("fails before there is anything to read if it cannot start", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Status({ status: 401 }) })
      expect(yield* Effect.flip(StreamService.open(request))).toMatchObject({ _tag: "RWKVStatusError", status: 401 })
      const missing = yield* Effect.flip(StreamService.openContinue("TMP_1", { prompt: "more" }))
      expect(missing).toMatchObject({ _tag: "TaskNotFoundError" })
    }).pipe(against(says(long))))

  it.effect("is stopped where its Scope is closed", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(StreamService.open(request))
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(against(endless)))
})
