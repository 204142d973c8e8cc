import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Fiber, FiberRef, Stream, TestClock } from "effect"
import { connect } from "../../../src/internal/stream/connection.js"
import type { Signal } from "../../../src/internal/stream/signals.js"
import type { Frame } from "../../../src/internal/wire/sse.js"

const data = (text: string): Frame => ({ _tag: "Data", text })
const done: Frame = { _tag: "Done" }

const textOf = (signals: ReadonlyArray<Signal>) =>
  signals.flatMap((signal) => signal._tag === "Frames" ? signal.frames : [])
    .map((frame) => frame._tag === "Data" ? frame.text : frame._tag).join("")

describe("connection", () => {
  it.scoped("is read a signal ahead, and no further until it is taken", () =>
    Effect.gen(function*() {
      let read = 0
      const frames = Stream.repeatEffect(Effect.sync(() => data(`${read++} `))).pipe(Stream.take(10))
      const connection = yield* connect(frames)
      yield* TestClock.adjust("1 second")
      expect(read).toBeLessThanOrEqual(2)
      expect(textOf(yield* connection.take)).toBe("0 ")
      yield* TestClock.adjust("1 second")
      expect(read).toBeLessThanOrEqual(3)
      yield* connection.close
    }))

  it.scoped("a take that is interrupted takes nothing", () =>
    Effect.gen(function*() {
      const connection = yield* connect(Stream.fromEffect(Effect.as(Effect.sleep("1 second"), data("text"))))
      const fiber = yield* Effect.fork(connection.take)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      expect(textOf(yield* connection.take)).toBe("text")
    }))

  it.effect("an idle signal does not push itself before what came", () =>
    Effect.gen(function*() {
      const connection = yield* connect(Stream.concat(Stream.make(data("text")), Stream.never))
      yield* TestClock.adjust("1 milli")
      connection.offer({ _tag: "Idle", silent: true, late: false, overdue: false })
      expect((yield* connection.take).map(({ _tag }) => _tag)).toEqual(["Frames"])
      connection.offer({ _tag: "Idle", silent: true, late: false, overdue: false })
      expect((yield* connection.take).map(({ _tag }) => _tag)).toEqual(["Idle"])
      yield* connection.close
      expect((yield* connection.take).map(({ _tag }) => _tag)).toEqual(["Closing"])
    }))

  it.effect("closing wakes who takes, and ends a reader that waits for room", () =>
    Effect.gen(function*() {
      let open = 0
      const endless = Stream.acquireRelease(Effect.sync(() => open++), () => Effect.sync(() => open--)).pipe(
        Stream.flatMap(() => Stream.repeatEffectChunk(Effect.succeed(Chunk.of(data("x")))))
      )
      const full = yield* connect(endless)
      const silent = yield* connect(Stream.never)
      const taking = yield* Effect.fork(silent.take)
      yield* TestClock.adjust("1 milli")
      expect(open).toBe(1)
      yield* full.close
      yield* silent.close
      expect(open).toBe(0)
      expect((yield* Fiber.join(taking)).map(({ _tag }) => _tag)).toEqual(["Closing"])
    }))

  it.effect("a defect of a client's own stream is passed on, after what it told", () =>
    Effect.gen(function*() {
      const connection = yield* connect(Stream.concat(Stream.make(data("text")), Stream.die("mistake")))
      yield* TestClock.adjust("1 milli")
      expect(textOf(yield* connection.take)).toBe("text")
      expect(Cause.squash(yield* Effect.flip(Effect.sandbox(connection.take)))).toBe("mistake")
      yield* connection.close
    }))

  it.scoped("F93 hands back what a client wrote to FiberRefs, and not what it sets for a while", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("before")
      const local = yield* FiberRef.make("outside")
      let pulls = 0
      const pull = Effect.suspend(() => pulls++ === 0 ? Effect.succeed(data("text")) : Effect.never)
      const frames = Stream.concat(
        Stream.drain(Stream.fromEffect(FiberRef.set(ref, "after"))),
        Stream.repeatEffect(Effect.locally(pull, local, "inside"))
      )
      const connection = yield* connect(frames)
      expect(textOf(yield* connection.take)).toBe("text")
      expect([yield* FiberRef.get(ref), yield* FiberRef.get(local)]).toEqual(["after", "outside"])
      yield* connection.close
    }))

  it.effect.each([41, 43, 47, 53, 59, 67, 97])(
    "loses nothing when fibers yield after %d steps",
    (steps) =>
      Effect.gen(function*() {
        const texts = Array.from({ length: 200 }, (_, index) => data(`${index} `))
        const connection = yield* connect(Stream.rechunk(Stream.fromIterable([...texts, done]), 1))
        let told = ""
        while (!told.endsWith("Done")) told += textOf(yield* connection.take)
        expect(told).toBe(`${Array.from({ length: 200 }, (_, index) => `${index} `).join("")}Done`)
        yield* connection.close
      }).pipe(Effect.withMaxOpsBeforeYield(steps))
  )
})
