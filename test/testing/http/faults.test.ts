import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { data, frames, get, isOpen, json, post, start, tick } from "../../support/emulator.js"

const { FaultKind } = Emulator

const body = { prompt: [60000, 50], max_tokens: 70 }

const finished = (emulator: Emulator.Service) =>
  Effect.gen(function*() {
    const made = yield* json(post(emulator, "/v1/tasks/create", body))
    yield* tick(1000)
    return `/v1/tasks/${made.task_id}`
  })

describe("faults", () => {
  it.scoped("Refuse looks like a refused connection and is not recorded", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* emulator.inject({ kind: FaultKind.Refuse() })
      const error = yield* Effect.flip(post(emulator, "/v1/tasks/tmp", body))
      expect(error).toMatchObject({ _tag: "RequestError", reason: "Transport", cause: { code: "ECONNREFUSED" } })
      expect(error.cause).toBeInstanceOf(Error)
      expect(yield* emulator.requests).toEqual([])
      expect((yield* get(emulator, "/v1/models")).status).toBe(200)
    }))

  it.scoped("Reset breaks the connection before or after the work", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      for (const executed of [false, true]) {
        yield* emulator.inject({ kind: FaultKind.Reset({ executed }) })
        const error = yield* Effect.flip(post(emulator, "/v1/tasks/tmp", body))
        expect(error).toMatchObject({ reason: "Transport", cause: { code: "ECONNRESET" } })
        expect(yield* emulator.tasks).toHaveLength(executed ? 1 : 0)
      }
      expect(yield* emulator.requests).toHaveLength(2)
    }))

  it.scoped("Delay postpones the handling, Hang never answers", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* emulator.inject({ kind: FaultKind.Delay({ duration: "2 seconds" }) })
      yield* emulator.inject({ kind: FaultKind.Hang({ executed: true }) })
      const slow = yield* Effect.fork(get(emulator, "/v1/models"))
      yield* tick(1)
      const never = yield* Effect.fork(post(emulator, "/v1/tasks/tmp", body))
      yield* tick(1998)
      expect((yield* Fiber.poll(slow))._tag).toBe("None")
      yield* tick(1)
      expect((yield* slow).status).toBe(200)
      yield* tick(1_000_000)
      expect((yield* Fiber.poll(never))._tag).toBe("None")
      expect(yield* emulator.tasks).toHaveLength(1)
      yield* Fiber.interrupt(never)
    }))

  it.scoped("Status and Respond replace the answer", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* emulator.inject({ kind: FaultKind.Status({ status: 500 }), times: 2, on: { method: "post" } })
      yield* emulator.inject({
        kind: FaultKind.Status({ status: 503, body: "busy", headers: { "retry-after": "2" }, executed: true }),
        on: { path: "/create" }
      })
      yield* emulator.inject({
        kind: FaultKind.Respond({ status: 200, headers: { "content-type": "text/html" }, body: "<p>" }),
        on: { path: /list$/ }
      })
      for (let i = 0; i < 2; i++) {
        const crashed = yield* post(emulator, "/v1/tasks/tmp", body)
        expect([crashed.status, yield* crashed.text]).toEqual([500, "Internal Server Error"])
      }
      expect(yield* emulator.tasks).toHaveLength(0)
      const busy = yield* post(emulator, "/v1/tasks/create", body)
      expect([busy.status, busy.headers["retry-after"], yield* busy.text]).toEqual([503, "2", "busy"])
      expect(yield* emulator.tasks).toHaveLength(1)
      expect(yield* (yield* get(emulator, "/v1/tasks/list")).text).toBe("<p>")
      expect((yield* get(emulator, "/v1/tasks/list")).headers["content-type"]).toBe("application/json")
      const comments = Stream.make(": ping\n\n").pipe(Stream.forever, Stream.tap(() => Effect.sleep(1000)))
      yield* emulator.inject({
        kind: FaultKind.Respond({ status: 200, headers: {}, body: Stream.encodeText(comments) })
      })
      const endless = yield* frames(get(emulator, "/v1/tasks/x/stream"))
      yield* tick(3500)
      expect(endless.chunks).toHaveLength(3)
    }))

  it.scoped("Cut ends a body by an error or cleanly, after so many bytes", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const path = yield* finished(emulator)
      for (const clean of [false, true]) {
        yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 40, clean }) })
        const response = yield* get(emulator, `${path}/stream`)
        const received: Array<Uint8Array> = []
        const exit = yield* Effect.exit(
          Stream.runForEach(response.stream, (chunk) => Effect.sync(() => received.push(chunk)))
        )
        expect(received.reduce((size, chunk) => size + chunk.length, 0)).toBe(40)
        expect(exit._tag).toBe(clean ? "Success" : "Failure")
      }
      yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 0, clean: false }) })
      const empty = yield* get(emulator, `${path}/get_result`)
      expect(yield* Effect.flip(empty.text)).toMatchObject({ reason: "Decode", cause: { code: "ECONNRESET" } })
      yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 10_000, clean: false }) })
      expect((yield* json(get(emulator, `${path}/get_result`))).finished).toBe(true)
    }))

  it.scoped("Stall leaves a body silent, and interrupting its reader closes it", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const path = yield* finished(emulator)
      yield* emulator.inject({ kind: FaultKind.Stall({ afterBytes: 100 }) })
      const stream = yield* frames(get(emulator, `${path}/stream`))
      yield* tick(1_000_000)
      expect(stream.chunks.join("")).toHaveLength(100)
      expect(yield* isOpen(stream)).toBe(true)
      expect(yield* emulator.openStreams).toBe(1)
      yield* Fiber.interrupt(stream.fiber)
      expect(yield* emulator.openStreams).toBe(0)
    }))

  it.scoped("Corrupt, Split and DropFrame change the chunks", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const path = yield* finished(emulator)
      yield* emulator.inject({
        kind: FaultKind.Corrupt({ transform: (bytes, index) => index === 1 ? bytes.map(() => 63) : bytes })
      })
      const corrupted = yield* frames(get(emulator, `${path}/stream`))
      yield* tick(1)
      expect(corrupted.chunks[1]).toMatch(/^\?+$/)

      yield* emulator.inject({ kind: FaultKind.Split({ size: 1, delay: 10 }) })
      const split = yield* frames(get(emulator, `${path}/stream`))
      yield* tick(100)
      expect(split.chunks.join("")).toBe("data: {\"ta")
      yield* tick(10_000)
      expect(split.chunks.every((chunk) => chunk.length === 1)).toBe(true)
      expect(split.chunks.join("").slice(-14)).toBe("data: [DONE]\n\n")

      yield* emulator.inject({ kind: FaultKind.DropFrame({ index: 1 }) })
      const dropped = yield* frames(post(emulator, "/v1/tasks/tmp", { ...body, stream: true }))
      yield* tick(1000)
      expect(data(dropped.chunks)).toEqual(["abcdefghijklmnopqrstuvwxyzabcdef", "mnopqr"])
    }))

  it.scoped("a fault hits the requests it names, as often as it says, until it is cleared", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      yield* emulator.inject({
        kind: FaultKind.Status({ status: 502 }),
        times: Number.POSITIVE_INFINITY,
        on: { when: ({ headers }) => headers["host"] === "localhost:8000" }
      })
      for (let i = 0; i < 5; i++) expect((yield* get(emulator, "/v1/models")).status).toBe(502)
      yield* emulator.clearFaults
      expect((yield* get(emulator, "/v1/models")).status).toBe(200)
    }))
})
