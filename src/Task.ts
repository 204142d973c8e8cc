/**
 * The verbs of tasks: those of `TaskService`, their options, and the handle that binds them to one id.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import type * as Polling from "./Polling.js"
import type { Model, StreamEvent, TaskId, TaskInfo, TaskList, TaskResult } from "./Protocol.js"
import type {
  AlreadyTemplateError,
  BranchFailure,
  CallFailure,
  RWKVError,
  RWKVValidationError,
  TaskFailure,
  TemplateProtectedError,
  UnsupportedByServerError,
  WaitFailure
} from "./RWKVError.js"

/**
 * How a stream is followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface FollowOptions {
  /** What leaving early does to the task: `"stop"` where the stream started the run, `"detach"` for `subscribe`. */
  readonly onInterrupt?: "stop" | "detach" | undefined
  /** How long a silence may last before the server is asked what the task does; 30 seconds by default. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** How long a task may make no progress, waiting for a slot included, before the stream fails; 10 minutes by default. */
  readonly stallTimeout?: Duration.DurationInput | undefined
  /** How long leaving early may take to stop the task; 2 seconds by default. */
  readonly stopTimeout?: Duration.DurationInput | undefined
  /** When to connect again after a failure, anew after each progress; the configuration's `retry` by default. */
  readonly retry?: Polling.RetrySchedule | undefined
}

/**
 * How a stream that starts a run is followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamOptions extends FollowOptions {
  /**
   * `"subscribe"` starts the run and then reads `GET /v1/tasks/{id}/stream`, the default; `"direct"` reads the answer to the
   * request itself, which saves a round trip, and is how forks are read: their `GET` streams may mix.
   */
  readonly transport?: "subscribe" | "direct" | undefined
  /**
   * Whether a temporary task is deleted when the stream is done with it: `"delete"` by default for text streams, whose caller
   * never learns the id, and `"keep"` for event streams. Persistent tasks are always kept.
   */
  readonly cleanup?: "delete" | "keep" | undefined
}

/**
 * How the stream of a task that exists is followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface SubscribeOptions extends FollowOptions {
  /**
   * The token of the current run to begin at, 0 by default; a negative number counts from the last token at the time. A token
   * inside a character stands for the whole character.
   */
  readonly fromToken?: number | undefined
}

/**
 * How an end is waited for.
 *
 * @since 0.1.0
 * @category models
 */
export interface WaitOptions {
  /** The limit of the whole wait, its requests included; none by default. */
  readonly timeout?: Duration.DurationInput | undefined
  /** When to look again; `Polling.waitScheduleFor` the task's `maxTokens` by default, or `Polling.waitSchedule` if they are not known. If it ends before the task, the wait fails like a timeout. */
  readonly schedule?: Polling.WaitSchedule | undefined
  /** Sees the state at every look: how many tokens there are so far. */
  readonly onProgress?: ((info: TaskInfo) => Effect.Effect<void>) | undefined
  /**
   * `"subscription"` listens to one stream until the end; `"polling"` asks for the status again and again. Polling is the default
   * where a `schedule` or `onProgress` is given, and subscription otherwise: it costs fewer requests and hears the end sooner,
   * but holds a connection. Choose polling where those are few: waits that hold them all starve every other request.
   */
  readonly by?: "polling" | "subscription" | undefined
}

/**
 * How many runs are made at once, and what their failures mean. The wait's options hold for each run.
 *
 * @since 0.1.0
 * @category models
 */
export interface BulkOptions extends Omit<WaitOptions, "onProgress"> {
  /** How many tasks run at once: 1 or more, 64 by default. Beyond the server's cache of 256 tasks they evict each other. */
  readonly concurrency?: number | undefined
  /** `"values"` delivers failures as results, the default; `"fail"` fails the stream at the first, which stops all other runs. */
  readonly failures?: "values" | "fail" | undefined
  /** Sees how many runs have ended, and how many of them failed, after each. */
  readonly onProgress?:
    | ((progress: { readonly done: number; readonly failed: number }) => Effect.Effect<void>)
    | undefined
}

/**
 * How one of many runs ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface BulkResult {
  /** The place of its request, from 0 on. */
  readonly index: number
  readonly result: Either.Either<TaskResult, WaitFailure>
}

/**
 * How a stop is carried out.
 *
 * @since 0.1.0
 * @category models
 */
export interface StopOptions {
  /** How long to wait for the server to say that the task is finished; 5 seconds by default. */
  readonly within?: Duration.DurationInput | undefined
}

/**
 * How a deletion is carried out.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeleteOptions {
  /** Templates are deleted only by force; false by default. */
  readonly force?: boolean | undefined
}

/**
 * A task on the server, as a value to be passed around. It holds no state: every verb asks the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task {
  readonly id: TaskId
  /** How long the prefill took, by the server's answer to the request; zero where the handle came from an id alone. */
  readonly prefillTime: Duration.Duration
  /** Waits for the end and reads the text. Interrupting it leaves the task alone. */
  readonly wait: (options?: WaitOptions) => Effect.Effect<TaskResult, WaitFailure>
  /** The text so far (`GET /v1/tasks/{id}/get_result`). */
  readonly result: Effect.Effect<TaskResult, TaskFailure | UnsupportedByServerError>
  /** The state (`GET /v1/tasks/{id}/status`). */
  readonly status: Effect.Effect<TaskInfo, TaskFailure>
  /** Stops the generation and waits until it has stopped (`POST /v1/tasks/{id}/stop`). */
  readonly stop: (options?: StopOptions) => Effect.Effect<TaskInfo, TaskFailure>
  /** Deletes the task, stopping it if it runs (`POST /v1/tasks/{id}/delete`). */
  readonly delete: (options?: DeleteOptions) => Effect.Effect<void, TaskFailure | TemplateProtectedError>
  /** Starts a new run of this task, which keeps its id (`POST /v1/tasks/{id}/continue`). */
  readonly continue: (request: Generation.ContinueRequest) => Effect.Effect<Task, BranchFailure>
  /** Starts a run of a copy of this task (`POST /v1/tasks/{id}/fork`). */
  readonly fork: (request: Generation.ForkRequest) => Effect.Effect<Task, BranchFailure>
  /** Turns a copy of this task into a template (`POST /v1/tasks/{id}/as_template`). */
  readonly asTemplate: Effect.Effect<Task, TaskFailure | AlreadyTemplateError | UnsupportedByServerError>
  /** The text of the current run, from its beginning on (`GET /v1/tasks/{id}/stream`). */
  readonly stream: (options?: SubscribeOptions) => Stream.Stream<string, RWKVError>
  /** The same as events. */
  readonly streamEvents: (options?: SubscribeOptions) => Stream.Stream<StreamEvent, RWKVError>
}

/**
 * What `create` takes beside `persistence`, which the name of the method tells.
 *
 * @since 0.1.0
 * @category models
 */
export type PlainRequest = Omit<Generation.CreateRequest, "persistence">

/**
 * The requests of many runs.
 *
 * @since 0.1.0
 * @category models
 */
export type Requests<E, R> =
  | Iterable<Generation.CreateRequest | Generation.FimRequest>
  | Stream.Stream<Generation.CreateRequest | Generation.FimRequest, E, R>

/**
 * What `TaskService` offers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verbs {
  /** Creates a task (`POST /v1/tasks/tmp`, or `/create` if persistent) and returns when its prompt has been read. */
  readonly create: (request: Generation.CreateRequest) => Effect.Effect<Task, CallFailure>
  /** `create` with `persistence: "temporary"`. */
  readonly createTemporary: (request: PlainRequest) => Effect.Effect<Task, CallFailure>
  /** `create` with `persistence: "persistent"`. */
  readonly createPersistent: (request: PlainRequest) => Effect.Effect<Task, CallFailure>
  /** Fills in the middle (`POST /v1/tasks/fim`) with a temporary task. */
  readonly fim: (request: Generation.FimRequest) => Effect.Effect<Task, CallFailure>
  /** Creates a task (or fills in, given a `prefix`), waits for its end and deletes it if it is temporary. However the wait ends otherwise, the task is stopped. */
  readonly run: (
    request: Generation.CreateRequest | Generation.FimRequest,
    options?: WaitOptions
  ) => Effect.Effect<TaskResult, WaitFailure>
  /** Many runs, a bounded number at once, each result as it comes. Interrupting the stream stops all that run. */
  readonly runAll: <E = never, R = never>(
    requests: Requests<E, R>,
    options?: BulkOptions
  ) => Stream.Stream<BulkResult, E | WaitFailure, R>
  /** The handle of a task whose id is known. Nothing is asked. */
  readonly task: (id: string) => Effect.Effect<Task, RWKVValidationError>
  /** Waits for a task's end and reads its text. */
  readonly wait: (id: string, options?: WaitOptions) => Effect.Effect<TaskResult, WaitFailure>
  /** The text so far (`GET /v1/tasks/{id}/get_result`); of a fork among forks, what its own stream told. */
  readonly result: (id: string) => Effect.Effect<TaskResult, TaskFailure | UnsupportedByServerError>
  /** The state (`GET /v1/tasks/{id}/status`). */
  readonly status: (id: string) => Effect.Effect<TaskInfo, TaskFailure>
  /** Stops a task (`POST /v1/tasks/{id}/stop`) and waits until the server says it has; fails with `RWKVTimeoutError` of kind `"stop"` if it does not. */
  readonly stop: (id: string, options?: StopOptions) => Effect.Effect<TaskInfo, TaskFailure>
  /** Deletes a task, stopping it if it runs, or by force a template (`POST /v1/tasks/{id}/delete`). */
  readonly delete: (id: string, options?: DeleteOptions) => Effect.Effect<void, TaskFailure | TemplateProtectedError>
  /** Continues a finished task with more prompt (`POST /v1/tasks/{id}/continue`). */
  readonly continue: (id: string, request: Generation.ContinueRequest) => Effect.Effect<Task, BranchFailure>
  /** Forks a finished task (`POST /v1/tasks/{id}/fork`). */
  readonly fork: (id: string, request: Generation.ForkRequest) => Effect.Effect<Task, BranchFailure>
  /** Makes a template of a task (`POST /v1/tasks/{id}/as_template`). */
  readonly asTemplate: (
    id: string
  ) => Effect.Effect<Task, TaskFailure | AlreadyTemplateError | UnsupportedByServerError>
  /** What the server holds (`GET /v1/tasks/list`). */
  readonly list: Effect.Effect<TaskList, CallFailure>
  /** The server's models (`GET /v1/models`); also the way to ask whether it lives. */
  readonly models: Effect.Effect<ReadonlyArray<Model>, CallFailure>
}
