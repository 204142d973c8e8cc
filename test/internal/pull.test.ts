import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Option, Stream } from "effect"
import { openingOf, type Pull, pulled } from "../../src/internal/pull.js"

/** Numbers in chunks, and then an end; `log` says what was opened and closed. */
const make = (chunks: ReadonlyArray<ReadonlyArray<number>>, last: Option.Option<string>) => {
  const log: Array<string> = []
  const opening = Effect.acquireRelease(
    Effect.sync(() => {
      log.push("open")
      let next = 0
      const pull: Pull<number, string> = Effect.suspend(() => {
        const chunk = chunks[next++]
        return chunk === undefined ? Effect.fail(last) : Effect.succeed(Chunk.fromIterable(chunk))
      })
      return pull
    }),
    (_, exit) => Effect.sync(() => log.push(exit._tag))
  )
  return { log, opening, stream: pulled(opening) }
}

describe("a pulled stream", () => {
  it.effect("fails with what the pull fails with, after what came before, and closes", () =>
    Effect.gen(function*() {
      const { log, stream } = make([[1, 2], [3]], Option.some("lost"))
      const seen: Array<number> = []
      const exit = yield* Effect.exit(Stream.runForEach(stream, (n) => Effect.sync(() => seen.push(n))))
      expect([exit, seen]).toEqual([Exit.fail("lost"), [1, 2, 3]])
      expect(log).toEqual(["open", "Failure"])
    }))

  it.effect("fails with what its opening fails with", () =>
    Effect.gen(function*() {
      const opening: Effect.Effect<Pull<number, string>, string> = Effect.fail("refused")
      expect(yield* Effect.exit(Stream.runDrain(pulled(opening)))).toEqual(Exit.fail("refused"))
      expect(yield* Effect.exit(Stream.runDrain(pulled(Effect.die("mistake"))))).toEqual(Exit.die("mistake"))
    }))

  it.effect("is opened for each that runs it, and closed once by whoever leaves", () =>
    Effect.gen(function*() {
      const { log, stream } = make([[1, 2], [3]], Option.none())
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(stream))).toEqual([1, 2, 3])
      expect(yield* Stream.runHead(stream)).toEqual(Option.some(1))
      yield* Effect.exit(Stream.runForEach(stream, () => Effect.fail("no")))
      expect(log.filter((entry) => entry === "open")).toHaveLength(3)
      expect(log).toHaveLength(6)
    }))

  it.effect("keeps its chunks", () =>
    Effect.gen(function*() {
      const { stream } = make([[1, 2], [], [3]], Option.none())
      const sizes = yield* Stream.runCollect(Stream.mapChunks(stream, (chunk) => Chunk.of(chunk.length)))
      expect(Chunk.toReadonlyArray(sizes).filter((size) => size > 0)).toEqual([2, 1])
    }))

  it.effect("any number of chunks needs no stack", () =>
    Effect.gen(function*() {
      const { stream } = make(Array.from({ length: 20_000 }, (_, i) => [i]), Option.none())
      expect(yield* Stream.runCount(stream)).toBe(20_000)
    }))

  it.effect("is opened without a stream in between, as those of others are by running them", () =>
    Effect.gen(function*() {
      const { opening, stream } = make([[1]], Option.none())
      expect(openingOf(stream)).toBe(opening)
      const pull = yield* openingOf(Stream.map(stream, (n) => n + 1))
      expect(yield* pull).toEqual(Chunk.of(2))
      expect(yield* Effect.flip(pull)).toEqual(Option.none())
    }).pipe(Effect.scoped))
})
