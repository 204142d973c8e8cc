/**
 * What is tried in a page: it sees nothing of the server but the server's answers. `run.ts` looks at the other side.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Chunk, Effect, Layer, ManagedRuntime, Stream } from "effect"
import { Polling, RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import type { Told } from "./told.js"

type Case = Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV>

const layer = (baseUrl: string, options: Parameters<typeof RWKV.layer>[0] = {}) =>
  RWKV.layer({ baseUrl, ...options }).pipe(Layer.provide(FetchHttpClient.layer))

const request = { prompt: "Hello", maxTokens: 1000 }
const endless = { prompt: "endless", maxTokens: 40_000 }

const chat = Effect.gen(function*() {
  const options: RWKVChat.PromptOptions = { think: "on" }
  const prompt = yield* RWKVChat.prompt([RWKVChat.user("Hi")], options)
  const text = yield* Stream.mkString(StreamService.create({ prompt, maxTokens: 500 }, { stop: RWKVChat.stops }))
  const { reasoning, text: answer } = RWKVChat.reply(text, options)
  return `${reasoning}|${answer}`
})

const pieces = Effect.map(Stream.runCollect(StreamService.create(request)), (pieces) => {
  const all = Chunk.toReadonlyArray(pieces)
  return `${all.length >= 5 ? "piece by piece" : `${all.length} pieces`}: ${all.join("")}`
})

const wait = Effect.gen(function*() {
  const task = yield* TaskService.create(request)
  const { text } = yield* task.wait({ timeout: "20 seconds" })
  yield* task.delete()
  return text
})

const left = Effect.as(Stream.runDrain(Stream.take(StreamService.create(endless), 3)), "left")

/** Cases for one client. Those of a failure send one request, and repeat nothing. */
const cases: Readonly<Record<string, Case>> = {
  stream: pieces,
  wait,
  run: Effect.map(TaskService.run(request), ({ text }) => text),
  poll: Effect.map(TaskService.run(request, { by: "polling" }), ({ text }) => text),
  chat,
  left,
  create: Effect.map(TaskService.create({ prompt: "Hello", maxTokens: 1 }), ({ id }) => id),
  status: Effect.map(TaskService.status("TMP_0"), ({ status }) => status),
  models: Effect.map(TaskService.models, (models) => models.map(({ id }) => id).join())
}

/** A page that aborts, as its users leave. */
const aborted = async (url: string) => {
  const controller = new AbortController()
  const program = Stream.runForEach(StreamService.create(endless), () => Effect.sync(() => controller.abort()))
  const exit = await Effect.runPromiseExit(Effect.provide(program, layer(url)), { signal: controller.signal })
  return exit._tag
}

/** Three runtimes, each with services of its own, at once. */
const three = async (url: string) => {
  const texts = [1, 2, 3].map(async (index) => {
    const runtime = ManagedRuntime.make(layer(url))
    const text = await runtime.runPromise(
      Stream.mkString(StreamService.create({ ...request, prompt: `Hello ${index}` }))
    )
    await runtime.dispose()
    return text
  })
  return (await Promise.all(texts)).join("\n")
}

const attempt = (name: string, url: string): Promise<Told> =>
  Effect.runPromise(
    (cases[name] ?? Effect.die(`no case ${name}`)).pipe(
      Effect.match({
        onFailure: (error): Told => ({
          failure: {
            tag: error._tag,
            message: error.message,
            isTransient: error.isTransient,
            isSafeToRepeat: error.isSafeToRepeat,
            requestId: error.requestId
          }
        }),
        onSuccess: (text): Told => ({ text })
      }),
      Effect.provide(layer(url, cases[name] === cases["stream"] ? {} : { retry: Polling.noRetry }))
    )
  )

const battery = async (name: string, url: string): Promise<Told> =>
  name === "aborted" ? { text: await aborted(url) } : name === "three" ? { text: await three(url) } : attempt(name, url)

Object.assign(globalThis, { battery })
