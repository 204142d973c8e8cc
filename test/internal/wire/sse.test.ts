import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { excerpt } from "../../../src/internal/input/excerpt.js"
import { type Frame, makeDecoder } from "../../../src/internal/wire/sse.js"
import { type Recording, recordings } from "../../support/golden.js"
import * as wire from "../../support/wire.js"

const encode = (text: string) => new TextEncoder().encode(text)

/** The frames of bytes that come in these pieces. */
const decode = (pieces: ReadonlyArray<Uint8Array>, maxFrameSize = 1024 * 1024): ReadonlyArray<Frame> => {
  const decoder = makeDecoder(maxFrameSize, excerpt)
  return [...pieces.flatMap((piece) => decoder.push(piece)), ...decoder.flush()]
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte))

/** The frames, which must not depend on where the bytes are cut. */
const frames = (input: string | Uint8Array, maxFrameSize?: number) => {
  const bytes = typeof input === "string" ? encode(input) : input
  const whole = decode([bytes], maxFrameSize)
  expect(decode(bytewise(bytes), maxFrameSize)).toEqual(whole)
  for (let at = 1; at < bytes.length; at++) {
    expect(decode([bytes.subarray(0, at), bytes.subarray(at)], maxFrameSize)).toEqual(whole)
  }
  return whole
}

const data = (text: string): Frame => ({ _tag: "Data", text })
const head: Frame = { _tag: "Head", taskId: "TMP_1", prefillTime: 0.5 }
const done: Frame = { _tag: "Done" }
const unreadable = (description: string): Frame => ({ _tag: "Unreadable", description })

const headFrame = "data: {\"task_id\": \"TMP_1\", \"prefill_time\": 0.5}\n\n"
const story = `${headFrame}data: {"data":"h\u00e9 \ud83d\ude00"}\n\ndata: {"data":"\u4e2d"}\n\ndata: [DONE]\n\n`
const told = [head, data("h\u00e9 \ud83d\ude00"), data("\u4e2d"), done]

describe("bytes", () => {
  it("F25 frames are the same wherever the bytes are cut", () => {
    expect(frames(story)).toEqual(told)
  })

  it.each([["LF", "\n"], ["CRLF", "\r\n"], ["CR", "\r"]])("F26 lines may end in %s", (_, end) => {
    expect(frames(story.replaceAll("\n", end))).toEqual(told)
  })

  it("F26 line ends may be mixed, after a BOM and blank lines", () => {
    const lines = story.split("\n")
    const ends = ["\n", "\r\n", "\r", "\r", "\r\n", "\n"]
    const mixed = lines.map((line, index) => line + ends[index % ends.length]).join("")
    expect(frames(`\ufeff\n\r\n\r${mixed}`)).toEqual(told)
  })

  it("F26 a frame that ends in bare CRs does not wait for the next", () => {
    const decoder = makeDecoder(100, excerpt)
    expect(decoder.push(encode("data: {\"data\":\"a\"}\r\r"))).toEqual([data("a")])
    expect(decoder.push(encode("\ndata: [DONE]\r"))).toEqual([])
    expect(decoder.push(encode("\r"))).toEqual([done])
    expect(decoder.ended()).toBe(true)
  })

  it("F27 comments and other fields of a proxy are ignored", () => {
    const noisy = story.replaceAll(
      "data:",
      ": ping\nevent: message\nid: 7\nretry: 10\nretry: x\nx-other: 1\nalone\ndata:"
    )
    expect(frames(`: open\n\n${noisy}: end\n\n`)).toEqual(told)
  })

  it("F28 the data lines of one event are one text", () => {
    expect(frames("data: {\"data\":\ndata: \"a\"\ndata: }\n\ndata: [DONE]\n\n")).toEqual([data("a"), done])
  })

  it("F29 separators of Unicode are text", () => {
    const text = "a\u2028b\u2029c\u0085d\u000be"
    expect(frames(`data: {"data":"a\u2028b\u2029c\u0085d\\u000be"}\n\n`)).toEqual([data(text)])
  })

  it("F30 the space after the colon may be missing, and spaces of the text are kept", () => {
    expect(frames("data:{\"data\":\"  a  \"}\n\ndata: [DONE]\n\n")).toEqual([data("  a  "), done])
    expect(frames("data:  {\"data\":\"a\"}  \n\n")).toEqual([data("a")])
  })

  it("escaped and raw text are the same", () => {
    expect(frames("data: {\"data\": \"\\ud83d\\ude00\\n\\u0000\"}\n\n")).toEqual([data("\ud83d\ude00\n\0")])
  })

  it("bytes that are no UTF-8 end the reading, wherever they are cut", () => {
    const bad = Uint8Array.of(...encode("data: {\"data\":\""), 0xff, ...encode("\"}\n\ndata: [DONE]\n\n"))
    expect(frames(bad)).toEqual([unreadable("bytes that are not UTF-8")])
  })

  it("bytes that end inside a character are told", () => {
    expect(frames(encode("data: \u4e2d").slice(0, -1))).toEqual([unreadable("bytes that are not UTF-8")])
    expect(frames("data: {\"data\":\"a\"}\n\ndata: {\"data\":\"b")).toEqual([data("a")])
    expect(frames("")).toEqual([])
  })
})

describe("frames", () => {
  it.each<readonly [payload: string, frame: Frame]>([
    ["nonsense", unreadable("a frame that is not JSON")],
    ["[DONE] ", unreadable("a frame that is not JSON")],
    ["5", unreadable("a frame that is no object")],
    ["null", unreadable("a frame that is no object")],
    ["[]", unreadable("a frame that is no object")],
    ["\"[DONE]\"", unreadable("a frame that is no object")],
    ["{}", unreadable("a frame without data")],
    ["{\"data\":null}", unreadable("a frame without data")],
    ["{\"data\":5}", unreadable("a frame without data")],
    ["{\"task_id\":\"a\"}", unreadable("a frame without data")],
    ["{\"task_id\":\"a\",\"prefill_time\":null}", unreadable("a frame without data")],
    ["{\"task_id\":5,\"prefill_time\":1}", unreadable("a frame without data")],
    ["{\"data\":\"\\ud83d\"}", unreadable("a frame with half a character")],
    ["{\"task_id\":\"a\",\"prefill_time\":0}", { _tag: "Head", taskId: "a", prefillTime: 0 }],
    ["{\"data\":\"\"}", data("")],
    ["{\"data\":\"a\",\"task_id\":5,\"gen_time\":null,\"error\":1}", data("a")],
    ["{\"__proto__\":{\"data\":\"a\"}}", unreadable("a frame without data")],
    ["{\"error\":\"out\\nof memory\"}", { _tag: "Failed", description: "out of memory" }],
    ["{\"detail\":\"Task not found\"}", { _tag: "Failed", description: "Task not found" }],
    ["{\"error\":null,\"detail\":\"b\"}", { _tag: "Failed", description: "b" }],
    ["{\"error\":{\"message\":\"a\"}}", { _tag: "Failed", description: "no explanation" }]
  ])("F31 F33 F79 %s", (payload, frame) => {
    expect(frames(`data: ${payload}\n\n`)).toEqual([frame])
    expect(frames(`event: message\ndata: ${payload}\n\n`)).toEqual([frame])
  })

  it.each(["ping", "heartbeat", "error", "Message", "message "])(
    "F96 an event %s is no frame, whatever it holds",
    (name) => {
      for (
        const payload of ["", " ", "1764295200", "{}", "null", "nonsense", "{\"data\":\"x\"}", "{\"error\":\"x\"}"]
      ) {
        expect(frames(`event: ${name}\ndata: ${payload}\n\ndata: {"data":"a"}\n\n`)).toEqual([data("a")])
      }
    }
  )

  it("F96 an event without data is no frame", () => {
    for (
      const event of [
        "data\n\n",
        "data:\n\n",
        "data: \n\n",
        "data:\ndata:\n\n",
        "event: message\ndata:  \n\n",
        "event:\n\n"
      ]
    ) {
      expect(frames(`${event}data: {"data":"a"}\n\n`)).toEqual([data("a")])
    }
  })

  it("F79 a long explanation is cut", () => {
    const [frame] = decode([encode(`data: ${JSON.stringify({ error: "x".repeat(9999) })}\n\n`)])
    expect(frame).toEqual({ _tag: "Failed", description: `${"x".repeat(160)}...` })
  })

  it("F33 nothing but a head, or nothing at all, ends well", () => {
    expect(frames(`${headFrame}data: [DONE]\n\n`)).toEqual([head, done])
    expect(frames("data: [DONE]\n\n")).toEqual([done])
  })

  it("F34 nothing comes after the end", () => {
    expect(frames("data: [DONE]\n\ndata: {\"data\":\"a\"}\n\n")).toEqual([done])
    const decoder = makeDecoder(100, excerpt)
    expect(decoder.push(encode("data: [DONE]\n\n"))).toEqual([done])
    expect(decoder.push(Uint8Array.of(0xff))).toEqual([])
    expect(decoder.flush()).toEqual([])
  })

  it("F32 a frame of 1 MB is read, in one piece or many", () => {
    const text = "x".repeat(1024 * 1024)
    const bytes = encode(`data: {"data":"${text}"}\n\ndata: [DONE]\n\n`)
    const limit = 2 * 1024 * 1024
    const pieces = Array.from(
      { length: Math.ceil(bytes.length / 1000) },
      (_, n) => bytes.subarray(n * 1000, (n + 1) * 1000)
    )
    expect(decode([bytes], limit)).toEqual([data(text), done])
    expect(decode(pieces, limit)).toEqual([data(text), done])
  })

  it("F32 the limit is exact, and the same wherever the bytes are cut", () => {
    const payload = "{\"data\":\"0123456789\"}"
    for (const end of ["\n", "\r", "\r\n"]) {
      const bytes = `data: ${payload}${end}${end}data: [DONE]${end}${end}`
      expect(frames(bytes, payload.length)).toEqual([data("0123456789"), done])
      expect(frames(bytes, payload.length - 1)).toEqual([{ _tag: "TooLarge" }])
    }
    expect(frames(`data: {"data":\ndata: "0123456789"}\n\n`, 12)).toEqual([{ _tag: "TooLarge" }])
  })

  it("F32 a line without an end is given up at the limit", () => {
    const decoder = makeDecoder(1000, excerpt)
    const piece = encode("x".repeat(100))
    const read = Array.from({ length: 50 }, () => decoder.push(piece)).flat()
    expect(read).toEqual([{ _tag: "TooLarge" }])
    expect(decoder.ended()).toBe(true)
    expect(decoder.flush()).toEqual([])
  })

  it("a frame of any length is no mistake, whatever it is made of", () => {
    const text = "\u{1F600}".repeat(4 * 1024 * 1024)
    const decoder = makeDecoder(64 * 1024 * 1024, (said) => said)
    const frames = decoder.push(new TextEncoder().encode(`data: ${JSON.stringify({ data: text })}\n\n`))
    expect(frames.map((frame) => frame._tag === "Data" && frame.text === text)).toEqual([true])
  })
})

const streamed = (response: () => Response, options?: { readonly maxFrameSize: number }) =>
  Effect.gen(function*() {
    const { http } = yield* wire.make(response, options)
    return Chunk.toReadonlyArray(yield* Stream.runCollect(http.stream("TMP_1")))
  })

describe("an event stream over HTTP", () => {
  it.effect("delivers the frames of any chunks, and stops at the end without waiting for the connection's", () =>
    Effect.gen(function*() {
      const bytes = bytewise(encode(`${story}data: {"data":"late"}\n\n`))
      let cancelled = false
      const body = () =>
        new ReadableStream<Uint8Array>({
          pull: (controller) => {
            const next = bytes.shift()
            return next === undefined ? new Promise(() => {}) : controller.enqueue(next)
          },
          cancel: () => {
            cancelled = true
          }
        })
      const read = yield* streamed(() => new Response(body(), { headers: { "content-type": "text/event-stream" } }))
      expect(read).toEqual(told)
      expect(cancelled).toBe(true)
    }))

  it.effect("F36 ends without Done where the body does", () =>
    Effect.gen(function*() {
      expect(yield* streamed(() => wire.events("{\"data\":\"a\"}"))).toEqual([data("a")])
    }))

  it.effect("F32 tells that a frame is too large", () =>
    Effect.gen(function*() {
      expect(yield* streamed(() => wire.events("{\"data\":\"abc\"}", "[DONE]"), { maxFrameSize: 5 }))
        .toEqual([{ _tag: "TooLarge" }])
    }))

  it.effect.each(["text/html", "application/json", ""])(
    "F35 %j is no event stream",
    (contentType) =>
      Effect.gen(function*() {
        const error = yield* wire.failure(
          streamed(() => new Response("<html>", { headers: { "content-type": contentType } }))
        )
        expect(error).toMatchObject({
          _tag: "RWKVDecodeError",
          taskId: "TMP_1",
          description: "not an event stream; is baseUrl right? Its path is /"
        })
      })
  )

  it.effect("F35 nothing is no event stream either, and letters may be of either case", () =>
    Effect.gen(function*() {
      const body = () => new TextEncoder().encode("data: [DONE]\n\n")
      expect(yield* wire.failure(streamed(() => new Response(body()))))
        .toMatchObject({ _tag: "RWKVDecodeError", description: "not an event stream; is baseUrl right? Its path is /" })
      const headers = { "content-type": "Text/Event-Stream" }
      expect(yield* streamed(() => new Response(body(), { headers }))).toEqual([done])
    }))

  it.effect("a failing body is a broken connection", () =>
    Effect.gen(function*() {
      const body = () =>
        new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(encode(headFrame)),
          pull: (controller) => controller.error(Object.assign(new Error("x"), { code: "ECONNRESET" }))
        })
      const error = yield* wire.failure(
        streamed(() => new Response(body(), { headers: { "content-type": "text/event-stream" } }))
      )
      expect(error).toMatchObject({ _tag: "RWKVConnectionError", code: "ECONNRESET", requestSent: true })
    }))

  it.effect("statuses are those of any call", () =>
    Effect.gen(function*() {
      expect(yield* wire.failure(streamed(() => wire.json({ detail: "Task not found" }, 404))))
        .toMatchObject({ _tag: "TaskNotFoundError", taskId: "TMP_1" })
    }))
})

/** The body of a recorded answer, without HTTP's chunks. */
const bodyOf = ({ reads }: Recording): Uint8Array => {
  const raw = reads.map(([, text]) => text).join("")
  const border = raw.indexOf("\r\n\r\n") + 4
  if (!raw.slice(0, border).includes("transfer-encoding: chunked")) return encode(raw.slice(border))
  let rest = encode(raw.slice(border))
  const body: Array<number> = []
  while (rest.length > 0) {
    const line = new TextDecoder().decode(rest.subarray(0, rest.indexOf(13)))
    const size = Number.parseInt(line, 16)
    body.push(...rest.subarray(line.length + 2, line.length + 2 + size))
    rest = rest.subarray(line.length + 4 + size)
  }
  return Uint8Array.from(body)
}

const streams = recordings.filter(({ reads }) => reads[0]?.[1].includes("text/event-stream"))

describe("golden streams", () => {
  it.each(streams)("F25 $name: every cut gives the recorded frames", (recording) => {
    const bytes = bodyOf(recording)
    const recorded = new TextDecoder().decode(bytes).split("\n\n").filter((event) => event !== "")
    const read = frames(bytes)
    expect(read).toHaveLength(recorded.length)
    expect(read.map((frame) => frame._tag === "Data" ? frame.text : frame._tag)).toEqual(
      recorded.map((event) => {
        const payload = event.slice("data: ".length)
        return payload === "[DONE]" ? "Done" : JSON.parse(payload).data ?? "Head"
      })
    )
  })

  it("all recordings but the plain answers are streams", () => {
    expect(recordings).toHaveLength(19)
    expect(streams.length).toBeGreaterThan(15)
  })
})
