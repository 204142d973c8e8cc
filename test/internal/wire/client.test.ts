import { HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream, Tracer } from "effect"
import { Polling, RWKV, StreamService, TaskService, Telemetry } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Tcp from "../../support/tcp.js"

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

    it.live(`may read a stream before the SDK does, which completes it from the result (${name})`, () =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const text = yield* Stream.mkString(StreamService.subscribe(Tcp.id)).pipe(
          Tcp.client(server, http, {
            transformClient: HttpClient.tap((response) => Effect.ignore(response.text)),
            retry: Polling.noRetry
          })
        )
        expect(text).toBe("text")
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

describe("a program without a tracer", () => {
  const seen = (settings: Telemetry.Settings) =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const traced: Array<boolean> = []
      const client = HttpClient.make((request) =>
        Effect.map(Effect.orDie(Effect.currentSpan), ({ name }) => {
          names.push(name)
          traced.push("traceparent" in request.headers)
          return HttpClientResponse.fromWeb(request, Response.json({ object: "list", data: [] }))
        })
      )
      const live = Layer.provide(RWKV.layer(), Layer.succeed(HttpClient.HttpClient, client))
      yield* TaskService.models.pipe(Effect.provideService(Telemetry.Telemetry, settings), Effect.provide(live))
      return { names, traced }
    })

  it.effect("makes a span for a verb, and none for its requests, which nobody would hear of", () =>
    Effect.gen(function*() {
      expect(yield* seen({})).toEqual({ names: ["TaskService.models"], traced: [false] })
    }))

  it.effect("makes those of requests where their trace is passed on to the server", () =>
    Effect.gen(function*() {
      expect(yield* seen({ propagation: true })).toEqual({ names: ["http.client GET"], traced: [true] })
    }))
})
