import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { frames, isOpen, json, post, send, standIn, tick } from "../../support/emulator.js"
import { idPattern, type Recording, recordings } from "../../support/golden.js"

const mask = (text: string): string =>
  text
    .replace(idPattern, (id) => id.slice(0, id.indexOf("_")))
    .replace(/"(prefill_time|gen_time|speed)":( ?)\d+\.\d+(e-\d+)?/g, "\"$1\":$20.0")

interface Answer {
  readonly headers: Readonly<Record<string, string>>
  readonly payload: ReadonlyArray<string>
}

/** Undoes HTTP/1.1 chunking; the lengths are those of UTF-8 bytes. */
const parse = (recording: Recording): Answer => {
  const raw = recording.reads.map(([, text]) => text).join("")
  const border = raw.indexOf("\r\n\r\n")
  const headers: Record<string, string> = {}
  for (const line of raw.slice(0, border).split("\r\n").slice(1)) {
    const colon = line.indexOf(": ")
    headers[line.slice(0, colon)] ??= line.slice(colon + 2)
  }
  if (headers["transfer-encoding"] !== "chunked") return { headers, payload: [raw.slice(border + 4)] }
  const payload: Array<string> = []
  let bytes = new TextEncoder().encode(raw.slice(border + 4))
  while (bytes.length > 0) {
    const size = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(13)))
    const length = Number.parseInt(size, 16)
    const start = size.length + 2
    if (length > 0) payload.push(new TextDecoder().decode(bytes.subarray(start, start + length)))
    bytes = bytes.slice(start + length + 2)
  }
  return { headers, payload }
}

const sent = ["content-type", "cache-control", "connection", "x-accel-buffering"]

/** What the recorder had prepared: script and limit of the tasks that are named, but not made, in the file. */
const fixtures: Readonly<Record<string, readonly [prompt: number, maxTokens: number]>> = {
  "subscribe to a running task, emoji split by a poll border": [60002, 64],
  "subscribe to a finished task whose last character is cut": [60006, 64],
  "subscribe to a prefill-only task": [60000, 0],
  "continue with prompt, streamed": [60001, 64],
  "fork with prompt, streamed": [60001, 5]
}

describe("golden stream recordings", () => {
  it.scoped("all 19 recordings are repeated frame by frame", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: standIn, cacheCapacity: 8, maxBatchSize: 8, pulse: 150 })
      const ids = new Map<string, string>()
      for (const recording of recordings) {
        const { name, request } = recording
        const fixture = fixtures[name]
        if (fixture !== undefined) {
          const endpoint = request.path.includes("TASK_") ? "create" : "tmp"
          const body = { prompt: [fixture[0], 50], max_tokens: fixture[1] }
          const made = yield* json(post(emulator, `/v1/tasks/${endpoint}`, body))
          ids.set(request.path.match(idPattern)?.[0] ?? "", made.task_id)
          if (!name.includes("running")) yield* tick(1000)
        }
        const expected = parse(recording)
        const path = request.path.replace(idPattern, (id) => ids.get(id) ?? id)
        const response = yield* send(emulator, { ...request, path })
        for (const header of sent) {
          // The recorder asked for `connection: close`, and got that header with its one plain answer.
          if (header === "connection" && expected.headers["content-length"] !== undefined) continue
          expect(response.headers[header], `${name}: ${header}`).toBe(expected.headers[header])
        }
        const actual = yield* frames(Effect.succeed(response))
        yield* tick(5000)
        expect(actual.chunks.map(mask), name).toEqual(expected.payload.map(mask))
        expect(yield* isOpen(actual), name).toBe(recording.end === "still open")
      }
      expect(recordings).toHaveLength(19)
    }))
})
