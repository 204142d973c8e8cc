import { FetchHttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Redacted, Stream } from "effect"
import { HttpClient, RWKV, RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { settle } from "./support/harness.js"
import { live } from "./support/program.js"

const echo: Emulator.Options = { reply: ({ text }) => `<${text}>` }

const program = Effect.gen(function*() {
  const result = yield* settle(TaskService.run({ prompt: "a" }))
  const text = yield* settle(Stream.mkString(StreamService.create({ prompt: "b" })))
  return [result.text, text]
})

describe("layer", () => {
  it.effect("provides all services with the default options", () =>
    Effect.gen(function*() {
      expect(yield* program).toEqual(["<a>", "<b>"])
      const http = yield* HttpClient.RWKVHttpClient
      expect(yield* http.models()).toHaveLength(1)
      const config = yield* RWKVConfig.RWKVConfig
      expect(config.baseUrl).toBe("http://localhost:8000")
      expect(Duration.toSeconds(config.requestTimeout)).toBe(120)
    }).pipe(Effect.provide(live(echo))))

  it.effect("sends its headers, its key and its path with every request", () =>
    Effect.gen(function*() {
      const { requests } = yield* Emulator.Emulator
      const error = yield* Effect.flip(TaskService.list)
      expect(error).toMatchObject({ _tag: "RWKVStatusError", status: 404 })
      const [request] = yield* requests
      expect(request?.path).toBe("/rwkv/v1/tasks/list")
      expect(request?.headers).toMatchObject({ host: "inference.example", authorization: "Bearer secret", "x-a": "b" })
      expect(JSON.stringify(error)).not.toContain("secret")
    }).pipe(
      Effect.provide(Layer.provideMerge(
        RWKV.layer({
          baseUrl: "http://inference.example/rwkv/",
          apiKey: Redacted.make("secret"),
          headers: { "X-A": "b" }
        }),
        Emulator.layer()
      ))
    ))

  it.effect("F08 F70 fails for bad options before anything is sent", () =>
    Effect.gen(function*() {
      const { requests } = yield* Emulator.Emulator
      const options: ReadonlyArray<readonly [string, RWKVConfig.Options]> = [
        ["baseUrl", { baseUrl: "localhost" }],
        ["baseUrl", { baseUrl: "ftp://localhost" }],
        ["baseUrl", { baseUrl: "http://user:secret@localhost" }],
        ["headers", { headers: { "x-a": "b\r\nx-c: d" } }],
        ["apiKey", { apiKey: Redacted.make("a\nb") }],
        ["maxTokens", { defaults: { maxTokens: -1 } }],
        ["maxResponseSize", { maxResponseSize: 0 }]
      ]
      for (const [path, option] of options) {
        const error = yield* Effect.flip(Effect.provide(TaskService.list, RWKV.layer(option)))
        if (error._tag !== "RWKVValidationError") return yield* Effect.dieMessage(error._tag)
        expect(error.issues[0]?.path).toContain(path)
        expect(error.message).not.toContain("secret")
      }
      expect(yield* requests).toEqual([])
    }).pipe(Effect.provide(Emulator.layer())))
})

describe("layerConfig", () => {
  const from = (entries: ReadonlyArray<readonly [string, string]>) =>
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries)))

  it.effect("reads the environment through Config", () =>
    Effect.gen(function*() {
      const { requests } = yield* Emulator.Emulator
      const config = yield* Effect.provide(
        Effect.zipRight(Effect.exit(TaskService.list), RWKVConfig.RWKVConfig),
        RWKV.layerConfig({ defaults: { maxTokens: 5 } })
      ).pipe(from([
        ["RWKV_BASE_URL", "http://inference.example"],
        ["RWKV_API_KEY", "secret"],
        ["RWKV_REQUEST_TIMEOUT", "7 seconds"]
      ]))
      expect(config).toMatchObject({ baseUrl: "http://inference.example", defaults: { maxTokens: 5 } })
      expect(Duration.toSeconds(config.requestTimeout)).toBe(7)
      expect((yield* requests)[0]?.headers["authorization"]).toBe("Bearer secret")
    }).pipe(Effect.provide(Emulator.layer())))

  it.effect("needs none of it", () =>
    Effect.gen(function*() {
      expect(yield* program).toEqual(["<a>", "<b>"])
    }).pipe(Effect.provide(Layer.provideMerge(RWKV.layerConfig(), Emulator.layer(echo))), from([])))

  it.effect("fails for what cannot be read and for what is invalid", () =>
    Effect.gen(function*() {
      const layer = RWKV.layerConfig()
      const unreadable = yield* TaskService.list.pipe(
        Effect.provide(layer),
        from([["RWKV_REQUEST_TIMEOUT", "soon"]]),
        Effect.flip
      )
      expect(unreadable).toMatchObject({ _op: "InvalidData" })
      const invalid = yield* TaskService.list.pipe(
        Effect.provide(layer),
        from([["RWKV_BASE_URL", "nowhere"]]),
        Effect.flip
      )
      expect(invalid).toMatchObject({ _tag: "RWKVValidationError" })
    }).pipe(Effect.provide(Emulator.layer())))
})

describe("layerFetch", () => {
  it.effect("leaves nothing to provide and goes through fetch", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const fetch: typeof globalThis.fetch = (input) => {
        seen.push(String(input))
        const body = { cpu_cache_count: 0, database_count: 0, total_count: 0, cpu_tasks: [], db_tasks: [] }
        return Promise.resolve(new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } }))
      }
      const list = yield* TaskService.list.pipe(
        Effect.provide(RWKV.layerFetch({ baseUrl: "http://inference.example" })),
        Effect.provideService(FetchHttpClient.Fetch, fetch)
      )
      expect(list.totalCount).toBe(0)
      expect(seen).toEqual(["http://inference.example/v1/tasks/list"])
    }))

  it.effect("fails for bad options", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.provide(TaskService.list, RWKV.layerFetch({ baseUrl: "" })))
      expect(error._tag).toBe("RWKVValidationError")
    }))
})

describe("composing", () => {
  const forgets = Effect.gen(function*() {
    const source = yield* settle(
      Effect.flatMap(TaskService.createPersistent({ prompt: "source" }), (task) => Effect.as(task.wait(), task))
    )
    yield* settle(Stream.runDrain(StreamService.fork(source.id, { prompt: "fork" })))
    return (yield* source.result).text
  })

  it.effect("layerWithoutConfig takes a configuration of one's own", () =>
    Effect.gen(function*() {
      expect(yield* program).toEqual(["<a>", "<b>"])
    }).pipe(
      Effect.provide(RWKV.layerWithoutConfig.pipe(
        Layer.provide(RWKVConfig.layer({ defaults: { maxTokens: 9 } })),
        Layer.provide(Emulator.layer(echo))
      ))
    ))

  it.effect("services composed one by one remember together", () =>
    Effect.gen(function*() {
      expect(yield* forgets).toBe("<source>")
    }).pipe(
      Effect.provide(
        Layer.mergeAll(TaskService.layer.pipe(Layer.provide(StreamService.layer)), StreamService.layer).pipe(
          Layer.provide(HttpClient.layer),
          Layer.provide(RWKVConfig.layer()),
          Layer.provide(Emulator.layer(echo))
        )
      )
    ))

  it.effect("services of two servers in one program stay apart", () =>
    Effect.gen(function*() {
      const { requests } = yield* Emulator.Emulator
      yield* Effect.provide(TaskService.list, RWKV.layer({ baseUrl: "http://one.example" }))
      yield* Effect.provide(TaskService.list, RWKV.layer({ baseUrl: "http://two.example" }))
      expect((yield* requests).map(({ headers }) => headers["host"])).toEqual(["one.example", "two.example"])
    }).pipe(Effect.provide(Emulator.layer())))
})
