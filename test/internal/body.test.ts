import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck as fc, Fiber, Scope } from "effect"
import { Readable } from "node:stream"
import * as Body from "../../src/internal/wire/body.js"
import {
  bytesOf,
  failures,
  fromWeb,
  isNode,
  reading,
  type Source,
  sources,
  turns,
  withSource,
  wrapped
} from "./support/sources.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)
const encoder = new TextEncoder()
const bytes = (...all: ReadonlyArray<number>) => Uint8Array.from(all)

/** What a source is told to do, and its reader. */
type Act =
  | { readonly _tag: "Push"; readonly bytes: Uint8Array }
  | { readonly _tag: "Pause" }
  | { readonly _tag: "Resume" }
  | { readonly _tag: "Turn" }

const act = fc.oneof<Array<fc.MaybeWeightedArbitrary<Act>>>(
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes): Act => ({ _tag: "Push", bytes })) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Array<Act>>({ _tag: "Pause" }, { _tag: "Resume" }, { _tag: "Turn" })
  }
)

const perform = (source: Source, reading: Body.Reading, act: Act) => {
  switch (act._tag) {
    case "Push":
      return Effect.sync(() => source.push(act.bytes))
    case "Pause":
      return Effect.sync(reading.pause)
    case "Resume":
      return Effect.sync(reading.resume)
    case "Turn":
      return turns
  }
}

for (const [what, make] of sources) {
  describe(`the body of ${what}`, () => {
    it.scoped("an error in the middle is told as the cause, after what came before, and ends the reading", () =>
      Effect.gen(function*() {
        const source = make()
        const told = yield* reading(source.response)
        source.push(bytes(1, 2))
        yield* turns
        const error = new Error("reset")
        source.fail(error)
        yield* turns
        expect(bytesOf(told)).toEqual([1, 2])
        expect(failures(told)).toEqual([error])
      }))

    it.scoped("a body that has failed before it is read tells that failure", () =>
      Effect.gen(function*() {
        const source = make()
        const error = new Error("reset")
        source.fail(error)
        const told = yield* reading(source.response)
        yield* turns
        expect(told.chunks).toEqual([])
        expect(failures(told)).toEqual([error])
      }))

    it.scoped("a listener that throws ends the reading with a defect", () =>
      Effect.gen(function*() {
        const source = make()
        const told = yield* reading(source.response, {
          bytes: () => {
            throw new Error("mistake")
          }
        })
        source.push(bytes(1))
        source.push(bytes(2))
        yield* turns
        source.push(bytes(3))
        source.end()
        yield* turns
        expect(told.chunks).toHaveLength(1)
        expect(told.ends).toEqual([Cause.die(new Error("mistake"))])
      }))

    it.scoped("a listener that throws at the end fails with a defect", () =>
      Effect.gen(function*() {
        const source = make()
        const told = yield* reading(source.response, {
          end: () => {
            throw new Error("mistake")
          }
        })
        source.end()
        yield* turns
        expect(told.ends).toEqual(["end", Cause.die(new Error("mistake"))])
      }))

    it.effect("to cancel lets the connection go, and nothing more is handed over", () =>
      Effect.gen(function*() {
        const source = make()
        const scope = yield* Scope.make()
        const told = yield* Scope.extend(reading(source.response), scope)
        source.push(bytes(1))
        yield* turns
        told.cancel()
        yield* Scope.close(scope, Exit.void)
        yield* turns
        expect(source.left()).toBe(true)
        expect(bytesOf(told)).toEqual([1])
        expect(told.ends.includes("end") && isNode(what)).toBe(false)
      }))

    it.scoped("what is paused leaves the bytes where they are, and resumed hands them over in order", () =>
      Effect.gen(function*() {
        const source = make()
        const told = yield* reading(source.response)
        source.push(bytes(1))
        yield* turns
        told.pause()
        for (let i = 2; i < 20; i++) source.push(bytes(i))
        yield* turns
        // What was asked for before may still come.
        expect(told.chunks.length).toBeLessThanOrEqual(isNode(what) ? 1 : 3)
        expect(source.waiting()).toBeGreaterThan(10)
        source.end()
        yield* turns
        expect(told.ends).toEqual([])
        told.resume()
        yield* turns
        expect(bytesOf(told)).toEqual(Array.from({ length: 19 }, (_, i) => i + 1))
        expect(told.ends).toEqual(["end"])
      }))

    it.scoped("the listener may pause, resume and cancel while it is told", () =>
      Effect.gen(function*() {
        const source = make()
        let own: Body.Reading | undefined
        const told = yield* reading(source.response, {
          bytes: () => {
            own?.pause()
            own?.resume()
            own?.pause()
          }
        })
        own = told
        for (let i = 1; i < 10; i++) {
          source.push(bytes(i))
          told.resume()
          yield* turns
        }
        source.end()
        for (let i = 1; i < 10; i++) {
          told.resume()
          yield* turns
        }
        expect(bytesOf(told)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
        expect(told.ends).toEqual(["end"])
      }))

    it.scoped("an empty body ends", () =>
      Effect.gen(function*() {
        const source = make()
        source.end()
        const told = yield* reading(source.response)
        yield* turns
        expect(told.chunks).toEqual([])
        expect(told.ends).toEqual(["end"])
      }))

    it.effect("as text: an error in the middle fails with it", () =>
      Effect.gen(function*() {
        const source = make()
        const fiber = yield* Effect.fork(Body.text(source.response, 100, () => "too large"))
        yield* turns
        source.push(encoder.encode("text"))
        yield* turns
        const error = new Error("reset")
        source.fail(error)
        yield* turns
        expect(yield* Effect.flip(Fiber.join(fiber))).toBe(error)
      }))

    it.effect("as text: the limit counts bytes, and the rest is not read", () =>
      Effect.gen(function*() {
        const within = make()
        within.push(encoder.encode("éé"))
        within.end()
        expect(yield* Body.text(within.response, 4, () => "too large")).toBe("éé")
        const source = make()
        source.push(encoder.encode("éé"))
        expect(yield* Effect.flip(Body.text(source.response, 3, () => "too large"))).toBe("too large")
        yield* turns
        expect(source.left()).toBe(true)
      }))

    it.effect("as text: an interrupt lets the connection go", () =>
      Effect.gen(function*() {
        const source = make()
        const fiber = yield* Effect.fork(Body.text(source.response, 100, () => "too large"))
        yield* turns
        source.push(encoder.encode("text"))
        yield* turns
        yield* Fiber.interrupt(fiber)
        yield* turns
        expect(source.left()).toBe(true)
      }))

    it("the same bytes and one end, however they are cut and wherever the reading is paused", () =>
      fc.assert(
        fc.asyncProperty(fc.array(act, { maxLength: 40 }), (acts) =>
          Effect.gen(function*() {
            const source = make()
            const told = yield* reading(source.response)
            for (const act of acts) yield* perform(source, told, act)
            source.end()
            told.resume()
            yield* turns
            const pushed = acts.flatMap((act) => act._tag === "Push" ? Array.from(act.bytes) : [])
            expect(bytesOf(told)).toEqual(pushed)
            expect(told.ends).toEqual(["end"])
          }).pipe(Effect.scoped, Effect.runPromise)),
        { numRuns }
      ), 1_000_000)

    it("the same text, cut at any byte", () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom("a", "é", "漢", "😀", "\uFEFF", "\r\n"), { maxLength: 20 }),
          fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }),
          (characters, sizes) =>
            Effect.gen(function*() {
              const text = `a${characters.join("")}`
              const all = encoder.encode(text)
              const source = make()
              for (let at = 0, i = 0; at < all.length; at += sizes[i++ % sizes.length] ?? 1) {
                source.push(all.subarray(at, at + (sizes[i % sizes.length] ?? 1)))
              }
              source.end()
              expect(yield* Body.text(source.response, all.length, () => "too large")).toBe(text)
            }).pipe(Effect.runPromise)
        ),
        { numRuns }
      ), 1_000_000)
  })
}

describe("the body of an answer", () => {
  it.scoped("a Readable that was destroyed before tells its error, or that there was none", () =>
    Effect.gen(function*() {
      for (const error of [new Error("reset"), undefined]) {
        const body = new Readable({ read: () => {} })
        body.on("error", () => {})
        body.destroy(error)
        yield* turns
        const told = yield* reading(withSource({ body }))
        expect(failures(told)).toEqual([error ?? null])
        const text = yield* Effect.flip(Body.text(withSource({ body }), 100, () => "too large"))
        expect(text).toBe(error ?? null)
        // What is over can be paused, resumed and cancelled.
        told.pause()
        told.resume()
        told.cancel()
      }
    }))

  it.scoped("a Readable that closes without its end has failed", () =>
    Effect.gen(function*() {
      const body = new Readable({ read: () => {} })
      const told = yield* reading(withSource(body))
      body.push(bytes(1))
      yield* turns
      body.destroy()
      yield* turns
      expect(bytesOf(told)).toEqual([1])
      expect(failures(told)).toEqual([null])
    }))

  it.scoped("without a body at all it is empty", () =>
    Effect.gen(function*() {
      for (const response of [fromWeb(new Response(null, { status: 204 })), wrapped(fromWeb(new Response(null)))]) {
        const told = yield* reading(response)
        yield* turns
        expect(told.chunks).toEqual([])
        expect(told.ends).toEqual(["end"])
        expect(yield* Body.text(response, 0, () => "too large")).toBe("")
      }
    }))

  it.scoped("one that is locked fails by its Stream", () =>
    Effect.gen(function*() {
      const response = new Response("text")
      response.body?.getReader()
      const told = yield* reading(fromWeb(response))
      yield* turns
      expect(told.chunks).toEqual([])
      expect(told.ends).toHaveLength(1)
      expect(told.ends).not.toContain("end")
    }))

  it.scoped("a source that is nothing known is read by its Stream", () =>
    Effect.gen(function*() {
      for (const source of [undefined, null, 1, {}, { body: {} }, { on: 1, read: 1 }, { getReader: 1 }]) {
        const response = Object.create(fromWeb(new Response("text")), { source: { value: source } })
        Object.defineProperty(response, "stream", { value: fromWeb(new Response("text")).stream })
        const told = yield* reading(response)
        yield* turns
        expect(bytesOf(told)).toEqual(Array.from(encoder.encode("text")))
        expect(told.ends).toEqual(["end"])
      }
    }))
})
