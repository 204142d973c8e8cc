import { HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import type { RWKVConfig } from "effect-rwkv"
import { vi } from "vitest"
import * as Body from "../../../src/internal/wire/body.js"
import * as wire from "../../support/wire.js"

const id = "TMP_1"

/** A body in chunks that tells how much of it was read, and whether the rest was cancelled. */
const counted = (chunks: number, size: number) => {
  const state = { read: 0, cancelled: false }
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      state.read++
      if (state.read > chunks) controller.close()
      else controller.enqueue(new TextEncoder().encode(" ".repeat(size)))
    },
    cancel: () => {
      state.cancelled = true
    }
  })
  return { body, state }
}

const status = (respond: wire.Respond, options?: RWKVConfig.Options) =>
  Effect.flatMap(wire.make(respond, options), ({ http }) => http.status(id))

const hint = "is baseUrl right? Its path is /"

describe("bodies", () => {
  it.effect("F22 a body larger than the limit is given up there, whether it tells its length or not", () =>
    Effect.gen(function*() {
      for (const headers of [{}, { "content-length": "100000" }]) {
        const { body, state } = counted(100, 1000)
        const error = yield* wire.failure(status(() => new Response(body, { headers }), { maxResponseSize: 3000 }))
        expect(error).toMatchObject({ _tag: "RWKVDecodeError", description: "larger than 3000 bytes", taskId: id })
        expect(state.read).toBeLessThan(10)
        expect(state.cancelled).toBe(true)
      }
    }))

  it.effect("F22 F72 an error keeps its status when its explanation is too long, and its body is not left unread", () =>
    Effect.gen(function*() {
      const { body, state } = counted(100, 1000)
      const error = yield* wire.failure(
        status(() => new Response(body, { status: 503, headers: { "retry-after": "2" } }), { maxResponseSize: 3000 })
      )
      expect(error).toMatchObject({
        _tag: "RWKVServerError",
        status: 503,
        description: "no explanation",
        retryAfter: Duration.seconds(2)
      })
      expect(state.cancelled).toBe(true)
    }))

  it.effect("F22 a body of exactly the limit is read", () =>
    Effect.gen(function*() {
      const text = JSON.stringify(wire.info)
      const read = (limit: number) => Effect.exit(status(() => new Response(text), { maxResponseSize: limit }))
      expect(Exit.isSuccess(yield* read(text.length))).toBe(true)
      expect(Exit.isSuccess(yield* read(text.length - 1))).toBe(false)
    }))

  it.effect("F24 characters may be cut by chunks, and an encoding does not change the text", () =>
    Effect.gen(function*() {
      const bytes = new TextEncoder().encode(JSON.stringify({ ...wire.created, result: "h\u00e9 \u4e2d \ud83d\ude00" }))
      const body = () =>
        new ReadableStream<Uint8Array>({
          start: (controller) => {
            for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
            controller.close()
          }
        })
      // fetch has decoded the body by then, and its length is not that of the header.
      for (const headers of [{}, { "content-encoding": "gzip", "content-length": "7" }]) {
        const { http } = yield* wire.make(() => new Response(body(), { headers }))
        expect((yield* http.result(id)).text).toBe("h\u00e9 \u4e2d \ud83d\ude00")
      }
    }))

  it.effect.each(
    [
      ["F18", "<!doctype html><html></html>", 200, `an HTML page; ${hint}`],
      ["F19", "\"\"", 200, `expected an object; ${hint}`],
      ["F20", "{\"task_id\":\"TMP_1\",", 200, "not JSON"],
      ["F21", "", 204, `empty; ${hint}`],
      ["F21", "", 200, `empty; ${hint}`],
      ["F108", "OK", 200, `not JSON; ${hint}`],
      ["F108", "{\"ok\":true}", 200, `task_id: is missing; ${hint}`],
      ["F108", "{\"status\":2}", 200, "task_id: is missing"]
    ] as const
  )("%s %j with %d is RWKVDecodeError: %s", ([, body, code, description]) =>
    Effect.gen(function*() {
      expect(yield* wire.failure(status(() => wire.text(body, code))))
        .toMatchObject({ _tag: "RWKVDecodeError", description, isTransient: false })
    }))

  it.effect("F21 an answer without a body or a length is empty too", () =>
    Effect.gen(function*() {
      expect(yield* wire.failure(status(() => new Response(null))))
        .toMatchObject({ _tag: "RWKVDecodeError", description: `empty; ${hint}` })
    }))

  it.effect("F72 a body that breaks under an error is a broken connection", () =>
    Effect.gen(function*() {
      const body = new ReadableStream({
        pull: (controller) => controller.error(Object.assign(new Error("x"), { code: "ECONNRESET" }))
      })
      expect(yield* wire.failure(status(() => new Response(body, { status: 500 }))))
        .toMatchObject({ _tag: "RWKVConnectionError", code: "ECONNRESET" })
    }))

  it.effect("an error without a type of content is described by its text", () =>
    Effect.gen(function*() {
      const body = new TextEncoder().encode("plain")
      expect(yield* wire.failure(status(() => new Response(body, { status: 500 }))))
        .toMatchObject({ _tag: "RWKVServerError", description: "plain" })
    }))

  it.effect("F68 a request too large for a text is refused, and nothing is sent", () =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(wire.ok)
      const stringify = vi.spyOn(JSON, "stringify").mockImplementationOnce(() => {
        throw new RangeError("Invalid string length")
      })
      const error = yield* wire.failure(http.create({ prompt: "as if it had 600 MB" }))
      stringify.mockRestore()
      expect(error).toMatchObject({
        _tag: "RWKVValidationError",
        issues: [{ path: "", message: "is too large to be sent" }]
      })
      expect(sent).toEqual([])
    }))

  it.effect("a body that a runtime does not show is read as text", () =>
    Effect.gen(function*() {
      const reading = (limit: number) => ({ limit, exact: true, fail: (why: string) => why })
      const shown = new Response("hidden", { headers: { "content-type": "application/json" } })
      const response = HttpClientResponse.fromWeb(
        HttpClientRequest.get("http://localhost"),
        new Proxy(shown, {
          get: (target, key) =>
            key === "body" ? undefined : key === "text" ? () => target.text() : Reflect.get(target, key, target)
        })
      )
      expect(yield* Body.text(response, reading(100))).toBe("hidden")
      expect(yield* Effect.flip(Body.text(response, reading(3)))).toBe("larger than 3 bytes")
    }))
})

describe("timeouts", () => {
  it.effect("F04 F05 no answer, or no end of one, is RWKVTimeoutError at requestTimeout", () =>
    Effect.gen(function*() {
      const unending = () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }), { status: 200 })
      const answers: ReadonlyArray<wire.Respond> = [
        () => Effect.never,
        () => unending(),
        () => new Response(unending().body, { status: 500 })
      ]
      for (const answer of answers) {
        const { http } = yield* wire.make(answer, { requestTimeout: "3 seconds" })
        const fiber = yield* Effect.fork(wire.failure(http.status(id)))
        yield* TestClock.adjust(2999)
        expect(fiber.unsafePoll()).toBeNull()
        yield* TestClock.adjust(1)
        expect(yield* Fiber.join(fiber))
          .toMatchObject({ _tag: "RWKVTimeoutError", kind: "request", limit: Duration.seconds(3), taskId: id })
      }
    }))

  it.effect("a stream's limit ends with its headers", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => Effect.never, { requestTimeout: "3 seconds" })
      const fiber = yield* Effect.fork(wire.failure(Stream.runDrain(http.stream(id))))
      yield* TestClock.adjust("3 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "request" })
      const slow = Stream.concat(
        Stream.make("data: {\"data\":\"a\"}\n\n"),
        Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), "data: [DONE]\n\n"))
      )
      const body = Stream.toReadableStream(Stream.encodeText(slow))
      const open = yield* wire.make(() => new Response(body, { headers: { "content-type": "text/event-stream" } }))
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(open.http.stream(id), 1))))
        .toEqual([{ _tag: "Data", text: "a" }])
    }))
})
