/** Mistakes that were made once. */
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream, Tracer } from "effect"
import { Polling, RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Body from "../../src/internal/wire/body.js"
import { makeDecoder } from "../../src/internal/wire/sse.js"
import * as Tcp from "../faults/support/tcp.js"

describe("a client that reads answers itself", () => {
  for (const [name, http] of [...Tcp.https, ["node:http", NodeHttpClient.layer] as const]) {
    it.live(`may read their text before the SDK does (${name})`, () =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const info = yield* TaskService.status(Tcp.id).pipe(Tcp.client(server, http, {
          transformClient: HttpClient.tap((response) => Effect.ignore(response.text))
        }))
        expect(info.status).toBe("Finished")
      }).pipe(Effect.scoped))

    it.live(`is told by type that nothing is left of a stream that it has read (${name})`, () =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const error = yield* Effect.flip(Stream.runDrain(StreamService.subscribe(Tcp.id))).pipe(
          Tcp.client(server, http, {
            transformClient: HttpClient.tap((response) => Effect.ignore(response.text)),
            retry: Polling.noRetry
          })
        )
        expect(error._tag).toMatch(/^(RWKVConnectionError|StreamTruncatedError)$/)
      }).pipe(Effect.scoped))
  }
})

describe("a client that brings a tracer", () => {
  it.effect("gets the spans of requests, whoever traces outside", () =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const native = yield* Effect.tracer
      const tracer = Tracer.make({
        span: (name, ...rest) => {
          names.push(name)
          return native.span(name, ...rest)
        },
        context: (run) => run()
      })
      const transformClient = (client: HttpClient.HttpClient) =>
        HttpClient.transform(client, (effect) => Effect.withTracer(effect, tracer))
      const live = Layer.provide(RWKV.layer({ transformClient }), Emulator.layer())
      yield* Effect.provide(TaskService.models, live)
      expect(names).toEqual(["http.client GET"])
    }))
})

describe("frames", () => {
  it("of any length are no mistake, whatever they are made of", () => {
    const text = "\u{1F600}".repeat(4 * 1024 * 1024)
    const decoder = makeDecoder(64 * 1024 * 1024, (said) => said)
    const frames = decoder.push(new TextEncoder().encode(`data: ${JSON.stringify({ data: text })}\n\n`))
    expect(frames.map((frame) => frame._tag === "Data" && frame.text === text)).toEqual([true])
  })
})

describe("bodies", () => {
  it.effect("that a runtime does not show are read as text", () =>
    Effect.gen(function*() {
      const shown = new Response("hidden", { headers: { "content-type": "application/json" } })
      const response = HttpClientResponse.fromWeb(
        HttpClientRequest.get("http://localhost"),
        new Proxy(shown, {
          get: (target, key) =>
            key === "body" ? undefined : key === "text" ? () => target.text() : Reflect.get(target, key, target)
        })
      )
      expect(yield* Body.text(response, 100, () => "too large")).toBe("hidden")
      expect(yield* Effect.flip(Body.text(response, 3, () => "too large"))).toBe("too large")
    }))
})
