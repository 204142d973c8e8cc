import { HttpBody, HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope, Stream } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { tick } from "../../support/emulator.js"
import { origin } from "../../support/wire.js"

const { FaultKind } = Emulator

describe("the client", () => {
  it.effect("bodies can be read as text, JSON, bytes and parameters, more than once", () =>
    Effect.gen(function*() {
      const response = yield* HttpClient.get(`${origin}/v1/tasks/list`)
      const text = yield* response.text
      expect(yield* response.json).toEqual(JSON.parse(text))
      expect(new TextDecoder().decode(yield* response.arrayBuffer)).toBe(text)
      expect((yield* response.urlParamsBody)[0]?.[0]).toBe(text)
      expect((yield* Effect.flip(response.formData)).reason).toBe("Decode")
      expect(response.toJSON()).toMatchObject({ status: 200 })
    }).pipe(Effect.provide(Emulator.layer())))

  it.effect("takes every kind of request body", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const request = HttpClientRequest.post(`${origin}/v1/tasks/tmp`)
      const bytes = new TextEncoder().encode("é")
      for (
        const body of [
          HttpBody.text("é"),
          HttpBody.raw("é"),
          HttpBody.raw(bytes),
          HttpBody.stream(Stream.make(bytes.subarray(0, 1), bytes.subarray(1))),
          HttpBody.empty,
          HttpBody.formData(new FormData())
        ]
      ) {
        yield* HttpClient.execute(HttpClientRequest.setBody(request, body))
      }
      expect((yield* emulator.requests).map(({ body }) => body)).toEqual(["é", "é", "é", "é", "", ""])
      const broken = HttpClientRequest.setBody(request, HttpBody.stream(Stream.fail("broken")))
      expect((yield* Effect.flip(HttpClient.execute(broken))).reason).toBe("Transport")
    }).pipe(Effect.provide(Emulator.layer())))

  it.effect("closing the scope of a client cuts its stream", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const client = HttpClient.withScope(yield* HttpClient.HttpClient)
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Stall({ afterBytes: 3 }) })
      const response = yield* Scope.extend(client.get(`${origin}/v1/models`), scope)
      const reader = yield* Effect.fork(response.text)
      yield* tick(10)
      expect(yield* emulator.openStreams).toBe(1)
      yield* Scope.close(scope, Exit.void)
      expect((yield* Effect.flip(reader)).cause).toMatchObject({ code: "ABORT_ERR" })
      expect(yield* emulator.openStreams).toBe(0)
      expect((yield* Effect.flip(response.text)).reason).toBe("Decode")
    }).pipe(Effect.provide(Emulator.layer())))

  it.effect("a body that is no JSON fails with Decode", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Respond({ status: 200, headers: {}, body: "{" }) })
      const response = yield* HttpClient.get(`${origin}/v1/tasks/list`)
      expect((yield* Effect.flip(response.json)).reason).toBe("Decode")
    }).pipe(Effect.provide(Emulator.layer())))
})
