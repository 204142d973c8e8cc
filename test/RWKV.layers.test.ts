/** F86: services with different options in one layer graph are different services, however the layers are composed. */
import type { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Stream } from "effect"
import { HttpClient, RWKV, RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"

interface Calls {
  readonly tasks: TaskService.Service
  readonly streams: StreamService.Service
  readonly http: HttpClient.Service
}

class First extends Context.Tag("First")<First, Calls>() {}
class Second extends Context.Tag("Second")<Second, Calls>() {}

type Services = Layer.Layer<RWKV.RWKV, unknown, Platform.HttpClient>

const calls = Effect.all({
  tasks: TaskService.TaskService,
  streams: StreamService.StreamService,
  http: HttpClient.RWKVHttpClient
})

/** A program of two services, each over a client of its own. */
const two = (first: Services, second: Services) =>
  Layer.merge(
    Layer.provide(Layer.effect(First, calls), first),
    Layer.provide(Layer.effect(Second, calls), second)
  )

const ask = ({ http, streams, tasks }: Calls, prompt: string) =>
  Effect.zipRight(
    Effect.all([
      tasks.run({ prompt, maxTokens: 5 }),
      Stream.runDrain(streams.create({ prompt, maxTokens: 5 })),
      http.create({ prompt, maxTokens: 0 })
    ], { discard: true }),
    Effect.flatMap(tasks.create({ prompt, maxTokens: 5 }), (task) => Stream.runDrain(task.stream()))
  )

const first = { baseUrl: "http://first.example" }
const second = { baseUrl: "http://second.example" }

/** The same composition, twice, with other options. */
const compositions: Readonly<Record<string, (options: RWKVConfig.Options) => Services>> = {
  "RWKV.layer": RWKV.layer,
  "RWKV.layerConfig": ({ baseUrl = "" }) =>
    RWKV.layerConfig().pipe(
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["RWKV_BASE_URL", baseUrl]]))))
    ),
  "RWKV.layerWithoutConfig": (options) => Layer.provideMerge(RWKV.layerWithoutConfig, RWKVConfig.layer(options)),
  "the layers one by one": (options) =>
    TaskService.layer.pipe(
      Layer.provideMerge(StreamService.layer),
      Layer.provideMerge(HttpClient.layer),
      Layer.provideMerge(RWKVConfig.layer(options))
    ),
  "one endpoints' layer for tasks and streams": (options) => {
    const http = Layer.provideMerge(HttpClient.layer, RWKVConfig.layer(options))
    const streams = Layer.provideMerge(StreamService.layer, http)
    return Layer.mergeAll(Layer.provide(TaskService.layer, Layer.merge(streams, http)), streams, http)
  }
}

describe("F86 two sets of services in one layer graph", () => {
  for (const [name, compose] of Object.entries(compositions)) {
    for (const [other, composeOther] of Object.entries(compositions)) {
      it.live(`${name} beside ${other}: each speaks to its own server`, () =>
        Effect.gen(function*() {
          const emulator = yield* Emulator.Emulator
          yield* Effect.provide(
            Effect.gen(function*() {
              yield* ask(yield* First, "for the first")
              yield* ask(yield* Second, "for the second")
            }),
            two(compose(first), composeOther(second))
          )
          const prompts = (yield* emulator.requests).filter(({ body }) => body.includes("for the"))
          expect(prompts).toHaveLength(8)
          for (const { body, headers } of prompts) {
            expect(headers["host"]).toBe(body.includes("for the first") ? "first.example" : "second.example")
          }
          const hosts = (yield* emulator.requests).map(({ headers }) => headers["host"])
          const middle = hosts.indexOf("second.example")
          expect(hosts.slice(0, middle).every((host) => host === "first.example")).toBe(true)
        }).pipe(Effect.provide(Emulator.layer({ reply: () => "text", pulse: 0, pollInterval: 1 }))))
    }
  }

  it.live("two uses of one layer value share one client, and what it knows of its tasks", () =>
    Effect.gen(function*() {
      const shared = RWKV.layer(first)
      yield* Effect.provide(
        Effect.gen(function*() {
          const one = yield* First
          const other = yield* Second
          expect(one.tasks).toBe(other.tasks)
          const task = yield* one.tasks.create({ prompt: "long", maxTokens: 4000 })
          yield* one.tasks.stop(task.id)
          expect(yield* Effect.flip(other.tasks.wait(task.id))).toMatchObject({ _tag: "TaskCancelledError" })
        }),
        two(shared, shared)
      )
    }).pipe(Effect.provide(Emulator.layer({ reply: () => "endless ".repeat(2000) }))))
})
