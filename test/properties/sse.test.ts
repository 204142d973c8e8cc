import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Schema } from "effect"
import { Protocol } from "effect-rwkv"
import { excerpt } from "../../src/internal/input/excerpt.js"
import { type Frame, makeDecoder } from "../../src/internal/wire/sse.js"

const text = FastCheck.string({ unit: "binary", maxLength: 20 })

const payload = FastCheck.oneof(
  FastCheck.record({ task_id: text, prefill_time: FastCheck.double({ noNaN: true, noDefaultInfinity: true }) }),
  FastCheck.record({ data: text, task_id: text, gen_time: FastCheck.nat(), speed: FastCheck.nat() }),
  FastCheck.record({ data: text })
)

/** What a server may write: events, in its own JSON or Python's, and noise between them. */
const line = FastCheck.oneof(
  { weight: 4, arbitrary: payload.map((value) => [`data: ${JSON.stringify(value)}`, ""]) },
  {
    weight: 1,
    arbitrary: payload.map((value) =>
      JSON.stringify(value, null, 1).split("\n").map((part) => `data:${part}`).concat("")
    )
  },
  {
    weight: 1,
    arbitrary: FastCheck.constantFrom([": ping"], ["event: message"], ["id: 1"], ["retry: 5"], [""], ["data: x", ""])
  }
)

const transcript = FastCheck.record({
  lines: FastCheck.array(line, { maxLength: 8 }).map((lines) => lines.flat()),
  ends: FastCheck.array(FastCheck.constantFrom("\n", "\r\n", "\r"), { minLength: 1, maxLength: 5 }),
  ended: FastCheck.boolean(),
  cuts: FastCheck.array(FastCheck.nat(7), { minLength: 1, maxLength: 20 })
})

const decode = (pieces: ReadonlyArray<Uint8Array>): ReadonlyArray<Frame> => {
  const decoder = makeDecoder(1_000_000, excerpt)
  return [...pieces.flatMap((piece) => decoder.push(piece)), ...decoder.flush()]
}

/** An LF just after a CR would belong to it, and no line would be empty. */
const encode = (lines: ReadonlyArray<string>, ends: ReadonlyArray<string>) => {
  const write = (written: string, line: string, index: number) => {
    const end = ends[index % ends.length] ?? "\n"
    return written + line + (line === "" && end === "\n" && written.endsWith("\r") ? "\r\n" : end)
  }
  return new TextEncoder().encode(lines.reduce(write, ""))
}

/** Pieces of the given sizes, again and again; a size of zero is an empty piece. */
const cut = (bytes: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += turn % sizes.length === 0 ? Math.max(1, size) : size
    if (turn % sizes.length === 0 && size === 0) pieces.push(bytes.subarray(at - 1, at))
  }
  return pieces
}

/** The Schemas' opinion of a payload, which the hot path's guard has to share. */
const opinion = (json: unknown): Frame["_tag"] => {
  if (Schema.is(Protocol.DataFrame)(json)) return json.data.isWellFormed() ? "Data" : "Unreadable"
  if (Schema.is(Protocol.HeadFrame)(json)) return "Head"
  const isFailure = Schema.is(
    Schema.Union(Schema.Struct({ error: Schema.Unknown }), Schema.Struct({ detail: Schema.Unknown }))
  )
  return isFailure(json) ? "Failed" : "Unreadable"
}

const keys = FastCheck.constantFrom("data", "task_id", "prefill_time", "error", "detail", "gen_time", "other")

const anyFrame = FastCheck.oneof(
  FastCheck.dictionary(keys, FastCheck.oneof(FastCheck.string(), FastCheck.double(), FastCheck.jsonValue())),
  FastCheck.jsonValue()
)

describe("sse properties", () => {
  it.prop(
    "F25 F26 line ends and cuts change no frame",
    { transcript },
    ({ transcript: { cuts, ended, ends, lines } }) => {
      const all = ended ? [...lines, "data: [DONE]", ""] : lines
      const plain = decode([encode(all, ["\n"])])
      const bytes = encode(all, ends)
      expect(decode([bytes])).toEqual(plain)
      expect(decode(cut(bytes, cuts))).toEqual(plain)
      expect(decode(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(plain)
      expect(plain.at(-1)?._tag === "Done").toBe(ended)
    },
    { fastCheck: { numRuns: 500 } }
  )

  it.prop(
    "the texts of the frames are the texts that were sent",
    { texts: FastCheck.array(text), cuts: FastCheck.array(FastCheck.nat(7), { minLength: 1, maxLength: 20 }) },
    ({ cuts, texts }) => {
      const bytes = encode(texts.flatMap((data) => [`data: ${JSON.stringify({ data })}`, ""]), ["\n"])
      const read = decode(cut(bytes, cuts)).map((frame) => frame._tag === "Data" ? frame.text : frame._tag)
      expect(read).toEqual(texts)
    },
    { fastCheck: { numRuns: 300 } }
  )

  it.prop(
    "the guard of the hot path agrees with the Schemas of the protocol",
    { json: anyFrame },
    ({ json }) => {
      const payload = JSON.stringify(json)
      const [frame] = decode([new TextEncoder().encode(`data: ${payload}\n\n`)])
      expect(frame?._tag).toBe(opinion(JSON.parse(payload)))
    },
    { fastCheck: { numRuns: 1000 } }
  )
})
