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
import { identity, isFunction } from "effect/Function"
import * as Layer from "effect/Layer"
import { hasProperty } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import { attempt, invalid } from "./internal/input/validate.js"
import { reasonOf, runner } from "./internal/promise/run.js"
import { isFim } from "./internal/stream/starts.js"
import type * as Protocol from "./Protocol.js"
import * as RWKV from "./RWKV.js"
import type * as RWKVConfig from "./RWKVConfig.js"
import type { RWKVValidationError, WaitFailure } from "./RWKVError.js"
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
 * What every verb takes.
 *
 * @since 0.2.0
 * @category models
 */
export interface Abortable {
  /** Ends the verb early: its promise rejects with `signal.reason`, and what it started is stopped. None by default. */
  readonly signal?: AbortSignal | undefined
}

type Request = Generation.CreateRequest | Generation.FimRequest

/** The options of a verb, but for the callbacks that return Effects. */
type Plain<Options> = Options extends unknown ? Omit<Options, "onProgress"> & Abortable : never

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
 * A run whose task the server has named. Either `text` or `events` may be read, once; leaving that early stops the task,
 * as `close`, `await using` and the signal that it was opened with do.
 *
 * @since 0.2.0
 * @category models
 */
export interface Run extends Omit<Task.Opened, "text" | "events" | "finished">, AsyncDisposable {
  readonly text: AsyncStream<string>
  readonly events: AsyncStream<Protocol.StreamEvent>
  /** The end, as often as one likes. If nobody reads, the rest is read for it. */
  readonly finished: () => Promise<Protocol.TaskResult>
  /** Stops the task if it runs. */
  readonly close: () => Promise<void>
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
  readonly wait: (options?: Plain<Task.WaitOptions>) => Promise<Protocol.TaskResult>
  /** Reads the text so far. */
  readonly result: (options?: Abortable) => Promise<Protocol.TaskResult>
  /** Reads the state and the number of tokens so far. */
  readonly status: (options?: Abortable) => Promise<Protocol.TaskInfo>
  /** Stops the generation and waits until it has stopped. */
  readonly stop: (options?: Task.StopOptions & Abortable) => Promise<Protocol.TaskInfo>
  /** Deletes the task, stopping it if it runs: `stop` first, for a stop that misses leaves it running unseen. */
  readonly delete: (options?: Task.DeleteOptions & Abortable) => Promise<void>
  /** Starts a new run of this task, which keeps its id. */
  readonly continue: (
    request: Generation.ContinueRequest,
    options?: Task.BranchOptions & Abortable
  ) => Promise<TaskHandle>
  /** Starts a run of a copy of this task. */
  readonly fork: (request: Generation.ForkRequest, options?: Task.BranchOptions & Abortable) => Promise<TaskHandle>
  /** Turns a copy of this task into a template. */
  readonly asTemplate: (options?: Abortable) => Promise<TaskHandle>
  /** The text of the current run, from its beginning on. Leaving it early leaves the task alone. */
  readonly stream: (options?: Task.SubscribeOptions & Abortable) => AsyncStream<string>
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
  readonly generate: (request: Request, options?: Plain<Task.RunOptions>) => Promise<Protocol.TaskResult>
  /** Streams the text of a task: `StreamService.create` and `fim`. */
  readonly stream: (request: Request, options?: Task.StreamOptions & Abortable) => AsyncStream<string>
  /** Resolves once the server has named the task: `StreamService.open`. */
  readonly open: (request: Request, options?: Task.StreamOptions & Abortable) => Promise<Run>
  /** Creates a task that is left to itself: `TaskService.create` and `fim`. */
  readonly create: (request: Request, options?: Abortable) => Promise<TaskHandle>
  /** The handle of a task from its id. The server is not asked; a malformed id is rejected by the verbs. */
  readonly task: (id: string) => TaskHandle
  /** Runs many requests, 64 at a time by default: `TaskService.runAll`. What `requests` throws is thrown. */
  readonly generateAll: (
    requests: Iterable<Request> | AsyncIterable<Request>,
    options?: Plain<Task.BulkOptions>
  ) => AsyncStream<BulkResult>
  /** Reads the server's models; also the way to ask whether it is up. */
  readonly models: (options?: Abortable) => Promise<ReadonlyArray<Protocol.Model>>
  /** Ends the client: what is open rejects with `RWKVConnectionError`, and its tasks are stopped (`closeTimeout`). */
  readonly close: () => Promise<void>
}

const name = "promise.createClient"

const layerOf = (
  { apiKey, fetch, httpClient, ...config }: ClientOptions
): Layer.Layer<RWKV.RWKV, RWKVValidationError> => {
  const wrong = fetch !== undefined && !isFunction(fetch)
    ? invalid(name, "fetch", "must be a function")
    : httpClient !== undefined && !Layer.isLayer(httpClient)
    ? invalid(name, "httpClient", "must be a layer")
    : undefined
  if (wrong !== undefined) return Layer.fail(wrong)
  const custom = fetch === undefined ? Layer.empty : Layer.succeed(FetchHttpClient.Fetch, fetch)
  return Layer.provide(
    RWKV.layer({ ...config, apiKey: typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey }),
    httpClient ?? Layer.provide(FetchHttpClient.layer, custom)
  )
}

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
  const { call, close, hold, streamed } = runner(
    Layer.unwrapEffect(attempt(name, "", () => layerOf(options)))
  )

  const handle = ({ id }: { readonly id: string }): TaskHandle => ({
    id,
    wait: (options) => call("TaskService.wait", options, (rest) => TaskService.wait(id, rest)),
    result: (options) => call("TaskService.result", options, () => TaskService.result(id)),
    status: (options) => call("TaskService.status", options, () => TaskService.status(id)),
    stop: (options) => call("TaskService.stop", options, (rest) => TaskService.stop(id, rest)),
    delete: (options) => call("TaskService.delete", options, (rest) => TaskService.delete(id, rest)),
    continue: (request, options) =>
      call("TaskService.continue", options, (rest) => Effect.map(TaskService.continue(id, request, rest), handle)),
    fork: (request, options) =>
      call("TaskService.fork", options, (rest) => Effect.map(TaskService.fork(id, request, rest), handle)),
    asTemplate: (options) =>
      call("TaskService.asTemplate", options, () => Effect.map(TaskService.asTemplate(id), handle)),
    stream: (options) => streamed("StreamService.subscribe", options, (rest) => StreamService.subscribe(id, rest))
  })

  const open: Client["open"] = async (request, options) => {
    const [run, leave] = await hold("StreamService.open", options, (rest) => StreamService.open(request, rest))
    const signal = options?.signal
    let claimed = false
    // The run ends with the one who reads it, and not with one who is refused.
    const leaving = () => {
      const mine = !claimed
      claimed = true
      return mine ? Effect.promise(leave) : Effect.void
    }
    const read = <A>(stream: Stream.Stream<A, unknown>) =>
      streamed("StreamService.open", { signal }, () => Stream.ensuring(stream, leaving()))
    const [text, events] = [read(run.text), read(run.events)]
    const close = async () => {
      await Promise.all([text[Symbol.asyncDispose](), events[Symbol.asyncDispose](), leave()])
    }
    return {
      taskId: run.taskId,
      prefillTime: run.prefillTime,
      requestId: run.requestId,
      text,
      events,
      finished: () =>
        call("StreamService.open", undefined, () =>
          // The signal ends the run, and not an end that was before.
          Effect.mapError(run.finished, (error): unknown => signal?.aborted === true ? reasonOf(signal) : error).pipe(
            Effect.ensuring(leaving())
          )),
      close,
      [Symbol.asyncDispose]: close
    }
  }

  return {
    generate: (request, options) => call("TaskService.run", options, (rest) => TaskService.run(request, rest)),
    stream: (request, options) =>
      streamed(
        "StreamService.create",
        options,
        (rest) => isFim(request) ? StreamService.fim(request, rest) : StreamService.create(request, rest)
      ),
    open,
    create: (request, options) =>
      call(
        "TaskService.create",
        options,
        () => Effect.map(isFim(request) ? TaskService.fim(request) : TaskService.create(request), handle)
      ),
    task: (id) => handle({ id }),
    generateAll: (requests, options) =>
      streamed("TaskService.runAll", options, (rest) =>
        Stream.map(
          TaskService.runAll(
            hasProperty(requests, Symbol.asyncIterator) ? Stream.fromAsyncIterable(requests, identity) : requests,
            rest
          ),
          ({ index, request, result }) =>
            Either.match(result, {
              onLeft: (error): BulkResult => ({ index, request, error: Cause.originalError(error) }),
              onRight: (result): BulkResult => ({ index, request, result })
            })
        )),
    models: (options) => call("TaskService.models", options, () => TaskService.models),
    close,
    [Symbol.asyncDispose]: close
  }
}
