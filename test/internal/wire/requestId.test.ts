/** The id that a proxy gave a request, as errors tell it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Redacted, Schema, Stream } from "effect"
import { type HttpClient, type RWKVConfig, RWKVError } from "effect-rwkv"
import * as wire from "../../support/wire.js"

const id = "req-1"
const headers = { "X-Request-Id": id, "x-other": "private" }

const failing = (respond: wire.Respond, config?: RWKVConfig.Options) =>
  Effect.flatMap(wire.make(respond, config), ({ http }) => wire.failure(http.status("TMP_1")))

const answers: ReadonlyArray<readonly [tag: string, respond: wire.Respond]> = [
  ["RWKVStatusError", () => wire.json({}, 429, headers)],
  ["RWKVServerError", () => wire.json({}, 502, headers)],
  ["RWKVValidationError", () => wire.json({ detail: "bad" }, 422, headers)],
  ["TaskNotFoundError", () => wire.json({ detail: "Task not found" }, 404, headers)],
  ["RWKVDecodeError", () => wire.text("<html>", 200, headers)]
]

describe("the id of a request", () => {
  it.effect.each(answers)(
    "is told by %s, which keeps it as JSON, and no other header is",
    ([_tag, respond]) =>
      Effect.gen(function*() {
        const error = yield* failing(respond)
        expect(error).toMatchObject({ _tag, requestId: id })
        const json = JSON.stringify(yield* Schema.encodeUnknown(RWKVError.RWKVError)(error))
        expect(json).not.toContain("private")
        expect(yield* Schema.decode(Schema.parseJson(RWKVError.RWKVError))(json)).toMatchObject({ requestId: id })
      })
  )

  it.effect("is told where an answer is no event stream", () =>
    Effect.gen(function*() {
      const call = (http: HttpClient.Service) => Stream.runDrain(http.stream("TMP_1"))
      const { http } = yield* wire.make(() => wire.json({}, 200, headers))
      expect(yield* wire.failure(call(http))).toMatchObject({ _tag: "RWKVDecodeError", requestId: id })
    }))

  it.effect("is the first that the answer has of the names that are allowed", () =>
    Effect.gen(function*() {
      const respond = () => wire.json({}, 500, { "cf-ray": "c", "x-correlation-id": "b", "x-mine": "a" })
      const of = (requestIdHeaders?: ReadonlyArray<string>) =>
        Effect.map(failing(respond, { requestIdHeaders }), (error) => Reflect.get(Object(error), "requestId"))
      expect(yield* of()).toBe("b")
      expect(yield* of(["X-Mine", "cf-ray"])).toBe("a")
      expect(yield* of([])).toBeUndefined()
    }))

  it.effect.each([
    ["too long", "x".repeat(129)],
    ["of several words", "a b"],
    ["a secret that is echoed", "sk-12345-secret"],
    ["around such a secret", "id-sk-12345-secret"],
    ["empty", ""]
  ])("is not told if it is %s", ([, value = ""]) =>
    Effect.gen(function*() {
      const error = yield* failing(() => wire.json({}, 500, { "x-request-id": value }), {
        apiKey: Redacted.make("sk-12345-secret")
      })
      expect(error).toMatchObject({ _tag: "RWKVServerError" })
      expect(Object(error).requestId).toBeUndefined()
    }))

  it.effect.each([
    ["set-cookie"],
    ["Authorization"],
    ["a b"],
    [5],
    [""],
    "x-request-id",
    Array.from({ length: 17 }, () => "x-a")
  ])(
    "names that hold secrets, or are none, are refused: %j",
    (requestIdHeaders) =>
      Effect.gen(function*() {
        const error = yield* wire.failure(wire.make(wire.ok, wire.untyped({ requestIdHeaders })))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "requestIdHeaders" }] })
      })
  )
})
