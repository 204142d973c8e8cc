import { HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import { Polling, RWKV, StreamService } from "effect-rwkv"
import { created, json, ok, platform } from "../../support/wire.js"

/** A server without fibers of its own: 3 reads of 64 frames each, and the whole text. */
const frames = 64
const reads = 3
const Wire = Layer.suspend(() => {
  const event = (payload: unknown) => `data: ${JSON.stringify(payload)}\n\n`
  const read = new TextEncoder().encode(event({ data: "word " }).repeat(frames))
  const { client } = platform(({ path }) => {
    if (!path.endsWith("/stream")) {
      return path.endsWith("/get_result")
        ? json({ ...created, result: "word ".repeat(frames * reads), finished: true, gen_time: 1 })
        : ok({ method: "GET", url: path, path, headers: {}, body: "" }, HttpClientRequest.get(path))
    }
    let left = reads
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(left > 0 ? read : new TextEncoder().encode("data: [DONE]\n\n"))
        if (left-- === 0) controller.close()
      }
    })
    return new Response(body, { headers: { "content-type": "text/event-stream" } })
  })
  return Layer.succeed(HttpClient.HttpClient, client)
})

const wired = Layer.provide(RWKV.layer(), Wire)

describe("what a stream pulls", () => {
  it.effect("a pull and a piece of text for each read, however many frames it brings", () =>
    Effect.gen(function*() {
      const chunks: Array<ReadonlyArray<string>> = []
      const texts = StreamService.subscribe("TMP_1")
      yield* Stream.runForEachChunk(texts, (chunk) => Effect.sync(() => chunks.push(Chunk.toReadonlyArray(chunk))))
      expect(chunks).toEqual(Array.from({ length: reads }, () => ["word ".repeat(frames)]))
    }).pipe(Effect.provide(wired)))
})

describe("a stream that is cut while its consumer is busy", () => {
  it.effect("delivers what came before, and tells all of it in the error", () =>
    Effect.gen(function*() {
      const event = (data: string) => new TextEncoder().encode(`data: ${JSON.stringify({ data })}\n\n`)
      const { client } = platform(() => {
        const pieces = ["abc", "def"]
        const body = new ReadableStream<Uint8Array>({
          pull: (controller) => {
            const piece = pieces.shift()
            if (piece === undefined) controller.close()
            else controller.enqueue(event(piece))
          }
        })
        return new Response(body, { headers: { "content-type": "text/event-stream" } })
      })
      const live = Layer.provide(
        RWKV.layer({ retry: Polling.noRetry }),
        Layer.succeed(HttpClient.HttpClient, client)
      )
      const told: Array<string> = []
      const busy = Effect.repeatN(Effect.yieldNow(), 100)
      const error = yield* StreamService.subscribe("TMP_1").pipe(
        Stream.runForEach((text) => {
          told.push(text)
          return busy
        }),
        Effect.flip,
        Effect.provide(live)
      )
      expect(told.join("")).toBe("abcdef")
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", text: "abcdef" })
    }))
})
