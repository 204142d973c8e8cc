/**
 * What is tried on each runtime and in a page: it sees nothing of the server but the server's answers, and uses nothing of any
 * one runtime. `cases.ts` looks at the other side.
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

const turn = ({ reply }: RWKVChat.Turn) => `${reply.reasoning}|${reply.text}`

const chat = Effect.gen(function*() {
  const session = yield* RWKVChat.session({ think: "on", generation: { maxTokens: 500 } })
  const first = turn(yield* session.send("Hi"))
  const parts = yield* Stream.runCollect(session.stream("Bye"))
  const said = (tag: RWKVChat.ReplyPart["_tag"]) =>
    Chunk.toReadonlyArray(parts).map((part) => part._tag === tag && "text" in part ? part.text : "").join("")
  return [first, `${said("Reasoning")}|${said("Text")}`].join("\n")
}).pipe(Effect.scoped)

const pieces = Effect.map(Stream.runCollect(StreamService.create(request)), (pieces) => {
  const all = Chunk.toReadonlyArray(pieces)
  return `${all.length >= 2 ? "piece by piece" : `${all.length} pieces`}: ${all.join("")}`
})

const wait = Effect.gen(function*() {
  const task = yield* TaskService.create(request)
  const { text } = yield* task.wait({ timeout: "20 seconds" })
  yield* task.delete()
  return text
})

const left = Effect.as(Stream.runDrain(Stream.take(StreamService.create(endless), 3)), "left")

/** Those of a failure send one request, and repeat nothing. */
const patient: Readonly<Record<string, Case>> = { stream: pieces, chat }
const impatient: Readonly<Record<string, Case>> = {
  wait,
  left,
  text: Stream.mkString(StreamService.create(request)),
  run: Effect.map(TaskService.run(request), ({ text }) => text),
  poll: Effect.map(TaskService.run(request, { by: "polling" }), ({ text }) => text),
  create: Effect.map(TaskService.create({ prompt: "Hello", maxTokens: 1 }), ({ id }) => id),
  status: Effect.map(TaskService.status("TMP_0"), ({ status }) => status),
  models: Effect.map(TaskService.models, (models) => models.map(({ id }) => id).join())
}

/** A program that aborts, as the user of a page leaves. */
const aborted = async (url: string): Promise<Told> => {
  const controller = new AbortController()
  const program = Stream.runForEach(StreamService.create(endless), () => Effect.sync(() => controller.abort()))
  const exit = await Effect.runPromiseExit(Effect.provide(program, layer(url)), { signal: controller.signal })
  return { text: exit._tag }
}

/** Three runtimes, each with services of its own, at once. */
const three = async (url: string): Promise<Told> => {
  const texts = [1, 2, 3].map(async (index) => {
    const runtime = ManagedRuntime.make(layer(url))
    const text = await runtime.runPromise(
      Stream.mkString(StreamService.create({ ...request, prompt: `Hello ${index}` }))
    )
    await runtime.dispose()
    return text
  })
  return { text: (await Promise.all(texts)).join("\n") }
}

const attempt = (name: string, url: string): Promise<Told> =>
  Effect.runPromise(
    (patient[name] ?? impatient[name] ?? Effect.die(`no case ${name}`)).pipe(
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
      Effect.provide(layer(url, name in patient ? {} : { retry: Polling.noRetry, requestTimeout: "10 seconds" }))
    )
  )

export const battery = (name: string, url: string): Promise<Told> =>
  name === "aborted" ? aborted(url) : name === "three" ? three(url) : attempt(name, url)
