/**
 * The SDK for programs without Effect: promises, `for await`, `AbortSignal`. The same services, errors and options.
 *
 * A promise rejects with the error itself, an instance of one of the classes of `RWKVError`, which this module has as
 * well. Leaving a stream early (`break`, an exception, an abort, `await using`) stops its task on the server, and takes
 * up to 2 seconds to have that answered (`stopTimeout`).
 *
 * @since 0.2.0
 */
/// <reference lib="esnext.disposable" preserve="true" />
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type { HttpClient } from "@effect/platform/HttpClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { constVoid, identity, isFunction } from "effect/Function"
import * as Layer from "effect/Layer"
import { hasProperty } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { ContinueRequest, CreateRequest, FimRequest, ForkRequest } from "./Generation.js"
import { attempt, invalid } from "./internal/input/validate.js"
import { type Holding, type Plain, runner } from "./internal/promise/run.js"
import { isFim } from "./internal/stream/starts.js"
import type * as Protocol from "./Protocol.js"
import * as RWKV from "./RWKV.js"
import type * as RWKVConfig from "./RWKVConfig.js"
import type { WaitFailure } from "./RWKVError.js"
import type { Message, ReplyPart } from "./RWKVMessage.js"
import * as RWKVSession from "./RWKVSession.js"
import * as StreamService from "./StreamService.js"
import type * as Task from "./Task.js"
import * as TaskService from "./TaskService.js"

/**
 * Every way a verb can fail.
 *
 * @since 0.2.0
 */
export * from "./RWKVError.js"

/**
 * What every verb takes: its options of the Effect API, and a `signal`. Aborting that ends the verb early: its promise
 * rejects with `signal.reason`, and what it started is stopped. `onProgress` may return a promise, which is waited for;
 * what it throws is thrown.
 *
 * @since 0.2.0
 * @category models
 */
export type Options<O = object> = Plain<O>

type Request = CreateRequest | FimRequest

/**
 * Where the server is, as in `RWKVConfig.Options`, and what requests go through. An invalid option rejects every call
 * with `RWKVValidationError`.
 *
 * @since 0.2.0
 * @category models
 */
export interface ClientOptions extends Omit<RWKVConfig.Options, "apiKey"> {
  /** Sent as `Authorization: Bearer ...` to a proxy before the server; none by default. */
  readonly apiKey?: string | Redacted.Redacted<string> | undefined
  /** Used instead of the runtime's `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Used instead of `fetch`: a layer of the platform's HttpClient, as `Emulator.layer()` of `effect-rwkv/testing`. */
  readonly httpClient?: Layer.Layer<HttpClient> | undefined
}

/**
 * Values as they come. It begins when the first is asked for, and has one reader: a second one is rejected with
 * `RWKVValidationError`. `next` may be called in parallel, and `return` settles those that wait.
 *
 * @since 0.2.0
 * @category models
 */
export interface AsyncStream<A> extends AsyncDisposable {
  readonly [Symbol.asyncIterator]: () => Required<AsyncIterator<A, undefined>> & AsyncIterableIterator<A>
  /** The values for what takes a web stream; cancelling that leaves early. For bytes, pipe it through an encoder. */
  readonly toReadableStream: () => ReadableStream<A>
}

/**
 * What lasts until it is closed, left by its reader, or aborted by the signal that it was made with.
 *
 * @since 0.2.0
 * @category models
 */
export interface Held extends AsyncDisposable {
  /** Stops what runs, and leaves nothing of it on the server; `await using` does the same. */
  readonly close: () => Promise<void>
}

/**
 * A run whose task the server has named. Either `text` or `events` may be read, once; leaving that early stops the task.
 *
 * @since 0.2.0
 * @category models
 */
export interface Run extends Omit<Task.Opened, "text" | "events" | "finished">, Held {
  readonly text: AsyncStream<string>
  readonly events: AsyncStream<Protocol.StreamEvent>
  /** The end, as often as one likes. If nobody reads, the rest is read for it. */
  readonly finished: () => Promise<Protocol.TaskResult>
}

/**
 * A task on the server, by its id. It holds no state: every verb asks the server, as that of `Task.Task` does. Nothing
 * stops or deletes it but `stop` and `delete`.
 *
 * @since 0.2.0
 * @category models
 */
export interface TaskHandle {
  readonly id: string
  /** Waits for the end and reads the text. Aborting it leaves the task alone. */
  readonly wait: (options?: Options<Task.WaitOptions>) => Promise<Protocol.TaskResult>
  /** Reads the text so far. */
  readonly result: (options?: Options) => Promise<Protocol.TaskResult>
  /** Reads the state and the number of tokens so far. */
  readonly status: (options?: Options) => Promise<Protocol.TaskInfo>
  /** Stops the generation and waits until it has stopped. */
  readonly stop: (options?: Options<Task.StopOptions>) => Promise<Protocol.TaskInfo>
  /** Deletes the task, stopping it if it runs: `stop` first, for a stop that misses leaves it running unseen. */
  readonly delete: (options?: Options<Task.DeleteOptions>) => Promise<void>
  /** Starts a new run of this task, which keeps its id. */
  readonly continue: (request: ContinueRequest, options?: Options<Task.BranchOptions>) => Promise<TaskHandle>
  /** Starts a run of a copy of this task. */
  readonly fork: (request: ForkRequest, options?: Options<Task.BranchOptions>) => Promise<TaskHandle>
  /** As `continue`, with the run: `StreamService.openContinue`. */
  readonly openContinue: (request: ContinueRequest, options?: Options<Task.StreamOptions>) => Promise<Run>
  /** As `fork`, with the run: `StreamService.openFork`. */
  readonly openFork: (request: ForkRequest, options?: Options<Task.StreamOptions>) => Promise<Run>
  /** Turns a copy of this task into a template. */
  readonly asTemplate: (options?: Options) => Promise<TaskHandle>
  /** The text of the current run, from its beginning on. Leaving it early leaves the task alone. */
  readonly stream: (options?: Options<Task.SubscribeOptions>) => AsyncStream<string>
  /** The same as events, with the task's figures. */
  readonly streamEvents: (options?: Options<Task.SubscribeOptions>) => AsyncStream<Protocol.StreamEvent>
}

/**
 * A turn whose task the server has named: `RWKVChat.OpenTurn`. No other begins before its end.
 *
 * @since 0.2.0
 * @category models
 */
export interface OpenTurn extends Held {
  /** The reply while it comes. It has one reader; leaving that early leaves the turn. */
  readonly parts: AsyncStream<ReplyPart>
  /** The whole turn, as often as one likes. If nobody reads, the rest is read for it. */
  readonly turn: () => Promise<RWKVSession.Turn>
}

/**
 * A chat with a memory: `RWKVChat.Session`. Turns that are sent at once are sent one after the other. Its history always
 * ends with whole turns: one that is aborted or fails leaves nothing in it, unless `onInterrupt` is `"keep"`. After
 * `close` its verbs reject with `RWKVConnectionError`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Chat extends Held {
  /** The messages so far, without the system's. */
  readonly history: ReadonlyArray<Message>
  /** What `Client.resume` goes on from, here or in another process: plain JSON. */
  readonly state: RWKVSession.SessionState
  /** Sends a turn and reads its reply. Text is a user's message; results of tools are sent as messages. */
  readonly send: (input: RWKVSession.Input, options?: Options<RWKVSession.TurnOptions>) => Promise<RWKVSession.Turn>
  /** The parts of a reply while it comes. Leaving it early leaves the turn. */
  readonly stream: (input: RWKVSession.Input, options?: Options<RWKVSession.TurnOptions>) => AsyncStream<ReplyPart>
  /** Resolves once the server has named the turn's task. */
  readonly open: (input: RWKVSession.Input, options?: Options<RWKVSession.TurnOptions>) => Promise<OpenTurn>
  /** Takes off the user's last message and all after it, and gives them. It waits like a turn. */
  readonly undo: (options?: Options) => Promise<ReadonlyArray<Message>>
  /** A chat of its own with the history of now, and with other options if they are given. */
  readonly branch: (options?: Options<Omit<RWKVSession.SessionOptions, "history">>) => Promise<Chat>
}

/**
 * How one of many runs ended: with a result, or with an error.
 *
 * @since 0.2.0
 * @category models
 */
export type BulkResult =
  & Omit<Task.BulkResult, "result">
  & (
    | { readonly result: Protocol.TaskResult; readonly error?: undefined }
    | { readonly result?: undefined; readonly error: WaitFailure }
  )

/**
 * A client of one server. Each verb is the one of `TaskService` or `StreamService` whose name its errors have as
 * `operation`; after `close` it rejects with `RWKVConnectionError`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Client extends AsyncDisposable {
  /** Runs a task to its end: `TaskService.run`. A `prefix` instead of a `prompt` fills in the middle, here and below. */
  readonly generate: (request: Request, options?: Options<Task.RunOptions>) => Promise<Protocol.TaskResult>
  /** Streams the text of a task: `StreamService.create` and `fim`. */
  readonly stream: (request: Request, options?: Options<Task.StreamOptions>) => AsyncStream<string>
  /** Resolves once the server has named the task: `StreamService.open`. */
  readonly open: (request: Request, options?: Options<Task.StreamOptions>) => Promise<Run>
  /** Creates a task that is left to itself: `TaskService.create` and `fim`. */
  readonly create: (request: Request, options?: Options) => Promise<TaskHandle>
  /** The handle of a task from its id. The server is not asked; a malformed id is rejected by the verbs. */
  readonly task: (id: string) => TaskHandle
  /** Runs many requests, 64 at a time by default: `TaskService.runAll`. What `requests` throws is thrown. */
  readonly generateAll: (
    requests: Iterable<Request> | AsyncIterable<Request>,
    options?: Options<Task.BulkOptions>
  ) => AsyncStream<BulkResult>
  /** Begins a chat with a memory: `RWKVChat.session`. Nothing is sent before its first turn. */
  readonly chat: (options?: Options<RWKVSession.SessionOptions>) => Promise<Chat>
  /** Goes on from the `state` of a chat: `RWKVChat.resume`. */
  readonly resume: (
    state: RWKVSession.SessionState,
    options?: Options<Omit<RWKVSession.SessionOptions, "history">>
  ) => Promise<Chat>
  /** Reads how many tasks the server holds, and their ids. */
  readonly list: (options?: Options) => Promise<Protocol.TaskList>
  /** Reads the server's models; also the way to ask whether it is up. */
  readonly models: (options?: Options) => Promise<ReadonlyArray<Protocol.Model>>
  /** Ends the client: what is open rejects with `RWKVConnectionError`, and its tasks are stopped (`closeTimeout`). */
  readonly close: () => Promise<void>
}

const name = "promise.createClient"

const layerOf = ({ apiKey, fetch, httpClient, ...config }: ClientOptions) => {
  const custom = fetch === undefined ? Layer.empty : Layer.succeed(FetchHttpClient.Fetch, fetch)
  if (!isFunction(fetch ?? constVoid)) return Layer.fail(invalid(name, "fetch", "must be a function"))
  if (!Layer.isLayer(httpClient ?? custom)) return Layer.fail(invalid(name, "httpClient", "must be a layer"))
  return Layer.provide(
    RWKV.layer({ ...config, apiKey: typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey }),
    httpClient ?? Layer.provide(FetchHttpClient.layer, custom)
  )
}

const textOf = (request: Request, options?: Task.StreamOptions) =>
  isFim(request) ? StreamService.fim(request, options) : StreamService.create(request, options)

const bulk = (requests: Iterable<Request> | AsyncIterable<Request>, options?: Task.BulkOptions) =>
  Stream.map(
    TaskService.runAll(
      hasProperty(requests, Symbol.asyncIterator) ? Stream.fromAsyncIterable(requests, identity) : requests,
      options
    ),
    ({ result, ...rest }) =>
      Either.match(result, {
        onLeft: (error): BulkResult => ({ ...rest, error: Cause.originalError(error) }),
        onRight: (result): BulkResult => ({ ...rest, result })
      })
  )

/**
 * Makes a client. Nothing is sent, and nothing is held, before its first verb.
 *
 * @example
 * ```ts
 * import { createClient, RWKVConnectionError } from "effect-rwkv/promise"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * // for a server: createClient({ baseUrl: "http://localhost:8000" })
 * const client = createClient({ httpClient: Emulator.layer({ reply: () => "Once upon a time" }) })
 * try {
 *   const signal = AbortSignal.timeout(10_000)
 *   for await (const text of client.stream({ prompt: "Tell me a story" }, { signal })) console.log(text)
 * } catch (error) {
 *   console.error(error instanceof RWKVConnectionError ? `Is the server up? ${error.message}` : error)
 * } finally {
 *   await client.close()
 * }
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const createClient = (options: ClientOptions = {}): Client => {
  const { close, verbs } = runner(Layer.unwrapEffect(attempt(name, "", () => layerOf(options))))
  const { call, hold, streamed } = verbs()

  const running = ({ close, held, read, tell }: Holding<Task.Opened>): Run => ({
    ...held,
    text: read(held.text),
    events: read(held.events),
    finished: tell(held.finished),
    close,
    [Symbol.asyncDispose]: close
  })

  const handle = ({ id }: { readonly id: string }): TaskHandle => ({
    id,
    wait: (options) => call("TaskService.wait", options, TaskService.wait, id),
    result: (options) => call("TaskService.result", options, () => TaskService.result(id)),
    status: (options) => call("TaskService.status", options, () => TaskService.status(id)),
    stop: (options) => call("TaskService.stop", options, TaskService.stop, id),
    delete: (options) => call("TaskService.delete", options, TaskService.delete, id),
    continue: (request, options) =>
      call("TaskService.continue", options, TaskService.continue, id, request).then(handle),
    fork: (request, options) => call("TaskService.fork", options, TaskService.fork, id, request).then(handle),
    openContinue: (request, options) =>
      hold("StreamService.openContinue", options, StreamService.openContinue, id, request).then(running),
    openFork: (request, options) =>
      hold("StreamService.openFork", options, StreamService.openFork, id, request).then(running),
    asTemplate: (options) => call("TaskService.asTemplate", options, () => TaskService.asTemplate(id)).then(handle),
    stream: (options) => streamed("StreamService.subscribe", options, StreamService.subscribe, id),
    streamEvents: (options) => streamed("StreamService.subscribeEvents", options, StreamService.subscribeEvents, id)
  })

  const chat = "RWKVChat.session"
  const chatting = ({ close, held, signal }: Holding<RWKVSession.Session>): Chat => {
    const inner = verbs(signal)
    return {
      get history() {
        return Effect.runSync(held.history)
      },
      get state() {
        return Effect.runSync(held.state)
      },
      send: (input, options) => inner.call(chat, options, held.send, input),
      stream: (input, options) => inner.streamed(chat, options, held.stream, input),
      open: (input, options) =>
        inner.hold(chat, options, held.open, input).then(({ close, held, read, tell }) => ({
          parts: read(held.parts),
          turn: tell(held.turn),
          close,
          [Symbol.asyncDispose]: close
        })),
      undo: (options) => inner.call(chat, options, () => held.undo),
      branch: (options) => hold(chat, options, held.branch).then(chatting),
      close,
      [Symbol.asyncDispose]: close
    }
  }

  return {
    generate: (request, options) => call("TaskService.run", options, TaskService.run, request),
    stream: (request, options) => streamed("StreamService.create", options, textOf, request),
    open: (request, options) => hold("StreamService.open", options, StreamService.open, request).then(running),
    create: (request, options) =>
      call("TaskService.create", options, () => isFim(request) ? TaskService.fim(request) : TaskService.create(request))
        .then(handle),
    task: (id) => handle({ id }),
    generateAll: (requests, options) => streamed("TaskService.runAll", options, bulk, requests),
    chat: (options) => hold(chat, options, RWKVSession.session).then(chatting),
    resume: (state, options) => hold(chat, options, RWKVSession.resume, state).then(chatting),
    list: (options) => call("TaskService.list", options, () => TaskService.list),
    models: (options) => call("TaskService.models", options, () => TaskService.models),
    close,
    [Symbol.asyncDispose]: close
  }
}
