/** Batches: pages, results by their keys, failures, rounds, bounds and the end of processes. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import type { Emulator } from "effect-rwkv/testing"
import { against, memory, processes, until } from "../support/durable.js"
import { count, running, tasks } from "../support/program.js"

const options = { key: "job", source: "s", size: 130 }

/** A source that names each prompt by its place, and a sink that counts what it is handed by key. */
const services = (
  refuses: (index: number) => boolean = () => false,
  requestOf = (index: number): RWKVDurable.Request => ({ prompt: `${index}`, maxTokens: 100 })
) => {
  const written = new Map<string, number>()
  const texts: Array<string> = []
  const pages: Array<RWKVDurable.BatchPage> = []
  const layer = Layer.merge(
    Layer.succeed(RWKVDurable.Source, {
      page: (_source, page) =>
        Effect.sync(() => {
          pages.push(page)
          return Array.from({ length: page.limit }, (_, place) => requestOf(page.offset + place))
        })
    }),
    Layer.succeed(RWKVDurable.Sink, {
      write: ({ index, key, text }) =>
        refuses(index) ? Effect.fail("the disk is full") : Effect.sync(() => {
          written.set(key, (written.get(key) ?? 0) + 1)
          texts.push(text)
        })
    })
  )
  return { written, texts, pages, workflows: Layer.provide(RWKVDurable.layerBatch, layer) }
}

const echo: Emulator.Options = { reply: ({ text }) => `<${text}>` }

const slow: Emulator.Options = { reply: () => ({ tokens: ["a"], end: "loop" }), pulse: "1 second", tokensPerPulse: 10 }

const collected = <A, E, R>(stream: Stream.Stream<A, E, R>) => Effect.map(Stream.runCollect(stream), Chunk.toArray)

describe("a batch", () => {
  it.live("hands each result to the sink once, by a key of its own, and leaves no task", () =>
    Effect.gen(function*() {
      const { pages, texts, workflows, written } = services()
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch(options)
        expect(yield* batch.wait).toEqual({ done: 130, failed: 0, cancelled: false })
        expect(yield* collected(batch.failures)).toEqual([])
      }).pipe(Effect.provide(memory(workflows)))
      expect(written).toEqual(new Map(Array.from({ length: 130 }, (_, index) => [`job/${index}`, 1])))
      expect(texts.toSorted()).toEqual(Array.from({ length: 130 }, (_, index) => `<${index}>`).toSorted())
      expect(pages).toEqual([{ offset: 0, limit: 64 }, { offset: 64, limit: 64 }, { offset: 128, limit: 2 }])
      expect(yield* tasks).toEqual([])
    }).pipe(against(echo)))

  it.live("is joined by whoever names its key", () =>
    Effect.gen(function*() {
      const { workflows } = services()
      const few = { ...options, size: 3 }
      yield* Effect.gen(function*() {
        const [one, other] = [yield* RWKVDurable.batch(few), yield* RWKVDurable.batch(few)]
        expect(one.executionId).toBe(other.executionId)
        expect(yield* one.wait).toEqual(yield* other.wait)
      }).pipe(Effect.provide(memory(workflows)))
      expect(yield* count("POST tmp")).toBe(3)
    }).pipe(against(echo)))

  it.live("never has more tasks under way than it may, and tells how far it is", () =>
    Effect.gen(function*() {
      const { workflows } = services()
      let most = 0
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch({ ...options, size: 66, inFlight: 10 })
        const watch = Effect.map(running, (n) => {
          most = Math.max(most, n)
        })
        yield* Effect.forkScoped(Effect.forever(Effect.delay(watch, "1 second")))
        const told = yield* collected(batch.progress({ every: "30 seconds" }))
        expect(told[0]).toEqual({ done: 0, failed: 0, size: 66, ended: false })
        expect(told.at(-1)).toEqual({ done: 66, failed: 0, size: 66, ended: true })
        expect(told.length).toBeGreaterThan(2)
      }).pipe(Effect.provide(memory(workflows)))
      expect(most).toBeLessThanOrEqual(10)
      expect(most).toBeGreaterThan(5)
    }).pipe(against(slow)))

  it.live("lists what failed, and why, and does that alone again in another round", () =>
    Effect.gen(function*() {
      let full = true
      const bad = { prompt: "", maxTokens: 5 }
      const { pages, workflows, written } = services(
        (index) => full && index === 70,
        (index) => full && index === 3 ? bad : { prompt: `${index}`, maxTokens: 20 }
      )
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch({ ...options, size: 72 })
        expect(yield* batch.wait).toEqual({ done: 70, failed: 2, cancelled: false })
        expect(yield* collected(batch.failures)).toEqual([
          { index: 3, reason: "RWKVValidationError", message: expect.stringContaining("request.prompt") },
          { index: 70, reason: "Sink", message: "the disk is full" }
        ])
        full = false
        const again = yield* batch.retry
        expect([again.round, yield* again.wait]).toEqual([1, { done: 2, failed: 0, cancelled: false }])
        expect(yield* collected(again.failures)).toEqual([])
        expect((yield* collected(again.progress())).at(-1)).toMatchObject({ done: 72, failed: 0 })
        expect(written.size).toBe(72)
        expect(pages.length).toBe(4)
        expect((yield* (yield* again.retry).wait).done).toBe(0)
      }).pipe(Effect.provide(memory(workflows)))
    }).pipe(against(echo)))

  it.live("lists the prompts of pages that are no lists", () =>
    Effect.gen(function*() {
      const source = Layer.succeed(RWKVDurable.Source, { page: () => Effect.succeed(null as never) })
      const sink = Layer.succeed(RWKVDurable.Sink, { write: () => Effect.void })
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch({ ...options, size: 2 })
        expect(yield* batch.wait).toEqual({ done: 0, failed: 2, cancelled: false })
        expect((yield* collected(batch.failures))[0]).toEqual({ index: 0, reason: "Source", message: "is no list" })
      }).pipe(Effect.provide(memory(Layer.provide(RWKVDurable.layerBatch, Layer.merge(source, sink)))))
    }).pipe(against(echo)))

  it.live("lists the prompts of pages that the source does not give", () =>
    Effect.gen(function*() {
      const source = Layer.succeed(RWKVDurable.Source, {
        page: (_source, { offset }) =>
          offset > 0 ? Effect.dieMessage("no such table") : Effect.succeed([{ prompt: "a", maxTokens: 5 }])
      })
      const sink = Layer.succeed(RWKVDurable.Sink, { write: () => Effect.void })
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch({ ...options, size: 66 })
        expect(yield* batch.wait).toEqual({ done: 1, failed: 65, cancelled: false })
        const failures = yield* collected(batch.failures)
        expect([failures[0]?.message, failures.at(-1)]).toEqual([
          "the page holds no request for it",
          { index: 65, reason: "Source", message: "no such table" }
        ])
      }).pipe(Effect.provide(memory(Layer.provide(RWKVDurable.layerBatch, Layer.merge(source, sink)))))
    }).pipe(against(echo)))

  it.live("is refused with options that are out of range", () =>
    Effect.gen(function*() {
      for (const wrong of [{ size: 0 }, { size: 1_000_001 }, { inFlight: 1.5 }, { recreate: -1 }]) {
        const error = yield* Effect.flip(RWKVDurable.batch({ ...options, ...wrong }))
        expect(error).toMatchObject({ operation: "RWKVDurable.batch", issues: [{ path: Object.keys(wrong)[0] }] })
      }
    }).pipe(Effect.provide(memory<never>(Layer.empty)), against()))
})

describe("a batch that is cancelled", () => {
  it.live("stops all its tasks within ten seconds, begins no more, and is taken up again by another round", () =>
    Effect.gen(function*() {
      const { workflows, written } = services(
        undefined,
        (index) => ({ prompt: `${index}`, maxTokens: 50 + index % 40 })
      )
      yield* Effect.gen(function*() {
        const batch = yield* RWKVDurable.batch({ ...options, size: 80, inFlight: 9 })
        yield* until(Effect.sync(() => written.size > 9))
        yield* batch.cancel
        yield* Effect.sleep("10 seconds")
        expect([yield* running, yield* tasks]).toEqual([0, []])
        const { cancelled, done, failed } = yield* batch.wait
        expect(cancelled).toBe(true)
        expect(done).toBe(written.size)
        expect(failed).toBeLessThanOrEqual(6 * 64)
        expect(yield* batch.failures.pipe(Stream.runHead)).toMatchObject({ value: { reason: "TaskCancelledError" } })
        const again = yield* batch.retry
        expect(yield* again.wait).toEqual({ done: 80 - done, failed: 0, cancelled: false })
        expect(Math.max(...written.values())).toBe(1)
      }).pipe(Effect.provide(memory(workflows)))
    }).pipe(against(slow)))
})

describe("a batch of which the process ends", () => {
  it.live("goes on in the next one: every result by its key, and no task is made twice that was recorded", () =>
    Effect.gen(function*() {
      const { workflows, written } = services(
        undefined,
        (index) => ({ prompt: `${index}`, maxTokens: 50 + index % 40 })
      )
      const { begin } = yield* processes<never>(workflows)
      const small = { ...options, size: 40, inFlight: 8 }
      for (const atLeast of [5, 20]) {
        const process = yield* begin
        const batch = yield* process.within(RWKVDurable.batch(small))
        yield* until(Effect.sync(() => written.size >= atLeast))
        yield* process.end
        expect(yield* running).toBeGreaterThan(0)
        expect(batch.round).toBe(0)
      }
      const last = yield* begin
      const batch = yield* last.within(RWKVDurable.batch(small))
      expect(yield* batch.wait).toEqual({ done: 40, failed: 0, cancelled: false })
      yield* last.end
      expect(written.size).toBe(40)
      expect([yield* count("POST tmp"), yield* count("POST stop"), yield* tasks]).toEqual([40, 0, []])
    }).pipe(against(slow)))
})
