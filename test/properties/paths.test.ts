/**
 * The text of a subscription is the task's text, on every path that its bytes can take: the callbacks of a web stream, those of
 * Node's Readable, and a Stream of frames; however the bytes are cut, and whoever takes them. FC_RUNS sets the number of runs.
 */
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck as fc, Layer, Option, Runtime, Stream } from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../support/clock.js"
import * as Tcp from "../support/tcp.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)

type Text = Stream.Stream<string, RWKVError.RWKVError, RWKV.RWKV>

const yields = Effect.yieldNow()

/** Ways to take a stream: the texts they deliver, and whether that is all of it. */
const consumer = fc.oneof(
  fc.constant({ whole: true, consume: (text: Text) => Stream.runCollect(text) }),
  fc.nat(3).map((busy) => ({
    whole: true,
    consume: (text: Text) =>
      Effect.gen(function*() {
        let all = Chunk.empty<string>()
        yield* Stream.runForEach(text, (piece) => {
          all = Chunk.append(all, piece)
          return Effect.repeatN(yields, busy)
        })
        return all
      })
  })),
  fc.integer({ min: 1, max: 6 }).map((count) => ({
    whole: false,
    consume: (text: Text) => Stream.runCollect(Stream.take(text, count))
  })),
  fc.constantFrom<Array<number | "unbounded">>(1, 2, 16, "unbounded").map((capacity) => ({
    whole: true,
    consume: (text: Text) => Stream.runCollect(Stream.buffer(text, { capacity }))
  })),
  fc.integer({ min: 1, max: 3 }).map((size) => ({
    whole: true,
    consume: (text: Text) => Stream.runCollect(Stream.rechunk(text, size))
  })),
  fc.constant({
    whole: true,
    consume: (text: Text) =>
      Effect.scoped(Effect.flatMap(Stream.toPull(text), (pull) => {
        const next = (all: Chunk.Chunk<string>): Effect.Effect<Chunk.Chunk<string>, RWKVError.RWKVError, RWKV.RWKV> =>
          Effect.matchEffect(pull, {
            onFailure: Option.match({ onNone: () => Effect.succeed(all), onSome: Effect.fail }),
            onSuccess: (more) => Effect.suspend(() => next(Chunk.appendAll(all, more)))
          })
        return next(Chunk.empty())
      }))
  })
)

const character = fc.constantFrom(
  ..."abc \n\"\\{}:",
  "漢",
  "é",
  "😀",
  "👩‍👩‍👧",
  "\u2028",
  "\u0085",
  "\uFEFF",
  "\t",
  "data: "
)

const frame = fc.array(character, { minLength: 1, maxLength: 30 }).map((parts) => parts.join(""))

const taken = (text: string, whole: boolean, pieces: Chunk.Chunk<string>) => {
  const joined = Chunk.join(pieces, "")
  if (whole) expect(joined).toBe(text)
  else expect(text.startsWith(joined)).toBe(true)
  expect(Chunk.every(pieces, (piece) => piece !== "" && piece.isWellFormed())).toBe(true)
}

const clients = [...Tcp.https, ["node:http", NodeHttpClient.layer] as const]

/** Hides what an answer is made of, so that it is read by its Stream. */
const wrapping = HttpClient.transformResponse(
  Effect.map((response) => {
    const wrapped: typeof response = Object.create(response)
    return wrapped
  })
)

const paths = [
  ...clients.map(([name, http]) => [name, http, {}] as const),
  ["a wrapped answer of fetch", Tcp.https[0]?.[1] ?? NodeHttpClient.layerUndici, { transformClient: wrapping }] as const
]

describe("a subscription over a socket", () => {
  for (const [name, http, options] of paths) {
    it.live(
      `delivers the text, however its bytes are cut and whoever takes it (${name})`,
      () =>
        Effect.gen(function*() {
          let text = ""
          let body: ReadonlyArray<Tcp.Step> = []
          const server = yield* Tcp.serve((request, index) =>
            Tcp.task(text, { stream: () => [Tcp.write(Tcp.streamHead), ...body] })(request, index)
          )
          const program = Effect.gen(function*() {
            const run = Runtime.runPromise(yield* Effect.runtime<RWKV.RWKV>())
            yield* Effect.promise(() =>
              fc.assert(
                fc.asyncProperty(
                  fc.array(frame, { maxLength: 12 }),
                  fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
                  fc.integer({ min: 7, max: 400 }),
                  consumer,
                  (frames, sizes, segment, { consume, whole }) => {
                    text = frames.join("")
                    const events = new TextEncoder().encode(frames.map(Tcp.data).join("") + Tcp.done)
                    const chunks: Array<Uint8Array> = []
                    for (let at = 0; at < events.length;) {
                      const size = sizes[chunks.length % sizes.length] ?? 1
                      chunks.push(Tcp.chunk(events.subarray(at, at + size)))
                      at += size
                    }
                    body = Tcp.pieces(Buffer.concat([...chunks, Buffer.from(Tcp.lastChunk)]), segment)
                    return run(Effect.map(
                      consume(StreamService.subscribe(Tcp.id)),
                      (pieces) => taken(text, whole, pieces)
                    ))
                  }
                ),
                { numRuns: Math.ceil(numRuns / 4) }
              )
            )
          })
          yield* program.pipe(Tcp.client(server, http, options))
          expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
        }).pipe(Effect.scoped),
      1_000_000
    )
  }
})

describe("a subscription in process", () => {
  it("delivers the text, however it is generated and whoever takes it", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 12 }),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        consumer,
        (frames, tokensPerPulse, wrapped, { consume, whole }) => {
          const text = frames.join("")
          return Effect.gen(function*() {
            const { id } = yield* TaskService.create({ prompt: "a" })
            taken(text, whole, yield* consume(StreamService.subscribe(id)))
          }).pipe(
            Effect.provide(Layer.provide(
              RWKV.layer(wrapped ? { transformClient: wrapping } : {}),
              Emulator.layer({ reply: () => text, tokensPerPulse })
            )),
            Clock.run(),
            Effect.runPromise
          )
        }
      ),
      { numRuns }
    ), 1_000_000)
})
