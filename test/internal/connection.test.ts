import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, FastCheck as fc, Fiber, Option, Stream } from "effect"
import {
  connect,
  type Connection,
  ended,
  feedOf,
  type Signal,
  take,
  toStream
} from "../../src/internal/stream/connection.js"
import type { Frame } from "../../src/internal/wire/sse.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)

const data = (text: string): Frame => ({ _tag: "Data", text })
const done: Frame = { _tag: "Done" }
const frames = (...texts: ReadonlyArray<string>): Signal<never> => ({ _tag: "Frames", frames: texts.map(data) })
const broken = <E>(error: E): Signal<E> => ({ _tag: "Broken", cause: Cause.fail(error) })

const textOf = (signal: Signal<unknown> | undefined) =>
  signal?._tag === "Frames"
    ? signal.frames.map((frame) => frame._tag === "Data" ? frame.text : frame._tag).join("")
    : signal?._tag

/** A source that a test speaks for; `onResume` is what it has to say when it is resumed. */
const make = (before: ReadonlyArray<Signal<string>> = []) =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    let say: (signal: Signal<string>) => void = () => {}
    let onResume = () => {}
    const feed = (heard: (signal: Signal<string>) => void) =>
      Effect.sync(() => {
        say = heard
        for (const signal of before) heard(signal)
        return {
          pause: () => {
            calls.push("pause")
          },
          resume: () => {
            calls.push("resume")
            onResume()
          },
          close: Effect.sync(() => {
            calls.push("close")
          })
        }
      })
    const connection = yield* connect(feed)
    return {
      feed,
      connection,
      calls,
      say: (signal: Signal<string>) => say(signal),
      whenResumed: (act: () => void) => {
        onResume = act
      }
    }
  })

const all = <E>({ poll }: Connection<E>) => {
  const polled: Array<string | undefined> = []
  for (let signal = poll(); signal !== undefined; signal = poll()) polled.push(textOf(signal))
  return polled
}

const turn = Effect.repeatN(Effect.yieldNow(), 10)

describe("a connection", () => {
  it.effect("hears what comes while it is being opened, and pauses what said too much", () =>
    Effect.gen(function*() {
      const { calls, connection } = yield* make([frames("a"), frames("b"), frames("c")])
      expect(calls).toEqual(["pause"])
      expect(all(connection)).toEqual(["a", "b", "c"])
      expect(calls).toEqual(["pause", "resume"])
    }))

  it.effect("pauses its source when two signals wait, and resumes it when one is taken", () =>
    Effect.gen(function*() {
      const { calls, connection, say } = yield* make()
      expect(connection.unread()).toBe(false)
      say(frames("a"))
      expect([connection.unread(), calls]).toEqual([true, []])
      say(frames("b"))
      expect(calls).toEqual(["pause"])
      say(frames("c"))
      expect(calls).toEqual(["pause"])
      expect(textOf(connection.poll())).toBe("a")
      expect(calls).toEqual(["pause"])
      expect(textOf(connection.poll())).toBe("b")
      expect(calls).toEqual(["pause", "resume"])
      say(frames("d"))
      expect(calls).toEqual(["pause", "resume", "pause"])
      expect(all(connection)).toEqual(["c", "d"])
      expect([connection.unread(), connection.poll()]).toEqual([false, undefined])
    }))

  it.effect("a failure and an end stand in line behind what came before", () =>
    Effect.gen(function*() {
      const { connection, say } = yield* make()
      say(frames("a"))
      say(broken("reset"))
      say(ended)
      expect(all(connection)).toEqual(["a", "Broken", "Ended"])
    }))

  it.effect("closed, what waits is gone, and the source is closed", () =>
    Effect.gen(function*() {
      const { calls, connection, say } = yield* make()
      say(frames("a"))
      say(frames("b"))
      yield* connection.close
      expect([connection.poll(), connection.unread()]).toEqual([undefined, false])
      expect(calls).toEqual(["pause", "close"])
    }))

  it.effect("whoever listens is told of every signal, in the stack that brings it", () =>
    Effect.gen(function*() {
      const { connection, say } = yield* make()
      const heard: Array<unknown> = []
      connection.listen(() => heard.push(...all(connection)))
      say(frames("a"))
      expect(heard).toEqual(["a"])
      connection.signal({ _tag: "Idle" })
      connection.signal({ _tag: "Closing" })
      say(ended)
      expect(heard).toEqual(["a", "Idle", "Closing", "Ended"])
      connection.listen(() => {})
      say(frames("b"))
      expect(heard).toHaveLength(4)
    }))

  it.effect("what comes while a signal is taken is taken after it, and the listener is not told within", () =>
    Effect.gen(function*() {
      const { connection, say, whenResumed } = yield* make()
      let taking = false
      const heard: Array<unknown> = []
      connection.listen(() => {
        expect(taking).toBe(false)
      })
      let left = 5
      whenResumed(() => {
        if (left-- > 0) say(frames(`late${left}`))
      })
      say(frames("a"))
      say(frames("b"))
      for (let more = true; more;) {
        taking = true
        const signal = connection.poll()
        taking = false
        more = signal !== undefined
        if (more) heard.push(textOf(signal))
      }
      expect(heard).toEqual(["a", "b", "late4", "late3", "late2", "late1", "late0"])
    }))

  it("tells every signal once and in order, whatever comes when it is resumed", () =>
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant("say" as const), fc.constant("poll" as const)), { maxLength: 60 }),
        fc.array(fc.nat(4), { maxLength: 20 }),
        (acts, bursts) => {
          const { calls, connection, say, whenResumed } = Effect.runSync(make())
          let said = 0
          let burst = 0
          let paused = 0
          const speak = () => say(frames(String(said++)))
          whenResumed(() => {
            for (let i = bursts[burst++] ?? 0; i > 0; i--) speak()
          })
          const heard: Array<unknown> = []
          for (const act of acts) {
            if (act === "say") speak()
            else heard.push(textOf(connection.poll()) ?? "nothing")
          }
          heard.push(...all(connection))
          expect(heard.filter((text) => text !== "nothing")).toEqual(Array.from({ length: said }, (_, i) => String(i)))
          // A source is never left paused when nothing waits.
          for (const call of calls) paused += call === "pause" ? 1 : -1
          expect(paused).toBeLessThanOrEqual(0)
        }
      ),
      { numRuns }
    ))
})

describe("take", () => {
  it.effect("interrupted while nothing came, it loses nothing of what comes", () =>
    Effect.gen(function*() {
      const { connection, say } = yield* make()
      const fiber = yield* Effect.fork(take(connection))
      yield* turn
      yield* Fiber.interrupt(fiber)
      say(frames("a"))
      say(frames("b"))
      expect(textOf(yield* take(connection))).toBe("a")
      expect(textOf(yield* take(connection))).toBe("b")
    }))

  it.effect("takes what waits, and waits for what comes", () =>
    Effect.gen(function*() {
      const { connection, say } = yield* make([frames("a")])
      expect(textOf(yield* take(connection))).toBe("a")
      const fiber = yield* Effect.fork(take(connection))
      yield* turn
      say(frames("b"))
      say(frames("c"))
      expect(textOf(yield* Fiber.join(fiber))).toBe("b")
      expect(textOf(yield* take(connection))).toBe("c")
    }))

  it.effect("takes what comes when the source is resumed by it", () =>
    Effect.gen(function*() {
      const { connection, say, whenResumed } = yield* make([frames("a"), frames("b")])
      whenResumed(() => say(frames("c")))
      const taken: Array<unknown> = []
      for (let i = 0; i < 3; i++) taken.push(textOf(yield* take(connection)))
      expect(taken).toEqual(["a", "b", "c"])
    }))
})

describe("a feed", () => {
  /** A Stream that is not ours, as of another client. */
  const heardOf = <E>(stream: Stream.Stream<Frame, E>) =>
    Effect.gen(function*() {
      const connection = yield* connect(feedOf(stream))
      const heard: Array<Signal<E>> = []
      connection.listen(() => {
        for (let signal = connection.poll(); signal !== undefined; signal = connection.poll()) heard.push(signal)
      })
      return { connection, heard }
    })

  it.effect("of another's Stream tells its failure", () =>
    Effect.gen(function*() {
      const { heard } = yield* heardOf(Stream.concat(Stream.make(data("a")), Stream.fail("reset")))
      yield* turn
      expect(heard).toEqual([frames("a"), broken("reset")])
    }))

  it.effect("of another's Stream tells its defect", () =>
    Effect.gen(function*() {
      const { heard } = yield* heardOf(Stream.concat(Stream.make(data("a")), Stream.die("mistake")))
      yield* turn
      expect(heard).toEqual([frames("a"), { _tag: "Broken", cause: Cause.die("mistake") }])
    }))

  it.effect("of another's Stream tells its end, and nothing of empty chunks", () =>
    Effect.gen(function*() {
      const { heard } = yield* heardOf(Stream.fromChunks(Chunk.empty<Frame>(), Chunk.make(data("a"), data("b"))))
      yield* turn
      expect(heard).toEqual([frames("a", "b"), ended])
    }))

  it.effect("of another's Stream is read no further than two chunks ahead", () =>
    Effect.gen(function*() {
      let pulled = 0
      const connection = yield* connect(feedOf(Stream.repeatEffect(Effect.sync(() => data(String(pulled++))))))
      yield* turn
      expect(pulled).toBe(2)
      expect(textOf(connection.poll())).toBe("0")
      yield* turn
      expect(pulled).toBe(3)
      yield* connection.close
      yield* turn
      expect(pulled).toBe(3)
    }))

  it.effect("of another's Stream is closed with the connection, and can be where its opener cannot be interrupted", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const stream = Stream.concat(Stream.make(data("a")), Stream.never).pipe(
        Stream.ensuring(Deferred.succeed(closed, undefined))
      )
      const { connection, heard } = yield* Effect.uninterruptible(heardOf(stream))
      yield* turn
      yield* connection.close
      yield* Deferred.await(closed)
      yield* turn
      expect(heard).toEqual([frames("a")])
    }))

  it.effect("as a Stream is the same feed again", () =>
    Effect.gen(function*() {
      const { feed } = yield* make()
      expect(feedOf(toStream(feed))).toBe(feed)
      // What was changed on the way is another stream.
      expect(feedOf(Stream.take(toStream(feed), 1))).not.toBe(feed)
    }))

  for (
    const [what, last, exit] of [
      ["fails with its failure", broken("reset"), Exit.fail("reset")],
      ["dies of its defect", { _tag: "Broken", cause: Cause.die("mistake") }, Exit.die("mistake")]
    ] as const
  ) {
    it.effect(`as a Stream ${what}, after what came before, and is closed`, () =>
      Effect.gen(function*() {
        const { calls, feed } = yield* make([frames("a"), last])
        const texts: Array<string | undefined> = []
        const run = Stream.runForEach(toStream(feed), (frame) => Effect.sync(() => texts.push(frame._tag)))
        expect(yield* Effect.exit(run)).toEqual(exit)
        expect(texts).toEqual(["Data"])
        expect(calls.at(-1)).toBe("close")
      }))
  }

  it.effect("as a Stream ends after its last frame, though the connection goes on", () =>
    Effect.gen(function*() {
      const { calls, feed } = yield* make([{ _tag: "Frames", frames: [data("a"), done] }, ended])
      const read = yield* Stream.runCollect(toStream(feed))
      expect(Chunk.toReadonlyArray(read)).toEqual([data("a"), done])
      expect(calls.filter((call) => call === "close")).toHaveLength(1)
    }))

  it.effect("as a Stream is opened for each that runs it, and closed when it is left", () =>
    Effect.gen(function*() {
      const { calls, feed } = yield* make([frames("a", "b", "c")])
      for (let i = 1; i <= 2; i++) {
        expect(yield* Stream.runHead(toStream(feed))).toEqual(Option.some(data("a")))
        expect(calls.filter((call) => call === "close")).toHaveLength(i)
      }
      const waiting = yield* Effect.fork(Stream.runDrain(toStream(feed)))
      yield* turn
      yield* Fiber.interrupt(waiting)
      expect(calls.filter((call) => call === "close")).toHaveLength(3)
    }))
})
