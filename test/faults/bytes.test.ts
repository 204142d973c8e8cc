import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { StreamService } from "effect-rwkv"
import {
  against,
  byBoth,
  FaultKind,
  inject,
  long,
  onStream,
  onText,
  request,
  says,
  textOf
} from "../support/program.js"
import * as Tcp from "../support/tcp.js"

const encoder = new TextEncoder()

/** Plays these bytes as the body of the stream, in pieces, and reads what the SDK makes of them. */
const read = (
  http: Tcp.Http,
  body: string | Uint8Array,
  options: {
    readonly text?: string
    readonly size?: number
    readonly end?: ReadonlyArray<Tcp.Step>
    readonly maxFrameSize?: number
    readonly head?: string
  } = {}
) =>
  Effect.gen(function*() {
    const { end = [Tcp.write(Tcp.lastChunk)], head = Tcp.streamHead, maxFrameSize, size = 1e9, text = "" } = options
    const bytes = typeof body === "string" ? encoder.encode(body) : body
    const chunks: Array<Tcp.Step> = []
    for (let at = 0; at < bytes.length; at += size) {
      chunks.push(Tcp.write(Tcp.chunk(bytes.subarray(at, at + size))))
      if (size < 100) chunks.push(Tcp.wait(0))
    }
    const server = yield* Tcp.serve(Tcp.task(text, { stream: () => [Tcp.write(head), ...chunks, ...end] }))
    const either = yield* Effect.either(Stream.mkString(StreamService.create(request))).pipe(
      Tcp.client(server, http, maxFrameSize === undefined ? {} : { maxFrameSize })
    )
    expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
    return { either, streams: server.requests.filter(({ path }) => path.endsWith("/stream")).length, server }
  })

const reads = (name: string, body: string, text: string, streams = 1) =>
  Tcp.overBoth(name, (http) =>
    Effect.gen(function*() {
      const got = yield* read(http, body, { text })
      expect(got.either).toMatchObject({ right: text })
      expect(got.streams).toBe(streams)
    }))

const head = `data: {"task_id": "${Tcp.id}", "prefill_time": 0.25}\n\n`

describe("streams: bytes", () => {
  const text = "größer 漢字 👩‍👩‍👧 [DONE] data: \r\n\n"
  for (const size of [1, 2, 3, 7]) {
    Tcp.overBoth(`F25 pieces of ${size}`, (http) =>
      Effect.gen(function*() {
        const body = (head + Tcp.data(text.slice(0, 10)) + Tcp.data(text.slice(10)) + Tcp.done).replaceAll("\n", "\r\n")
        expect((yield* read(http, body, { text, size })).either).toMatchObject({ right: text })
      }))
    byBoth(`F25 pieces of ${size}, in process`, (transport) =>
      Effect.gen(function*() {
        yield* inject({ on: onText(transport), kind: FaultKind.Split({ size, delay: "1 millis" }) })
        expect(yield* textOf(transport)).toBe(long)
      }).pipe(against(says(long))))
  }

  for (const [name, eol] of Object.entries({ LF: "\n", CRLF: "\r\n", CR: "\r" })) {
    reads(`F26 line ends ${name}`, (head + Tcp.data("a b") + Tcp.data("c") + Tcp.done).replaceAll("\n", eol), "a bc")
  }
  reads("F26 mixed", `${head.replaceAll("\n", "\r")}${Tcp.data("a").replace("\n\n", "\n\r\n")}${Tcp.done}`, "a")
  reads("F26 byte order mark and leading blank lines", `\uFEFF\n\r\n\n${Tcp.data("a")}${Tcp.done}`, "a")
  Tcp.overBoth("F26 the last line ends in a bare CR", (http) =>
    Effect.gen(function*() {
      const body = (Tcp.data("a") + Tcp.done).replaceAll("\n", "\r")
      expect((yield* read(http, body, { text: "a" })).either).toMatchObject({ right: "a" })
    }))

  reads(
    "F27 comments, event, id and retry lines",
    `: hello\n\nevent: message\nid: 7\nretry: 10\n${Tcp.data("a")}:\n: ping\n\nid\n${
      Tcp.data("b")
    }event: end\n${Tcp.done}`,
    "ab"
  )

  const pings: Readonly<Record<string, string>> = {
    "a named event with a time": "event: ping\ndata: 1764295200\n\n",
    "a named event with JSON": "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "a named event with what looks like text": "event: ping\ndata: {\"data\": \"x\"}\n\n",
    "a named event with what looks like a failure": "event: ping\ndata: {\"error\": null}\n\n",
    "a named event with {}": "event: ping\ndata: {}\n\n",
    "a named event without data": "event: ping\n\n",
    "empty data": "data:\n\n",
    "data without a colon": "data\n\n",
    "several lines of empty data": "data:\ndata: \n\n"
  }
  for (const [what, ping] of Object.entries(pings)) {
    const body = [head, Tcp.data("a"), Tcp.data("b"), Tcp.done].map((event) => ping + event).join("")
    reads(`F96 heartbeats that are ${what}`, body, "ab")
    Tcp.overBoth(`F96 heartbeats that are ${what}, in a direct stream`, (http) =>
      Effect.gen(function*() {
        const answer = [Tcp.write(Tcp.streamHead), Tcp.write(Tcp.chunk(body)), Tcp.write(Tcp.lastChunk)]
        const server = yield* Tcp.serve(Tcp.task("ab", { tmp: () => answer }))
        const text = yield* Stream.mkString(StreamService.create(request, { transport: "direct" })).pipe(
          Tcp.client(server, http)
        )
        expect(text).toBe("ab")
        expect(server.requests.filter(({ path }) => path.endsWith("/stream"))).toEqual([])
      }))
  }

  Tcp.overBoth("F96 a damaged frame is no heartbeat: the text is read anew", (http) =>
    Effect.gen(function*() {
      const damaged = [Tcp.data("a"), "data: {\"da\n\n", Tcp.data("c"), Tcp.done].join("")
      const server = yield* Tcp.serve(Tcp.task("abc", {
        stream: (_, index) =>
          index > 0
            ? Tcp.stream("abc")
            : [Tcp.write(Tcp.streamHead), Tcp.write(Tcp.chunk(damaged)), Tcp.write(Tcp.lastChunk)]
      }))
      const text = yield* Stream.mkString(StreamService.create(request)).pipe(Tcp.client(server, http))
      expect(text).toBe("abc")
      expect(server.requests.filter(({ path }) => path.endsWith("/stream"))).toHaveLength(2)
    }))

  it.effect("F96 heartbeats alone are silence", () =>
    Effect.gen(function*() {
      const headers = { "content-type": "text/event-stream" }
      const ping = encoder.encode("event: ping\ndata: {}\n\n")
      const body = Stream.repeatEffect(Effect.as(Effect.sleep("1 second"), ping))
      yield* inject({ on: onStream, kind: FaultKind.Respond({ status: 200, headers, body }) })
      expect(yield* textOf("subscribe", { idleTimeout: "10 seconds" })).toBe(long)
    }).pipe(against(says(long))))

  reads("F28 several data lines in one event", `data: {"data":\ndata: "ab"\ndata: }\n\n${Tcp.done}`, "ab")

  for (const raw of ["\u2028", "\u2029", "\u0085"]) {
    reads(
      `F29 U+${raw.charCodeAt(0).toString(16)} raw inside a frame`,
      `data: {"data": "a${raw}b"}\n\n${Tcp.done}`,
      `a${raw}b`
    )
  }

  reads("F30 data without the space", `data:{"data": " a "}\n\ndata:{"data":"b  "}\n\ndata:[DONE]\n\n`, " a b  ")

  reads("F31 head-like frames are skipped", `${head}${Tcp.data("a")}${head}${Tcp.data("b")}${Tcp.done}`, "ab")
  for (
    const frame of [
      "not JSON",
      "5",
      "null",
      "[\"a\"]",
      "\"a\"",
      "{}",
      "{\"data\":5}",
      "{\"data\":null}",
      "{\"data\":\"\\ud800\"}"
    ]
  ) {
    Tcp.overBoth(`F31 a frame that is ${frame}`, (http) =>
      Effect.gen(function*() {
        const broken = Tcp.data("a") + `data: ${frame}\n\n` + Tcp.data("b") + Tcp.done
        const server = yield* Tcp.serve(Tcp.task("a?b", {
          stream: (_, index) =>
            index > 0
              ? Tcp.stream("a?b")
              : [Tcp.write(Tcp.streamHead), Tcp.write(Tcp.chunk(broken)), Tcp.write(Tcp.lastChunk)]
        }))
        const run = Stream.mkString(StreamService.create(request)).pipe(Tcp.client(server, http))
        expect(yield* run).toBe("a?b")
        // Where it is so every time, it is told.
        const { either } = yield* read(http, broken, { text: "a?b" })
        expect(either).toMatchObject({ left: { _tag: "RWKVDecodeError" } })
      }))
  }

  Tcp.overBoth("F32 a frame of 1 MB, a frame of more than the limit", (http) =>
    Effect.gen(function*() {
      const text = "x".repeat(1024 * 1024)
      expect((yield* read(http, Tcp.data(text) + Tcp.done, { text })).either).toMatchObject({ right: text })
      const { either } = yield* read(http, Tcp.data(text) + Tcp.done, { text, maxFrameSize: 100_000 })
      expect(either).toMatchObject({ left: { _tag: "RWKVDecodeError" } })
    }))

  reads("F33 empty data", `${head}${Tcp.data("")}${Tcp.data("a")}${Tcp.data("")}${Tcp.done}`, "a")
  reads("F33 only a head", `${head}${Tcp.done}`, "")
  reads("F33 only [DONE]", Tcp.done, "")

  Tcp.overBoth("F34 text after [DONE]", (http) =>
    Effect.gen(function*() {
      const body = Tcp.data("a") + Tcp.done + Tcp.data("b") + Tcp.done
      // The answer never ends: it is left, not waited for.
      const got = yield* read(http, body, { text: "a", end: [Tcp.hang] })
      expect(got.either).toMatchObject({ right: "a" })
    }))

  for (const type of ["text/html", "application/json", "text/plain; charset=utf-8"]) {
    Tcp.overBoth(`F35 content-type ${type}`, (http) =>
      Effect.gen(function*() {
        const wrong = Tcp.head("200 OK", { "content-type": type, "transfer-encoding": "chunked" })
        const got = yield* read(http, "<html></html>", { head: wrong })
        expect(got.either).toMatchObject({ left: { _tag: "RWKVDecodeError" } })
        expect(got.streams).toBe(1)
      }))
  }

  byBoth("F25 bytes damaged on the way are read anew", (transport) =>
    Effect.gen(function*() {
      const transform = (chunk: Uint8Array, index: number) => index === 2 ? Uint8Array.of(0xff, 0xfe) : chunk
      yield* inject({ on: onText(transport), kind: FaultKind.Corrupt({ transform }) })
      const pieces = yield* Stream.runCollect(StreamService.create(request, { transport }))
      expect(Chunk.toReadonlyArray(pieces).join("")).toBe(long)
    }).pipe(against(says(long))))
})
