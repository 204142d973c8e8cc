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
import { flow, identity, isFunction } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { attempt, invalid } from "./internal/input/validate.js"
import type * as reading from "./internal/promise/read.js"
import * as running from "./internal/promise/run.js"
import { isFim } from "./internal/stream/starts.js"
import * as RWKV from "./RWKV.js"
import type * as RWKVConfig from "./RWKVConfig.js"
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
export type Options<O = object> = running.Options<O>

/**
 * Values as they come. It begins when the first is asked for, and has one reader: a second one is rejected with
 * `RWKVValidationError`. `next` may be called in parallel, and `return` settles those that wait.
 *
 * @since 0.2.0
 * @category models
 */
export type AsyncStream<A> = reading.AsyncStream<A>

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
  /** Makes {@link ServicesOptions} of it. */
  readonly services?: undefined
}

/**
 * What requests go through, and services of your own: a pool, or `RWKV.layer` with `Telemetry.layer`. Every other
 * option is one of theirs; beside them it rejects each call with `RWKVValidationError`. What they fail with rejects
 * each, too.
 *
 * @since 0.2.0
 * @category models
 */
export interface ServicesOptions extends Pick<ClientOptions, "fetch" | "httpClient"> {
  /** Used instead of those of one server, and made for this client alone. The platform's HttpClient is provided. */
  readonly services: Layer.Layer<Services, unknown, HttpClient>
}

interface Given extends Omit<ClientOptions, "services"> {
  readonly services?: ServicesOptions["services"] | undefined
}

type Services = TaskService.TaskService | StreamService.StreamService

type Request = Task.BulkResult["request"]

const name = "promise.createClient"

const layerOf = ({ apiKey, fetch, httpClient, services, ...config }: Given): Layer.Layer<Services, unknown> => {
  const refuse = (option: string, rule: string) => Layer.fail(invalid(name, option, rule))
  if (!isFunction(fetch ?? identity)) return refuse("fetch", "must be a function")
  for (const [option, layer] of Object.entries({ httpClient, services })) {
    if (!Layer.isLayer(layer ?? Layer.empty)) return refuse(option, "must be a layer")
  }
  const other = Object.entries({ apiKey, ...config }).find(([, value]) => value !== undefined)
  if (services !== undefined && other !== undefined) return refuse(other[0], "must be an option of the services")
  const custom = fetch === undefined ? Layer.empty : Layer.succeed(FetchHttpClient.Fetch, fetch)
  const one = RWKV.layer({ ...config, apiKey: typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey })
  return Layer.provide(services ?? one, httpClient ?? Layer.provide(FetchHttpClient.layer, custom))
}

const textOf = (request: Request, options?: Task.StreamOptions) =>
  isFim(request) ? StreamService.fim(request, options) : StreamService.create(request, options)

const taskOf = (request: Request, _?: object) => isFim(request) ? TaskService.fim(request) : TaskService.create(request)

const bulkOf = (requests: Iterable<Request> | AsyncIterable<Request>, options?: Task.BulkOptions) => {
  const all = Symbol.asyncIterator in requests ? Stream.fromAsyncIterable(requests, identity) : requests
  return Stream.map(TaskService.runAll(all, options), ({ result, ...rest }) =>
    result._tag === "Left"
      ? { ...rest, result: undefined, error: Cause.originalError(result.left) }
      : { ...rest, result: result.right, error: undefined })
}

/**
 * How one of many runs ended: with a result, or with an error.
 *
 * @since 0.2.0
 * @category models
 */
export type BulkResult = Stream.Stream.Success<ReturnType<typeof bulkOf>>

const make = (options: Given) => running.runner(Layer.unwrapEffect(attempt(name, "", () => layerOf(options))))

type Verbs = ReturnType<typeof make>

const open = ({ hold }: Verbs) => (asked: running.Asked<ReturnType<typeof StreamService.open>>) =>
  hold(asked).then(({ ends, held, read, tell }) => ({
    ...held,
    /** The text. Leaving it early stops the task. Either `text` or `events` may be read, once. */
    text: read(held.text),
    /** The text between its beginning and its end with the figures. */
    events: read(held.events),
    /** The end, as often as one likes. If nobody reads, the rest is read for it. */
    finished: tell(held.finished),
    ...ends
  }))

/**
 * A run whose task the server has named. It lasts until its end, `close` or `await using`, its reader's leaving or the
 * signal that it was opened with.
 *
 * @since 0.2.0
 * @category models
 */
export interface Run extends Awaited<ReturnType<ReturnType<typeof open>>> {}

const handle = (verbs: Verbs, id: string) => ({
  id,
  /** Waits for the end and reads the text. Aborting it leaves the task alone. */
  wait: flow(verbs.asks("TaskService.wait", TaskService.wait.bind(null, id)), verbs.call),
  /** Reads the text so far. */
  result: flow(verbs.asks("TaskService.result", () => TaskService.result(id)), verbs.call),
  /** Reads the state and the number of tokens so far. */
  status: flow(verbs.asks("TaskService.status", () => TaskService.status(id)), verbs.call),
  /** Stops the generation and waits until it has stopped. */
  stop: flow(verbs.asks("TaskService.stop", TaskService.stop.bind(null, id)), verbs.call),
  /** Deletes the task, stopping it if it runs: `stop` first, for a stop that misses leaves it running unseen. */
  delete: flow(verbs.asks("TaskService.delete", TaskService.delete.bind(null, id)), verbs.call),
  /** Starts a new run of this task, which keeps its id. */
  continue: flow(verbs.sends("TaskService.continue", TaskService.continue.bind(null, id)), task(verbs)),
  /** Starts a run of a copy of this task. */
  fork: flow(verbs.sends("TaskService.fork", TaskService.fork.bind(null, id)), task(verbs)),
  /** Turns a copy of this task into a template. */
  asTemplate: flow(verbs.asks("TaskService.asTemplate", () => TaskService.asTemplate(id)), task(verbs)),
  /** The text of the current run, from its beginning on. Leaving it early leaves the task alone. */
  stream: flow(verbs.asks("StreamService.subscribe", StreamService.subscribe.bind(null, id)), verbs.read),
  /** `stream` as events with the task's figures. */
  streamEvents: flow(
    verbs.asks("StreamService.subscribeEvents", StreamService.subscribeEvents.bind(null, id)),
    verbs.read
  ),
  /** `continue`, opened as a run. */
  openContinue: flow(verbs.sends("StreamService.openContinue", StreamService.openContinue.bind(null, id)), open(verbs)),
  /** `fork`, opened as a run. */
  openFork: flow(verbs.sends("StreamService.openFork", StreamService.openFork.bind(null, id)), open(verbs))
})

const task =
  (verbs: Verbs) =>
  (asked: running.Asked<ReturnType<typeof TaskService.fork | typeof TaskService.asTemplate>>): Promise<TaskHandle> =>
    verbs.call(asked).then(({ id }) => handle(verbs, id))

/**
 * A task on the server, by its id. It holds no state: every verb asks the server, as that of `Task.Task` does. Nothing
 * stops or deletes it but `stop` and `delete`.
 *
 * @since 0.2.0
 * @category models
 */
export interface TaskHandle extends ReturnType<typeof handle> {}

const session = "RWKVChat.session"

const turn = ({ hold }: Verbs) => (asked: running.Asked<ReturnType<RWKVSession.Session["open"]>>) =>
  hold(asked).then(({ ends, held, read, tell }) => ({
    /** The reply while it comes. It has one reader, and leaving it early leaves the turn. */
    parts: read(held.parts),
    /** The whole turn, as often as one likes. If nobody reads, the rest is read for it. */
    turn: tell(held.turn),
    ...ends
  }))

/**
 * A turn whose task the server has named: `RWKVChat.OpenTurn`. No other turn begins before its end, `close` (or
 * `await using`), its reader's leaving or the signal that it was opened with.
 *
 * @since 0.2.0
 * @category models
 */
export interface OpenTurn extends Awaited<ReturnType<ReturnType<typeof turn>>> {}

const chat = (verbs: Verbs) => (asked: running.Asked<ReturnType<typeof RWKVSession.session>>) =>
  verbs.hold(asked).then(({ asks, ends, held, sends }) => ({
    /** Sends a turn and reads its reply. Text is a user's message; results of tools are sent as messages. */
    send: flow(sends(session, held.send), verbs.call),
    /** The parts of a reply while it comes. Leaving it early leaves the turn. */
    stream: flow(sends(session, held.stream), verbs.read),
    /** Resolves once the server has named the turn's task. */
    open: flow(sends(session, held.open), turn(verbs)),
    /** The messages so far, whole turns only, without the system's. */
    history: flow(asks(session, () => held.history), verbs.call),
    /** What `Client.resume` goes on from, here or in another process: plain JSON. */
    state: flow(asks(session, () => held.state), verbs.call),
    /** Takes off the user's last message and all after it, and gives them. It waits like a turn. */
    undo: flow(asks(session, () => held.undo), verbs.call),
    /** A chat of its own with the history of now, and with other options if they are given. */
    branch: flow(asks(session, held.branch), (asked): Promise<Chat> => chat(verbs)(asked)),
    ...ends
  }))

/**
 * A chat with a memory: `RWKVChat.Session`. Turns that are sent at once go one after the other. One that fails or is
 * aborted leaves the history as it is, unless `onInterrupt` is `"keep"`. It lasts until `close` or `await using`, which
 * leaves nothing of it on the server, or the signal that it was made with; its verbs reject with `RWKVConnectionError`
 * then, or with `signal.reason`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Chat extends Awaited<ReturnType<ReturnType<typeof chat>>> {}

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
export const createClient = (options: ClientOptions | ServicesOptions = {}): Client => client(make(options))

const client = (verbs: Verbs) => ({
  /** Runs a task to its end: `TaskService.run`. A `prefix` instead of a `prompt` fills in the middle, as below. */
  generate: flow(verbs.sends("TaskService.run", TaskService.run), verbs.call),
  /** Streams the text of a task: `StreamService.create` and `fim`. */
  stream: flow(verbs.sends("StreamService.create", textOf), verbs.read),
  /** Resolves once the server has named the task: `StreamService.open`. */
  open: flow(verbs.sends("StreamService.open", StreamService.open), open(verbs)),
  /** Creates a task that is left to itself: `TaskService.create` and `fim`. */
  create: flow(verbs.sends("TaskService.create", taskOf), task(verbs)),
  /** The handle of a task from its id. The server is not asked; a malformed id is rejected by the verbs. */
  task: (id: string): TaskHandle => handle(verbs, id),
  /** Runs many requests, 64 at a time by default: `TaskService.runAll`. What `requests` throws is thrown. */
  generateAll: flow(verbs.sends("TaskService.runAll", bulkOf), verbs.read),
  /** Begins a chat with a memory: `RWKVChat.session`. Nothing is sent before its first turn. */
  chat: flow(verbs.asks(session, RWKVSession.session), chat(verbs)),
  /** Goes on from the `state` of a chat: `RWKVChat.resume`. */
  resume: flow(verbs.sends(session, RWKVSession.resume), chat(verbs)),
  /** Reads how many tasks the server holds, and their ids. */
  list: flow(verbs.asks("TaskService.list", () => TaskService.list), verbs.call),
  /** Reads the server's models; also the way to ask whether it is up. */
  models: flow(verbs.asks("TaskService.models", () => TaskService.models), verbs.call),
  /** Ends the client: what is open rejects with `RWKVConnectionError`, and its tasks are stopped (`closeTimeout`). */
  close: verbs.close,
  [Symbol.asyncDispose]: verbs.close
})

/**
 * A client of one server, or of a pool. Each verb is the one of `TaskService`, `StreamService` or `RWKVChat` whose name
 * its errors have as `operation`; after `close` it rejects with `RWKVConnectionError`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Client extends ReturnType<typeof client> {}
