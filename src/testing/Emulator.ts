/**
 * RWKV-Server in memory: as an `HttpClient` without sockets, and as an `HttpApp` for any server of the platform.
 *
 * It follows the Effect Clock (a TestClock drives generation), is deterministic by seed, plays scripted replies,
 * injects faults, and records what it was asked. Its own words come from a small byte n-gram model.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as App from "./http/app.js"
import * as Client from "./http/client.js"
import { Exchange } from "./http/exchange.js"
import type { Fault } from "./http/faults.js"
import type { RecordedRequest } from "./http/request.js"
import type { EndedBy, Script } from "./model/script.js"
import { decodeLossy, join } from "./model/text.js"
import * as Chats from "./server/chat.js"
import * as Machine from "./server/machine.js"
import type { Options, Profile, PromptRequest } from "./server/options.js"
import { FINISHED, READY, RUNNING, type Status, type Task } from "./server/task.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type Fault,
  /**
   * @example
   * import { Emulator } from "effect-rwkv/testing"
   *
   * const cut = Emulator.FaultKind.Cut({ afterBytes: 100, clean: false })
   *
   * assert.strictEqual(cut._tag, "Cut")
   *
   * @since 0.1.0
   * @category constructors
   */
  FaultKind
} from "./http/faults.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Options,
  /**
   * @since 0.1.0
   * @category models
   */
  Profile,
  /**
   * @since 0.1.0
   * @category models
   */
  PromptRequest
} from "./server/options.js"

export {
  /**
   * @example
   * import { HttpClient } from "@effect/platform"
   * import { Effect } from "effect"
   * import { Emulator } from "effect-rwkv/testing"
   *
   * // the code that a program sees under the platform's error
   * const program = Effect.gen(function*() {
   *   const emulator = yield* Emulator.Emulator
   *   yield* emulator.inject({ kind: Emulator.FaultKind.Refuse({}) })
   *   const error = yield* Effect.flip(HttpClient.get("http://localhost:8000/v1/models"))
   *   return error._tag === "RequestError" && error.cause instanceof Emulator.SocketError ? error.cause.code : "none"
   * }).pipe(Effect.provide(Emulator.layer()))
   *
   * Effect.runPromise(program).then((code) => assert.strictEqual(code, "ECONNREFUSED"))
   *
   * @since 0.1.0
   * @category errors
   */
  SocketError
} from "./http/socket.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  RecordedRequest
} from "./http/request.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  EndedBy,
  /**
   * @since 0.1.0
   * @category models
   */
  Script
} from "./model/script.js"

export type {
  /**
   * @since 0.2.0
   * @category models
   */
  PastRun
} from "./model/session.js"

export type {
  /**
   * @since 0.2.0
   * @category models
   */
  Chat,
  /**
   * @since 0.2.0
   * @category models
   */
  Said
} from "./server/chat.js"

/**
 * A task as the server holds it. Its `text` is decoded character by character, so that a cut one does not hide the
 * rest.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskSnapshot {
  /** The id to use over HTTP; of a task that was evicted or deleted and still runs, the one it was made with. */
  readonly taskId: string
  /** 0 prefill, 1 ready, 2 running, 3 finished. */
  readonly status: Status
  /** Tokens of the current run. */
  readonly generated: number
  readonly text: string
  /** Why the last run ended; undefined while it runs, and for tasks restored from the database. */
  readonly endedBy: EndedBy | undefined
  /** False = evicted or deleted, but still in the scheduler. */
  readonly cached: boolean
}

/**
 * A running emulator.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly profile: Profile
  /** To be served by any `HttpServer` of the platform. */
  readonly httpApp: HttpApp.Default<never, Scope.Scope>
  /** In process; it takes any host and port for its own, and does not follow redirects. */
  readonly httpClient: HttpClient.HttpClient
  /** All requests that reached the server, in order of arrival. */
  readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
  readonly clearRequests: Effect.Effect<void>
  /** Tasks in memory, in the cache or in the scheduler. */
  readonly tasks: Effect.Effect<ReadonlyArray<TaskSnapshot>>
  /** Tasks ready or running in the scheduler, those included that were evicted or deleted and run on unseen. */
  readonly running: Effect.Effect<number>
  /** Streamed response bodies being read right now. */
  readonly openStreams: Effect.Effect<number>
  /** Queues a fault for the next requests that match. */
  readonly inject: (fault: Fault) => Effect.Effect<void>
  readonly clearFaults: Effect.Effect<void>
  /**
   * Shuts the server down gracefully. New connections are refused (`ECONNREFUSED`; also on a real socket, if it is
   * Node's and has had a request). Tasks go on, and open requests are served to their end, however long. Then all tasks
   * are stopped, and the persistent ones stored. The server stays down until `restart`, which also ends a shutdown that
   * still waits.
   */
  readonly shutdown: Effect.Effect<void>
  /**
   * Ends the server and starts it again. Open streams are cut and memory is lost; `"graceful"` first stops all tasks
   * and stores the persistent ones, `"kill"` does not.
   */
  readonly restart: (how: "graceful" | "kill") => Effect.Effect<void>
}

/**
 * The emulator as a service.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { RWKV, TaskService } from "effect-rwkv"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * // what the server has seen
 * const program = Effect.gen(function*() {
 *   yield* TaskService.models
 *   const emulator = yield* Emulator.Emulator
 *   return (yield* emulator.requests).map(({ path }) => path)
 * }).pipe(Effect.provide(Layer.provideMerge(RWKV.layer(), Emulator.layer())))
 *
 * Effect.runPromise(program).then((paths) => assert.deepStrictEqual(paths, ["/v1/models"]))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class Emulator extends Context.Tag("effect-rwkv/testing/Emulator")<Emulator, Service>() {}

const snapshots = (machine: Machine.Machine): ReadonlyArray<TaskSnapshot> => {
  const snapshot = (taskId: string, task: Task, cached: boolean): TaskSnapshot => ({
    taskId,
    status: task.status,
    generated: task.buffer.length,
    text: decodeLossy(join(task.buffer)),
    endedBy: task.status === FINISHED ? task.endedBy : undefined,
    cached
  })
  const cached = Array.from(machine.store.cache, ([taskId, task]) => snapshot(taskId, task, true))
  const known = new Set(machine.store.cache.values())
  const hidden = Array.from(machine.scheduler.listed()).filter((task) => !known.has(task))
  return [...cached, ...hidden.map((task) => snapshot(task.ownId, task, false))]
}

/**
 * Starts an emulator. Its scheduler lives as long as the scope.
 *
 * @example
 * import { Effect } from "effect"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const emulator = yield* Emulator.make({ reply: () => "Hello!" })
 *   const response = yield* emulator.httpClient.get("http://localhost:8000/v1/models")
 *   return response.status
 * }))
 *
 * Effect.runPromise(program).then((status) => assert.strictEqual(status, 200))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const machine = yield* Machine.make(options)
    const exchange = new Exchange(machine)
    return {
      profile: machine.settings.profile,
      httpApp: App.make(exchange),
      httpClient: Client.make(exchange),
      requests: Effect.sync(() => exchange.requests.slice()),
      clearRequests: Effect.sync(() => {
        exchange.requests = []
      }),
      tasks: Effect.sync(() => snapshots(machine)),
      running: Effect.sync(() =>
        Array.from(machine.scheduler.listed())
          .filter((task) => task.status === READY || task.status === RUNNING).length
      ),
      openStreams: Effect.sync(() => exchange.open),
      inject: (fault) => Effect.sync(() => exchange.inject(fault)),
      clearFaults: Effect.sync(() => {
        exchange.faults = []
      }),
      shutdown: exchange.shutdown,
      restart: (how) => exchange.restart(how)
    }
  })

/**
 * Replies by messages, for the option `reply`. The function gets the chat whose next message is the model's, also for a
 * task that is continued, and returns an answer, or a reply with `reasoning` and `toolCalls`.
 *
 * The reply is written as the model would write it after this prompt, such as with the end of a thought that the prompt
 * began. It is sent one UTF-8 byte a token and ends where the model begins the user's turn, with a line break that
 * stays in the text; a `Script` fixes tokens and end. Undefined, or a prompt that is no chat, leaves the answer to the
 * toy model.
 *
 * @example
 * import { Effect, Layer, Stream } from "effect"
 * import { RWKV, StreamService } from "effect-rwkv"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const reply = Emulator.chat(({ messages, turn }) => ({
 *   reasoning: `Message ${messages.length}`,
 *   text: `You said ${turn}`
 * }))
 * const emulated = RWKV.layer().pipe(Layer.provide(Emulator.layer({ pulse: 0, reply })))
 *
 * const program = Effect.gen(function*() {
 *   const prompt = yield* RWKVChat.prompt([RWKVChat.user("Hi")], { think: "on" })
 *   const text = yield* Stream.mkString(StreamService.create({ prompt, maxTokens: 100 }))
 *   return RWKVChat.reply(text, { think: "on" })
 * })
 *
 * Effect.runPromise(Effect.provide(program, emulated)).then(({ text }) => assert.strictEqual(text, "You said Hi"))
 *
 * @since 0.2.0
 * @category replies
 */
export const chat = (say: (chat: Chats.Chat) => Chats.Said): (request: PromptRequest) => Script | undefined =>
  Chats.chat(say)

/**
 * The emulator, and its `HttpClient` where production provides `FetchHttpClient.layer`.
 *
 * @example
 * import { HttpClient } from "@effect/platform"
 * import { Effect } from "effect"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const program = Effect.gen(function*() {
 *   yield* HttpClient.get("http://localhost:8000/v1/tasks/list")
 *   const emulator = yield* Emulator.Emulator
 *   return yield* emulator.requests
 * }).pipe(Effect.provide(Emulator.layer()))
 *
 * Effect.runPromise(program).then((requests) => assert.strictEqual(requests[0]?.path, "/v1/tasks/list"))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Emulator | HttpClient.HttpClient> =>
  Layer.scopedContext(
    Effect.map(make(options), (service) =>
      Context.make(Emulator, service).pipe(Context.add(HttpClient.HttpClient, service.httpClient)))
  )

/**
 * The emulator behind a real socket: serves it over the `HttpServer` that is provided.
 *
 * On Node, `Refuse` and `Reset` reset the accepted connection (a listening server cannot refuse one), a cut body closes
 * it, and so does a 500, as on the real server. Other servers get a response whose body fails.
 *
 * @example
 * import { HttpServer } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * // In a program: NodeHttpServer.layer(createServer, { port: 8000 })
 * const server = Layer.succeed(
 *   HttpServer.HttpServer,
 *   HttpServer.make({
 *     address: { _tag: "TcpAddress", hostname: "127.0.0.1", port: 8000 },
 *     serve: () => Effect.void
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const emulator = yield* Emulator.Emulator
 *   return emulator.profile
 * }).pipe(Effect.provide(Emulator.layerServer().pipe(Layer.provide(server))))
 *
 * Effect.runPromise(program).then((profile) => assert.strictEqual(profile, "current"))
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (options: Options = {}): Layer.Layer<Emulator, never, HttpServer.HttpServer> =>
  Layer.unwrapEffect(Effect.map(Emulator, (emulator) => HttpServer.serve(emulator.httpApp))).pipe(
    Layer.provideMerge(Layer.scoped(Emulator, make(options)))
  )
