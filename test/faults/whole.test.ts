/** Bodies and streams as text: whole where a runtime has no streams, and byte for byte what the server sent. */
import { FetchHttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Stream } from "effect"
import { Polling, RWKV, type RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import * as Tcp from "../support/tcp.js"
import { id, request, respond, tidy, verbs } from "../support/verbs.js"
import * as wire from "../support/wire.js"

/** What React Native's fetch resolves with: no stream, and `bytes` as the runtime allows. */
const bodiless = (response: Response, bytes: "arrayBuffer" | "text only" | "used up by arrayBuffer") => {
  let used = false
  const once = <A>(read: () => Promise<A>) => () => {
    const again = used
    used = true
    return again ? Promise.reject(new TypeError("Already read")) : read()
  }
  const fails = () => Promise.reject(new Error("FileReader.readAsArrayBuffer is not implemented"))
  const own: Readonly<Record<string, unknown>> = {
    body: undefined,
    text: once(() => response.text()),
    arrayBuffer: bytes === "arrayBuffer"
      ? once(() => response.arrayBuffer())
      : bytes === "text only"
      ? undefined
      : once(fails)
  }
  return new Proxy(response, {
    get: (target, key) => typeof key === "string" && key in own ? own[key] : Reflect.get(target, key, target)
  })
}

const over = (fetch: typeof globalThis.fetch, options: RWKVConfig.Options = {}) =>
  RWKV.layer({ retry: Polling.noRetry, ...options }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch))
  )

const withLength = (response: Response, has: boolean) => {
  if (!has) response.headers.delete("content-length")
  return response
}

type Answer = (path: string, body: string) => Response

const fetchOf = (answer: Answer, bytes: Parameters<typeof bodiless>[1], has = true): typeof globalThis.fetch =>
(
  input,
  init = {}
) => {
  const body = init.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : ""
  return Promise.resolve(bodiless(withLength(answer(new URL(String(input)).pathname, body), has), bytes))
}

describe("a runtime whose answers have no body stream", () => {
  for (const bytes of ["arrayBuffer", "text only", "used up by arrayBuffer"] as const) {
    for (const has of [true, false]) {
      const what = `${bytes}, ${has ? "with" : "without"} a content-length`
      it.live(`F109 every verb works on the whole text (${what})`, () =>
        Effect.gen(function*() {
          for (const verb of Object.values({ ...verbs, ...tidy })) yield* Effect.asVoid(verb)
          expect((yield* TaskService.wait(id, { by: "subscription" })).text).toBe("text")
          expect((yield* TaskService.wait(id, { by: "polling" })).text).toBe("text")
          expect((yield* TaskService.run(request)).text).toBe("text")
          for (const transport of ["subscribe", "direct"] as const) {
            expect(yield* Stream.mkString(StreamService.create(request, { transport }))).toBe("text")
          }
        }).pipe(Effect.provide(over(fetchOf(respond, bytes, has)))))

      it.live(`F109 the limits of size hold (${what})`, () =>
        Effect.gen(function*() {
          const long: Answer = (path) =>
            path.includes("/stream")
              ? wire.events(`{"data": "${"x".repeat(5000)}"}`, "[DONE]")
              : wire.json({ ...wire.created, result: "x".repeat(5000), finished: true })
          const limits = { maxResponseSize: 1000, maxFrameSize: 1000 }
          yield* Effect.gen(function*() {
            expect(yield* Effect.flip(TaskService.result(id))).toMatchObject({ _tag: "RWKVDecodeError" })
            expect(yield* Effect.flip(Stream.runDrain(StreamService.subscribe(id)))).toMatchObject({
              _tag: "RWKVDecodeError"
            })
          }).pipe(Effect.provide(over(fetchOf(long, bytes, has), limits)))
        }))
    }
  }
})

const json = (text: string) => new TextEncoder().encode(JSON.stringify({ ...Tcp.resultOf("@"), result: text }))

/** A result whose text is these bytes. */
const resultOf = (...bytes: ReadonlyArray<number>) => {
  const whole = json("@")
  const at = whole.indexOf(64)
  return Uint8Array.from([...whole.subarray(0, at), ...bytes, ...whole.subarray(at + 1)])
}

const chunked = (body: Uint8Array) => [
  Tcp.write(Tcp.head("200 OK", { "content-type": "application/json", "transfer-encoding": "chunked" })),
  Tcp.write(Tcp.chunk(body)),
  Tcp.write(Tcp.lastChunk)
]

/** The bytes of 🌊, of the World vocabulary's tokens, of old encodings. */
const halves: Readonly<Record<string, ReadonlyArray<number>>> = {
  "the first byte of four": [0xf0],
  "three bytes of four, as long as U+FFFD": [0xf0, 0x9f, 0x8c],
  "a byte that continues nothing": [0x41, 0x8c, 0x42],
  "half of a surrogate pair as bytes": [0xed, 0xa0, 0xbd],
  "a letter of Latin-1": [0xe9],
  "an overlong letter": [0xc1, 0x81]
}

describe("half a character in a result", () => {
  for (const [what, bytes] of Object.entries(halves)) {
    for (
      const [how, play] of [["whole", (body: Uint8Array) => Tcp.answer("200 OK", body)], ["chunked", chunked]] as const
    ) {
      Tcp.overBoth(`F110 ${what}: a typed failure, not U+FFFD (${how})`, (http) =>
        Effect.gen(function*() {
          const server = yield* Tcp.serve(Tcp.task("text", { get_result: () => play(resultOf(...bytes)) }))
          yield* Effect.gen(function*() {
            for (const effect of [TaskService.result(Tcp.id), TaskService.wait(Tcp.id), TaskService.run(request)]) {
              expect(yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))).toMatchObject({
                _tag: "RWKVDecodeError",
                description: "bytes that are not UTF-8"
              })
            }
          }).pipe(Tcp.client(server, http))
        }))
    }
  }

  it.effect("F110 half of a surrogate pair, escaped: a typed failure that names the path", () =>
    Effect.gen(function*() {
      for (const half of ["\\ud83c", "\\udf0a", "a\\udf0a\\ud83cb"]) {
        const body = JSON.stringify({ ...wire.created, result: "@", finished: true }).replace("@", half)
        const { http } = yield* wire.make(() => wire.text(body))
        expect(yield* wire.failure(http.result(id))).toMatchObject({
          _tag: "RWKVDecodeError",
          description: "result: expected text without lone surrogates"
        })
      }
    }))

  it.effect("F110 a refusal in Latin-1 is told all the same", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => new Response(Uint8Array.from([0x6e, 0xe9, 0x65]), { status: 500 }))
      expect(yield* wire.failure(http.result(id))).toMatchObject({ _tag: "RWKVServerError", description: "n\uFFFDe" })
    }))
})

const mark = "\uFEFF"
const asLatin1 = "\u00ef\u00bb\u00bf"
const texts = [
  mark,
  `${mark}a`,
  mark + mark,
  `a${mark}`,
  asLatin1,
  `${asLatin1}a`,
  mark + asLatin1,
  `\uFFFD${mark}`,
  " a"
]

describe("marks at the beginning", () => {
  for (const before of ["", mark]) {
    Tcp.overBoth(
      `F110 a text that begins with a mark is delivered as it is${before && ", after a mark of its own"}`,
      (http) =>
        Effect.gen(function*() {
          for (const text of texts) {
            for (const raw of [true, false]) {
              const payload = JSON.stringify(text)
              const data = raw
                ? payload
                : payload.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
              const stream = `${before}data: {"data": ${data}}\n\n${Tcp.done}`
              const head = `${before}data: {"task_id": "${Tcp.id}", "prefill_time": 0.01}\n\n`
              const body = before + JSON.stringify({ ...Tcp.resultOf(""), result: "@" }).replace("\"@\"", () => data)
              const server = yield* Tcp.serve(Tcp.task(text, {
                stream:
                  () => [Tcp.write(Tcp.streamHead), ...Tcp.pieces(Tcp.chunk(stream), 5), Tcp.write(Tcp.lastChunk)],
                get_result: () => Tcp.answer("200 OK", body),
                tmp: (one) =>
                  one.body.includes("stream")
                    ? [
                      Tcp.write(Tcp.streamHead),
                      Tcp.write(Tcp.chunk(head + stream.slice(before.length))),
                      Tcp.write(Tcp.lastChunk)
                    ]
                    : Tcp.answer("200 OK", before + JSON.stringify(Tcp.resultOf("", false)))
              }))
              yield* Effect.gen(function*() {
                expect((yield* TaskService.result(Tcp.id)).text).toBe(text)
                for (const by of ["polling", "subscription"] as const) {
                  expect((yield* TaskService.wait(Tcp.id, { by })).text).toBe(text)
                }
                for (const transport of ["subscribe", "direct"] as const) {
                  expect(yield* Stream.mkString(StreamService.create(request, { transport }))).toBe(text)
                }
              }).pipe(Tcp.client(server, http))
            }
          }
        })
    )
  }

  const character = FastCheck.constantFrom(mark, "\u00ef", "\u00bb", "\u00bf", "a", "\uFFFD", "🌊", "\n", "\"")
  const text = FastCheck.array(character, { minLength: 1, maxLength: 8 }).map((all) => all.join(""))
  const numRuns = Number(process.env["FC_RUNS"] ?? 50)

  it.effect.prop(
    "F110 any text comes as it was sent, over a body and over a stream cut anywhere",
    { text, size: FastCheck.integer({ min: 1, max: 9 }) },
    ({ size, text }) =>
      Effect.gen(function*() {
        const bytes = new TextEncoder().encode(`data: {"data": ${JSON.stringify(text)}}\n\ndata: [DONE]\n\n`)
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
          bytes.slice(at * size, (at + 1) * size))
        const { http } = yield* wire.make(({ path }) =>
          path.endsWith("/stream")
            ? new Response(Stream.toReadableStream(Stream.fromIterable(chunks)), {
              headers: { "content-type": "text/event-stream" }
            })
            : wire.json({ ...wire.created, result: text, finished: true })
        )
        expect((yield* http.result(id)).text).toBe(text === "\uFFFD" ? "" : text)
        const frames = yield* Stream.runCollect(http.stream(id))
        expect(
          Array.from(frames, (frame) =>
            frame._tag === "Data" ? frame.text : "").join("")
        ).toBe(text)
      }),
    { fastCheck: { numRuns } }
  )
})
