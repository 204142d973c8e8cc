import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream, Tracer } from "effect"
import { Polling, RWKV, StreamService, TaskService } from "effect-rwkv"
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
