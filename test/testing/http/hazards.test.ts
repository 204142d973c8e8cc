import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  act,
  create,
  data,
  done,
  frames,
  get,
  isOpen,
  json,
  post,
  prompt,
  result,
  start,
  tick
} from "../../support/emulator.js"

describe("hazards of streams", () => {
  it.scoped("H1 a prefill between creation and first read loses frames or the end", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ prefillPerToken: 75 })
      const opened = yield* Effect.forkScoped(Effect.all(
        Array.from({ length: 12 }, () => frames(post(emulator, "/v1/tasks/tmp", { ...prompt(1, 5), stream: true }))),
        { concurrency: "unbounded" }
      ))
      yield* tick(20_000)
      const streams = yield* opened
      const open = yield* Effect.all(streams.map(isOpen))
      expect(open.filter((isOpen) => isOpen).length).toBeGreaterThan(5)
      expect(streams.every(({ chunks }) => chunks[0]?.includes("prefill_time") === true)).toBe(true)
    }))

  it.scoped("H1 without a slow prefill no stream loses anything", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const streams = yield* Effect.all(
        Array.from({ length: 12 }, () => frames(post(emulator, "/v1/tasks/tmp", { ...prompt(1, 5), stream: true }))),
        { concurrency: "unbounded" }
      )
      yield* tick(1000)
      expect(streams.map(({ chunks }) => data(chunks).join(""))).toEqual(streams.map(() => "abcde"))
    }))

  it.scoped("a stream that its client opens late has kept everything", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const response = yield* post(emulator, "/v1/tasks/tmp", { ...prompt(1, 5), stream: true })
      yield* tick(1000)
      const stream = yield* frames(Effect.succeed(response))
      yield* tick(1)
      expect(data(stream.chunks)).toEqual(["abcde"])
      expect(stream.chunks[1]).toContain("\"gen_time\":0.0078125,")
    }))

  it.scoped("H2 max_tokens 0 with a stream sends the head and never ends", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 0), stream: true }))
      yield* tick(60_000)
      expect(stream.chunks).toHaveLength(1)
      expect(yield* isOpen(stream)).toBe(true)
    }))

  it.scoped("H3 continue without a prompt runs nothing and keeps the old text", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      const reply = yield* json(act(emulator, id, "continue"))
      yield* tick(1000)
      const after = yield* result(emulator, id)
      expect(reply.finished).toBe(false)
      expect(after).toMatchObject({ finished: true, result: "abcde" })
    }))

  it.scoped("H4 a fork of a prefill-only task ends at once, unless max_tokens was set by a promptless continue", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 0)
      const first = yield* json(act(emulator, id, "fork", prompt(1, 4)))
      yield* tick(1000)
      expect(yield* result(emulator, first.task_id)).toMatchObject({ finished: true, result: "" })
      yield* act(emulator, id, "continue", { max_tokens: 4 })
      const second = yield* json(act(emulator, id, "fork", prompt(1, 4)))
      yield* tick(1000)
      expect(yield* result(emulator, second.task_id)).toMatchObject({ finished: true, result: "abcd" })
    }))

  it.scoped("H5 max_tokens 0 in an update generates one token", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 5)
      yield* tick(1000)
      yield* act(emulator, id, "continue", prompt(1, 0))
      yield* tick(1000)
      expect((yield* result(emulator, id)).result).toBe("a")
      yield* act(emulator, id, "continue", prompt(1, 0))
      yield* tick(1000)
      // The first zero was prefilled with the old limit; the second finds max_tokens 0 stored and runs nothing.
      expect((yield* result(emulator, id)).result).toBe("")
    }))

  it.scoped("H6 stop of a waiting task finishes it but leaves its POST stream open", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ maxBatchSize: 1 })
      yield* create(emulator, 0, 4000)
      yield* tick(10)
      const pushed = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 5), stream: true }))
      yield* tick(10)
      const id = JSON.parse(pushed.chunks[0]?.slice(6) ?? "").task_id
      const polled = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      expect(yield* json(act(emulator, id, "stop"))).toMatchObject({ status: 3, generated_buf: 0 })
      yield* tick(1000)
      expect(yield* isOpen(pushed)).toBe(true)
      expect(polled.chunks).toEqual([done])
    }))

  it.scoped("H7 a second POST stream takes the frames of the first", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const first = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 64), stream: true }))
      yield* tick(50)
      const id = JSON.parse(first.chunks[0]?.slice(6) ?? "").task_id
      const second = yield* frames(act(emulator, id, "continue", { stream: true }))
      yield* tick(1000)
      expect(data(first.chunks)).toHaveLength(1)
      expect(yield* isOpen(first)).toBe(true)
      expect(data(second.chunks)).toHaveLength(1)
      expect(second.chunks.at(-1)).toBe(done)
    }))

  it.scoped("H8 a task behind a full batch sends its head and waits", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ maxBatchSize: 1 })
      yield* create(emulator, 0, 320)
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(1, 5), stream: true }))
      yield* tick(450)
      expect(stream.chunks).toHaveLength(1)
      yield* tick(1000)
      expect(data(stream.chunks)).toEqual(["abcde"])
    }))

  it.scoped("H10 H11 a cut character makes frames and, at the end of a run, the result a single U+FFFD", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const split = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(2, 64), stream: true }))
      const id = yield* create(emulator, 6, 64)
      yield* tick(1000)
      expect(data(split.chunks).slice(0, 2)).toEqual(["\ufffd", "\ufffd"])
      expect((yield* result(emulator, id)).result).toBe("\ufffd")
    }))

  it.scoped("H12 pos counts tokens, and a negative one on an empty buffer sends an empty frame", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const id = yield* create(emulator, 1, 0)
      const empty = yield* frames(get(emulator, `/v1/tasks/${id}/stream?pos=-3`))
      yield* tick(1000)
      expect(empty.chunks.slice(1)).toEqual(["data: {\"data\": \"\"}\n\n", done])
    }))

  it.scoped("H13 POST frames hold raw line separators, GET frames escape them", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ reply: () => "a\u2028b\u0085c" })
      const pushed = yield* frames(post(emulator, "/v1/tasks/create", { prompt: "x", stream: true }))
      yield* tick(1000)
      const id = JSON.parse(pushed.chunks[0]?.slice(6) ?? "").task_id
      const polled = yield* frames(get(emulator, `/v1/tasks/${id}/stream`))
      yield* tick(1000)
      expect(pushed.chunks[1]).toContain("a\u2028b\u0085c")
      expect(polled.chunks[1]).toContain("a\\u2028b\\u0085c")
    }))
})
