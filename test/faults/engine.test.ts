import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import { type RWKV, TaskService } from "effect-rwkv"
import type { Emulator } from "effect-rwkv/testing"
import {
  against,
  byBoth,
  count,
  FaultKind,
  inject,
  live,
  onStream,
  onText,
  openStreams,
  request,
  says,
  textOf,
  transports
} from "../support/program.js"

const encoder = new TextEncoder()
const headers = { "content-type": "text/event-stream" }
const frame = (text: string) => encoder.encode(`data: {"data": "${text}"}\n\n`)
const head = encoder.encode(`data: {"task_id": "TMP_${"0".repeat(32)}", "prefill_time": 0.0}\n\n`)

const now = Effect.clockWith((clock) => clock.currentTimeMillis)

/** Frames of the same kind for ever. */
const every = (bytes: Uint8Array) =>
  Stream.concat(Stream.make(head), Stream.forever(Stream.tap(Stream.make(bytes), () => Effect.sleep("100 millis"))))

/** Generates four tokens into its first frame, and then nothing. */
const stuck: Emulator.Options = { reply: () => "abcd".repeat(10), pulse: "10 hours", tokensPerPulse: 4 }

describe("endless streams, and endings that nobody waits for", () => {
  byBoth("text without an end fails, and the task is stopped", (transport) =>
    Effect.gen(function*() {
      const body = Stream.concat(Stream.make(head), Stream.forever(Stream.make(frame("x".repeat(1_000_000)))))
      yield* inject({ on: onText(transport), kind: FaultKind.Respond({ status: 200, headers, body }) })
      const error = yield* Effect.flip(textOf(transport))
      expect(error).toMatchObject({ _tag: "RWKVDecodeError", description: "more text than a run can have" })
      expect([yield* openStreams, yield* count("POST stop")]).toEqual([0, 1])
    }).pipe(against(says("x"))))

  for (
    const [what, bytes] of Object.entries({
      "empty frames": frame(""),
      heads: head,
      "undecodable frames": frame("\uFFFD")
    })
  ) {
    it.effect(`${what} for ever are no progress`, () =>
      Effect.gen(function*() {
        const body = every(bytes)
        yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Respond({ status: 200, headers, body }) })
        const error = yield* Effect.flip(textOf("subscribe", { stallTimeout: "1 minute" }))
        expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
        expect(yield* now).toBeLessThan(100_000)
        expect([yield* openStreams, yield* count("POST stop")]).toEqual([0, 1])
      }).pipe(against(stuck, { closeTimeout: 0 })))
  }

  it.effect("empty frames in the place of text: another connection is asked", () =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, kind: FaultKind.Respond({ status: 200, headers, body: every(frame("")) }) })
      expect(yield* textOf("subscribe")).toBe("x".repeat(400))
    }).pipe(against({ ...says("x".repeat(400)), pulse: "10 seconds" })))

  it.effect("a status that hangs does not hold up the failure", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/status" }, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      const begun = yield* now
      const error = yield* Effect.flip(textOf("subscribe", { idleTimeout: "50 seconds", stallTimeout: "1 minute" }))
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
      expect((yield* now) - begun).toBeLessThan(62_000)
    }).pipe(against(stuck, { closeTimeout: 0 })))

  const clocked = live({ prefillPerToken: "1 second" })
  for (const transport of transports) {
    it.effect(`a program under a TestClock that nobody moves any more ends (${transport})`, () =>
      Effect.gen(function*() {
        for (const effect of [textOf(transport), TaskService.create(request)]) {
          const fiber = yield* Effect.fork(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
          yield* TestClock.adjust("1 millis")
          yield* Fiber.interrupt(fiber)
        }
      }).pipe(Effect.provide(clocked)))
  }

  it.effect("nor does a farewell that hangs keep it", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/stop" }, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      yield* Effect.fork(textOf("subscribe"))
      yield* TestClock.adjust("3 seconds")
      expect(yield* openStreams).toBe(1)
    }).pipe(Effect.provide(live(stuck))))
})
