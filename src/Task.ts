/**
 * The handle of one task, and the options of the verbs that `TaskService` and `StreamService` have.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Stream from "effect/Stream"
import type * as Generation from "./Generation.js"
import type * as Polling from "./Polling.js"
import type { StreamEvent, TaskId, TaskInfo, TaskResult } from "./Protocol.js"
import type {
  AlreadyTemplateError,
  BranchFailure,
  RWKVError,
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
  /**
   * What leaving early does to the task; by default `"stop"` where the stream started the run, `"detach"` for
   * `subscribe`. A stop may miss (H29): the service reads the status until the task has ended, stops it once more at
   * most, and logs a warning with the task and its tokens to go if it runs on.
   */
  readonly onInterrupt?: "stop" | "detach" | undefined
  /** How long a silence may last before the task's status is read; 30 seconds by default. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** How long a running task may generate nothing before the stream fails; 10 minutes by default. */
  readonly stallTimeout?: Duration.DurationInput | undefined
  /**
   * How long a task may wait for its turn before the stream fails with `RWKVTimeoutError` of kind `"queue"`; 1 hour by
   * default. It is checked when the status is read, after each `idleTimeout` of silence.
   */
  readonly queueTimeout?: Duration.DurationInput | undefined
  /**
   * How long leaving early may take, to close the connection and have the first stop answered; 2 seconds by default.
   * What is not done by then goes on in the background, until the services end.
   */
  readonly stopTimeout?: Duration.DurationInput | undefined
  /**
   * When to connect again after a failure; the configuration's `retry` by default. It restarts with new text, and when
   * it has ended although the task was seen to wait for its turn or to generate.
   */
  readonly retry?: Polling.RetrySchedule | undefined
}

/**
 * Where the text of a run ends, besides the end that the model finds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stopping {
  /**
   * Stop sequences: 1 to 16 texts of 1 to 256 UTF-16 units each; none by default. The text ends before the sequence
   * that is complete first, or the longest of those that are complete at once, however it is cut into tokens and
   * frames. No part of a sequence is delivered: what might begin one is held back until that is known. The task is
   * stopped at once; its state on the server is then past the end of the text, by the sequence at least. A sequence
   * with another one before its end never ends the text, because the other is complete earlier.
   */
  readonly stop?: ReadonlyArray<string> | undefined
}

/**
 * How a run of a task that exists is started.
 *
 * @since 0.1.0
 * @category models
 */
export interface BranchOptions {
  /**
   * Whether to continue or fork a task whose text was ended by a stop sequence; false by default, which fails with
   * `RWKVValidationError`. The server's state has read the sequence, and what came after it before the stop.
   */
  readonly allowPastStop?: boolean | undefined
}

/**
 * How a stream that starts a run is followed. `allowPastStop` is for those of continues and forks.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamOptions extends FollowOptions, Stopping, BranchOptions {
  /**
   * `"subscribe"`, the default, starts the run and then reads `GET /v1/tasks/{id}/stream`. `"direct"` reads the answer
   * to the request itself: it saves a round trip, and is the default for forks, whose `GET` streams may mix their
   * texts.
   */
  readonly transport?: "subscribe" | "direct" | undefined
  /**
   * Whether a temporary task is deleted when the stream is done with it: in the background, and never before the task
   * has ended. The default is `"delete"`; for continues, whose task was there before, it is `"keep"`. Persistent tasks
   * are always kept.
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
   * The token of the current run to begin at; 0 by default. A negative number counts back from the tokens there are
   * now. If the token is a part of a character, the stream begins with the whole character.
   */
  readonly fromToken?: number | undefined
}

interface WaitLimit {
  /** The limit of the whole wait, its requests included; none by default. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * How long the task may wait for its turn before the wait fails with `RWKVTimeoutError` of kind `"queue"`; 1 hour by
   * default. It is checked with each status.
   */
  readonly queueTimeout?: Duration.DurationInput | undefined
}

interface Looking {
  /**
   * Reads the status by a schedule and holds no connection. It is the default if a `schedule` or `onProgress` is given.
   */
  readonly by?: "polling" | undefined
  /**
   * When to look again; `Polling.waitScheduleFor` the task's `maxTokens` by default, or `Polling.waitSchedule` if they
   * are not known. If it ends before the task, the wait fails like a timeout.
   */
  readonly schedule?: Polling.WaitSchedule | undefined
}

interface Listening {
  /**
   * Listens to one stream until the end: fewer requests, and the end is known sooner, but each such wait holds a
   * connection. It is the default without a `schedule` and `onProgress`, which it does not take: it reads no status.
   */
  readonly by: "subscription"
  readonly schedule?: undefined
}

/**
 * How an end is waited for: by polling, or by a subscription. Options of the other way are refused, by the type and at
 * run time with `RWKVValidationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type WaitOptions =
  & WaitLimit
  & (
    | Looking & {
      /**
       * Gets the state at every look, with the number of tokens so far. The wait fails with `RWKVValidationError` if it
       * throws or returns no Effect.
       */
      readonly onProgress?: ((info: TaskInfo) => Effect.Effect<void>) | undefined
    }
    | Listening & { readonly onProgress?: undefined }
  )

interface Cutting extends Stopping {
  readonly by?: "subscription" | undefined
  readonly schedule?: undefined
}

/**
 * How a run is waited for, and where its text ends. Stop sequences need the text as it comes: with `by: "polling"`, a
 * `schedule` or `onProgress` they are refused, by the type and at run time with `RWKVValidationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type RunOptions = WaitOptions | WaitLimit & Cutting & { readonly onProgress?: undefined }

/**
 * How many runs are made at once, and what their failures mean. The wait's options hold for each run.
 *
 * @since 0.1.0
 * @category models
 */
export type BulkOptions = WaitLimit & (Looking | Listening | Cutting) & {
  /**
   * How many tasks run at once, including those that have ended and whose results are not yet taken: 1 or more, 64 by
   * default. Above 256, the size of its cache, the server drops tasks.
   */
  readonly concurrency?: number | undefined
  /** `"values"`, the default, delivers failures as results; `"fail"` fails at the first and stops the other runs. */
  readonly failures?: "values" | "fail" | undefined
  /**
   * Gets, with each result that is delivered, the number of results so far and how many of them are failures. The
   * stream fails with `RWKVValidationError` if it throws or returns no Effect.
   */
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
  /** The index of its request, from 0 on. */
  readonly index: number
  /** The request, as it was given. */
  readonly request: Generation.CreateRequest | Generation.FimRequest
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
 * A task on the server, as a value to be passed around. It holds no state: every verb asks the server, and fails, as
 * the accessor of the same name in `TaskService` does: with `TaskFailure`, `wait` with `WaitFailure`, `continue` and
 * `fork` with `BranchFailure`, streams with `RWKVError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task {
  readonly id: TaskId
  /** How long the server says that the prefill took; zero if the handle was made from an id. */
  readonly prefillTime: Duration.Duration
  /** Waits for the end and reads the text. Interrupting it leaves the task alone. */
  readonly wait: (options?: WaitOptions) => Effect.Effect<TaskResult, WaitFailure>
  /** Reads the text so far. */
  readonly result: Effect.Effect<TaskResult, TaskFailure | UnsupportedByServerError>
  /** Reads the state and the number of tokens so far. */
  readonly status: Effect.Effect<TaskInfo, TaskFailure>
  /** Stops the generation and waits until it has stopped. */
  readonly stop: (options?: StopOptions) => Effect.Effect<TaskInfo, TaskFailure>
  /** Deletes the task, stopping it if it runs. If that stop misses it runs on, and nobody can find it: `stop` first. */
  readonly delete: (options?: DeleteOptions) => Effect.Effect<void, TaskFailure | TemplateProtectedError>
  /**
   * Starts a new run of this task, which keeps its id. Fails with `RWKVValidationError` past a stop sequence, unless
   * `allowPastStop` is true.
   */
  readonly continue: (
    request: Generation.ContinueRequest,
    options?: BranchOptions
  ) => Effect.Effect<Task, BranchFailure>
  /** Starts a run of a copy of this task. Past a stop sequence it fails as `continue` does. */
  readonly fork: (request: Generation.ForkRequest, options?: BranchOptions) => Effect.Effect<Task, BranchFailure>
  /** Turns a copy of this task into a template. */
  readonly asTemplate: Effect.Effect<Task, TaskFailure | AlreadyTemplateError | UnsupportedByServerError>
  /** Streams the text of the current run, from its beginning on. */
  readonly stream: (options?: SubscribeOptions) => Stream.Stream<string, RWKVError>
  /** {@link Task.stream} as events with the task's figures. */
  readonly streamEvents: (options?: SubscribeOptions) => Stream.Stream<StreamEvent, RWKVError>
}

/**
 * A {@link Generation.CreateRequest} for the verbs whose name says how long the task is kept.
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
 * A run whose task the server has named. Either `text` or `events` may be read, once: a second reader fails with
 * `RWKVValidationError`. Closing the Scope early stops the task. All its requests use the settings that were in force
 * when it was opened (`RWKVConfig.withConfigOverride`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Opened {
  readonly taskId: TaskId
  /** How long the server says that the prefill took. */
  readonly prefillTime: Duration.Duration
  /** The id that a proxy gave the request that started the run; undefined if it gave none. */
  readonly requestId: string | undefined
  /** The text. Fails with `RWKVError`. */
  readonly text: Stream.Stream<string, RWKVError>
  /** The events: the beginning, the text, and the end with its figures. Fails with `RWKVError`. */
  readonly events: Stream.Stream<StreamEvent, RWKVError>
  /**
   * The result, any number of times. What nobody reads of the run is read for it, and kept for a first reader. Fails
   * with `WaitFailure`: with `StreamTruncatedError` once the Scope was closed before the end.
   */
  readonly finished: Effect.Effect<TaskResult, WaitFailure>
}
