import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, LogLevel, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import {
  against,
  byBoth,
  count,
  endless,
  FaultKind,
  inject,
  long,
  onStream,
  onText,
  openStreams,
  request,
  running,
  says,
  tasks,
  textOf,
  type Transport,
  verbs
} from "../support/program.js"
import { eitherWay, watches } from "../support/waits.js"

const slow: Emulator.Options = { ...endless, prefillPerToken: "100 millis" }

const logged = (lines: Array<string>) =>
  Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => lines.push(String(message))))

/** Interrupts a stream at a time, and looks what is left of it. */
const interruptedAt = (transport: Transport, millis: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(textOf(transport, { idleTimeout: "3 seconds" }))
    yield* Effect.sleep(millis)
    yield* Fiber.interrupt(fiber)
    yield* Effect.sleep("5 seconds")
    expect([yield* openStreams, yield* running, (yield* tasks).length]).toEqual([0, 0, 0])
    expect(yield* count("POST stop")).toBe((yield* count("POST tmp")) > 0 ? 1 : 0)
  })

describe("leaving and waiting", () => {
  // The prompt takes 0.8 s to read; text comes from there on.
  for (
    const [when, millis] of Object.entries({ "before its answer": 300, "before the text": 810, "mid-stream": 1500 })
  ) {
    byBoth(
      `F54 interrupt after the create is sent, ${when}`,
      (transport) => interruptedAt(transport, millis).pipe(against(slow))
    )
  }

  it.effect("F54 interrupt before the create is sent", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(textOf("subscribe"))
      yield* Fiber.interrupt(fiber)
      expect(yield* count("POST stop")).toBe(yield* count("POST tmp"))
      yield* Effect.sleep("5 seconds")
      expect(yield* running).toBe(0)
    }).pipe(against(slow)))

  byBoth(
    "F54 interrupt while it connects again and while it waits to try again",
    (transport) =>
      Effect.gen(function*() {
        yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: 300, clean: false }) })
        yield* inject({ on: onStream, times: 3, kind: FaultKind.Delay({ duration: "300 millis" }) })
        yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Status({ status: 503 }) })
        yield* interruptedAt(transport, 1400)
        yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      }).pipe(against(slow))
  )

  it.effect(
    "F54 interrupt at any of a thousand moments: one stop at most, and nothing left",
    () =>
      Effect.gen(function*() {
        for (let millis = 0; millis < 2000; millis += 37) {
          yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: millis % 400, clean: millis % 2 === 0 }) })
          const before = yield* count("POST stop")
          const creates = yield* count("POST tmp")
          const fiber = yield* Effect.fork(textOf(millis % 3 === 0 ? "direct" : "subscribe"))
          yield* Effect.sleep(millis)
          yield* Fiber.interrupt(fiber)
          yield* Effect.sleep("2 seconds")
          expect((yield* count("POST stop")) - before).toBe((yield* count("POST tmp")) - creates)
          expect([yield* openStreams, yield* running, (yield* tasks).length]).toEqual([0, 0, 0])
        }
      }).pipe(against(slow)),
    20_000
  )

  it.effect("F54 interrupt of run and of create before their answers", () =>
    Effect.gen(function*() {
      for (const effect of [TaskService.run(request), TaskService.create(request), TaskService.fim({ prefix: "a" })]) {
        const fiber = yield* Effect.fork(Effect.asVoid<unknown, unknown, TaskService.TaskService>(effect))
        yield* Effect.sleep("300 millis")
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep("10 seconds")
        expect([yield* running, (yield* tasks).length]).toEqual([0, 0])
      }
      expect(yield* count("POST stop")).toBe(3)
    }).pipe(against(slow)))

  byBoth(
    "F55 take(1), a consumer that fails or dies, a scope that closes, a race",
    (transport) =>
      Effect.gen(function*() {
        const stream = StreamService.create({ ...request, maxTokens: 4000 }, { transport })
        const left = (effect: Effect.Effect<unknown, unknown, StreamService.StreamService>, losers = 1) =>
          Effect.gen(function*() {
            const before = yield* count("POST stop")
            yield* Effect.exit(effect)
            expect((yield* count("POST stop")) - before).toBe(losers)
            yield* Effect.sleep("5 seconds")
            expect([yield* openStreams, yield* running, (yield* tasks).length]).toEqual([0, 0, 0])
          })
        yield* left(Stream.runCollect(Stream.take(stream, 1)))
        yield* left(Stream.runForEach(stream, () => Effect.fail("no")))
        yield* left(Stream.runForEach(stream, () => Effect.die("no")))
        yield* left(Effect.scoped(Effect.flatMap(Stream.toPull(stream), (pull) => pull)))
        yield* left(Effect.timeout(Stream.runDrain(stream), "2 seconds"))
        const first = Stream.runHead(stream)
        yield* left(Effect.race(first, Stream.runDrain(stream)), 2)
      }).pipe(against(slow))
  )

  for (
    const [how, kind] of [
      ["fails", FaultKind.Status({ status: 500 })],
      ["hangs", FaultKind.Hang({ executed: false })],
      ["404s", FaultKind.Status({ status: 404, body: "{\"detail\":\"Task not found\"}" })]
    ] as const
  ) {
    it.effect(`F56 stop itself ${how}`, () => {
      const lines: Array<string> = []
      return Effect.gen(function*() {
        yield* inject({ on: { path: "/stop" }, times: Infinity, kind })
        const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        const exit = yield* Effect.exit(Stream.runForEach(StreamService.create(request), () => Effect.fail("mine")))
        const ended = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        expect(exit).toEqual(Exit.fail("mine"))
        expect(ended - begun).toBeLessThanOrEqual(3100)
        expect(lines.filter((line) => line.includes("may not have ended"))).toHaveLength(1)
      }).pipe(against(slow), Logger.withMinimumLogLevel(LogLevel.Debug), Effect.provide(logged(lines)))
    })
  }

  const deaf: Emulator.Options = { ...slow, stopMisses: () => true }
  it.effect("F57 stop answers but the task runs on", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 40_000 })
      const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const error = yield* Effect.flip(task.stop({ within: "3 seconds" }))
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stop" })
      expect((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun).toBe(3000)
    }).pipe(against(deaf)))

  eitherWay("F58 wait times out while a request hangs", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 40_000 })
      yield* inject({ on: { path: watches[by] }, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      expect(yield* Effect.flip(task.wait({ by, timeout: "7 seconds" }))).toMatchObject({ kind: "wait" })
      expect((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun).toBe(7000)
      expect(yield* openStreams).toBe(0)
    }).pipe(against(slow)))

  eitherWay("F59 five requests in a row fail, then work", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      yield* inject({ on: { path: watches[by] }, times: 5, kind: FaultKind.Status({ status: 502, body: "<html>" }) })
      expect((yield* task.wait({ by })).text).toBe(long)
    }).pipe(against(says(long))))

  eitherWay("F60 wait on a task deleted meanwhile", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const fiber = yield* Effect.fork(Effect.flip(task.wait({ by })))
      yield* Effect.sleep("300 millis")
      yield* task.delete()
      expect(yield* fiber).toMatchObject({ _tag: "TaskNotFoundError", taskId: task.id })
    }).pipe(against(slow)))

  eitherWay("F61 wait on a task this program stopped", (by) =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const fiber = yield* Effect.fork(Effect.flip(task.wait({ by })))
      yield* Effect.sleep("300 millis")
      yield* task.stop()
      const error = yield* fiber
      expect(error).toMatchObject({ _tag: "TaskCancelledError", text: expect.stringMatching(/^(ab)+/) })
    }).pipe(against(slow)))

  eitherWay("F62 finished with the last tokens missing at the first read", (by) =>
    Effect.gen(function*() {
      expect((yield* TaskService.run(request, { by })).text).toBe(long)
    }).pipe(against({ reply: () => long, lateTokens: "150 millis" })))

  it.effect("F63 continue on a ready, running or evicted task; fork of a running one", () =>
    Effect.gen(function*() {
      const first = yield* TaskService.create({ ...request, persistence: "persistent" })
      const second = yield* TaskService.create({ ...request, persistence: "persistent" })
      yield* Effect.sleep("300 millis")
      for (const task of [first, second]) {
        expect(yield* Effect.flip(task.continue({ prompt: "on" }))).toMatchObject({ _tag: "TaskBusyError" })
        expect(yield* Effect.flip(Stream.runDrain(StreamService.continue(task.id, { prompt: "on" })))).toMatchObject({
          _tag: "TaskBusyError"
        })
        expect(yield* Effect.flip(task.fork({ prompt: "on" }))).toMatchObject({ _tag: "TaskBusyError" })
      }
      for (let i = 0; i < 4; i++) yield* TaskService.create({ prompt: `${i}`, maxTokens: 1 })
      expect(yield* Effect.flip(first.continue({ prompt: "on" }))).toMatchObject({ _tag: "TaskBusyError" })
      expect((yield* verbs).filter((verb) => /continue|fork/.test(verb))).toEqual([])
    }).pipe(against({ ...endless, prefillPerToken: 0, maxBatchSize: 1, cacheCapacity: 4 })))

  for (const profile of ["current", "documented"] as const) {
    it.effect(`F64 template calls on the ${profile} server`, () =>
      Effect.gen(function*() {
        const source = yield* TaskService.create({ ...request, persistence: "persistent" })
        yield* source.wait()
        const template = yield* Effect.either(source.asTemplate)
        if (profile === "current") {
          expect(template).toMatchObject({ _tag: "Left", left: { _tag: "UnsupportedByServerError" } })
        } else {
          const handle = yield* template
          const fork = yield* handle.fork({ prompt: "go" })
          expect((yield* fork.wait()).text).toBe(long)
        }
      }).pipe(against({ reply: () => long, profile })))
  }

  it.effect("F65 times of prefill-only tasks are never reported as durations", () =>
    Effect.gen(function*() {
      yield* Effect.sleep("1 hour")
      const result = yield* TaskService.run({ prompt: "only read", maxTokens: 0 })
      expect(result.finished).toBe(true)
      yield* inject({
        on: { path: "/get_result" },
        times: Infinity,
        kind: FaultKind.Respond({
          status: 200,
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            task_id: result.taskId,
            result: "",
            prefill_time: 0.5,
            gen_time: 1.78e9,
            speed: 0,
            finished: true
          })
        })
      })
      const task = yield* TaskService.create({ prompt: "only read", maxTokens: 0 })
      expect((yield* task.result).generationTime).toMatchObject({ value: { millis: 0 } })
    }).pipe(against(says(long))))
})
