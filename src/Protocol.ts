/**
 * The answers of RWKV-Server's Task API: a Schema for every response and every frame of a stream.
 *
 * The type side of each Schema is what programs use (camelCase, `Duration`, literal statuses); the encoded side is what
 * travels (snake_case, seconds, integers). Decoding ignores fields it does not know, and fails where one is missing.
 * The requests are in `Generation`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { FinishReason, unknownUsage, Usage } from "./Finish.js"
import * as rule from "./internal/input/rules.js"

/**
 * The id of a task or a template: 1 to 256 letters, digits, `_`, `-`, `.` or `~`, so that it always is one path
 * segment. The server's own ids are `TMP_`, `TASK_` or `_TMPL_` and 32 hexadecimal digits.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const id: Protocol.TaskId = Schema.decodeSync(Protocol.TaskId)("TASK_4a27e546c5ad4b08af86a0321de5bc70")
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskId = Schema.String.pipe(
  Schema.pattern(/^(?!\.{1,2}$)[A-Za-z0-9_.~-]{1,256}$/),
  Schema.annotations(rule.says(rule.idRule)),
  Schema.brand("TaskId", { identifier: "TaskId" })
)

/**
 * The type of {@link TaskId}: a string that was checked.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskId = typeof TaskId.Type

/**
 * A task's state: its prompt is being read, it waits for a slot, it generates, or it is done.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskStatus = "Prefill" | "Ready" | "Running" | "Finished"

const statuses = ["Prefill", "Ready", "Running", "Finished"] as const

/** Names that servers of the 0.1.0 era sent, besides ours in capitals. */
const formerly: Readonly<Record<string, TaskStatus>> = { PENDING: "Ready", STOPPED: "Finished" }

/**
 * The server's integers 0 to 3, or the names that servers of the 0.1.0 era sent.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Protocol.TaskStatus)(3)
 *
 * console.log(decoded) // Finished
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskStatus: Schema.Schema<TaskStatus, string | number> = Schema.transformOrFail(
  Schema.Union(Schema.Number, Schema.String),
  Schema.Literal(...statuses),
  {
    strict: true,
    decode: (wire, _, ast) => {
      const status = statuses.find((status, code) => [code, `${code}`, status.toUpperCase()].includes(wire))
        ?? (Object.hasOwn(formerly, wire) ? formerly[wire] : undefined)
      return status === undefined
        ? ParseResult.fail(new ParseResult.Type(ast, wire, "must be a task status (0 to 3)"))
        : ParseResult.succeed(status)
    },
    encode: (status) => ParseResult.succeed(statuses.indexOf(status))
  }
)

/**
 * A task's text, and the figures of its run.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskResult {
  /** The id the server gave in this answer. */
  readonly taskId: TaskId
  /** All text of the current run; empty in the answers to create, continue, fork and asTemplate. */
  readonly text: string
  /** Whether the run has ended: by end of text, by `maxTokens` or by a stop, which the server does not tell apart. */
  readonly finished: boolean
  /**
   * The server's gauge, and not this run's speed: tokens per second and slot of the whole server, measured in its last
   * pulse; 0 before there was one.
   */
  readonly speed: number
  /** How long the latest prefill took; zero for forks without one and for tasks restored from the database. */
  readonly prefillTime: Duration.Duration
  /** How long the run took; zero while it runs, and where the server's figure is no duration. */
  readonly generationTime: Duration.Duration
  /** Whether the server cannot decode the text now, as its last character is incomplete; `text` is what is known. */
  readonly undecodedTail: boolean
  /** What the run cost: counted by `run`, `wait` and streams of events, not where a result is only read. */
  readonly usage: Usage
  /** Why the run ended; `"unknown"` where nobody knows, and where a result is only read. */
  readonly finishReason: FinishReason
  /** The stop sequence that ended the text; only with the reason `"stop-sequence"`. */
  readonly stopSequence?: string
  /**
   * The id that a proxy gave a request: for `run`, `wait` and streams the one that started the run, if this program
   * did; otherwise the one that read this. Absent if no header named one (`requestIdHeaders`).
   */
  readonly requestId?: string
  /** The run's own speed: its tokens by its time of generation; undefined where one of them is not known. */
  readonly tokensPerSecond: number | undefined
}

const TaskResponse = Schema.Struct({
  task_id: TaskId,
  result: rule.received,
  prefill_time: Schema.Number,
  gen_time: Schema.Number,
  speed: Schema.Number,
  finished: Schema.Boolean
})

/**
 * A {@link TaskResult} as programs store it and send it: plain JSON, with all its fields.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Protocol, TaskService } from "effect-rwkv"
 *
 * // a result as JSON, to be stored
 * const stored = TaskService.run({ prompt: "Hello", maxTokens: 20 }).pipe(
 *   Effect.flatMap(Schema.encode(Schema.parseJson(Protocol.TaskReport)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskReport = /*#__PURE__*/ (() =>
  Schema.Struct({
    taskId: TaskId,
    text: Schema.String,
    finished: Schema.Boolean,
    // JSON has no number for what is not finite.
    speed: Schema.Union(Schema.JsonNumber, Schema.NumberFromString),
    prefillTime: Schema.Duration,
    generationTime: Schema.Duration,
    undecodedTail: Schema.Boolean,
    usage: Usage,
    finishReason: FinishReason,
    stopSequence: Schema.optionalWith(Schema.String, { exact: true }),
    requestId: Schema.optionalWith(Schema.String, { exact: true }),
    tokensPerSecond: rule.known
  }))()

/** H40: tasks without tokens report a Unix time instead of a duration. */
const duration = (seconds: number) => seconds < 1e9 ? Duration.seconds(seconds) : Duration.zero

/** H11: the server sends this one character instead of a text that it cannot decode. */
const replacement = "\uFFFD"

/**
 * The answer of create, fim, continue, fork, as_template and `GET /v1/tasks/{id}/get_result`. The server says neither
 * how many tokens there were nor why the run ended: those are unknown when it is decoded, and dropped when encoded.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * // what the server answers
 * const { text } = Schema.decodeSync(Protocol.TaskResult)({
 *   task_id: "TMP_1",
 *   result: "Hello",
 *   prefill_time: 0.01,
 *   gen_time: 0.5,
 *   speed: 40,
 *   finished: true
 * })
 *
 * console.log(text) // Hello
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskResult: Schema.Schema<TaskResult, typeof TaskResponse.Encoded> = Schema.transform(
  TaskResponse,
  Schema.typeSchema(TaskReport),
  {
    strict: true,
    decode: ({ finished, gen_time, prefill_time, result, speed, task_id: taskId }) => {
      const undecodedTail = result === replacement
      return {
        taskId,
        text: undecodedTail ? "" : result,
        finished,
        speed,
        prefillTime: duration(prefill_time),
        generationTime: duration(gen_time),
        undecodedTail,
        usage: unknownUsage,
        finishReason: "unknown" as const,
        tokensPerSecond: undefined
      }
    },
    encode: ({ finished, generationTime, prefillTime, speed, taskId, text, undecodedTail }) => ({
      task_id: taskId,
      result: undecodedTail ? replacement : text,
      prefill_time: Duration.toSeconds(prefillTime),
      gen_time: Duration.toSeconds(generationTime),
      speed,
      finished
    })
  }
)

/**
 * A task's state and how far it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskInfo {
  /**
   * The services give the id that they were asked for, the server itself gives a fork or template its ancestor's (H18).
   */
  readonly taskId: TaskId
  readonly status: TaskStatus
  /** Tokens generated in the current run. */
  readonly generatedTokens: number
}

/**
 * The answer of `GET /v1/tasks/{id}/status`, and of stop and delete.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Protocol.TaskInfo)({ task_id: "TMP_1", generated_buf: 5, status: 2 })
 *
 * console.log(decoded.generatedTokens) // 5
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskInfo: Schema.Schema<
  TaskInfo,
  { readonly task_id: string; readonly status: string | number; readonly generated_buf: number }
> = Schema.Struct({
  taskId: rule.as(TaskId, "task_id"),
  status: TaskStatus,
  generatedTokens: rule.as(Schema.Number, "generated_buf")
})

/**
 * How many tasks the server holds, and their ids.
 *
 * @since 0.1.0
 * @category models
 */
export interface TaskList {
  /** Tasks and templates in memory. */
  readonly cpuCacheCount: number
  /** Tasks in the database. */
  readonly databaseCount: number
  /** The sum of both; a task in memory and in the database counts twice. */
  readonly totalCount: number
  /** All ids in memory, the least recently used first. */
  readonly cpuTasks: ReadonlyArray<TaskId>
  /** Ids in the database, the newest first: at most 100, however many there are. */
  readonly dbTasks: ReadonlyArray<TaskId>
}

/**
 * The answer of `GET /v1/tasks/list`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const list = Schema.decodeSync(Protocol.TaskList)({
 *   cpu_cache_count: 1,
 *   database_count: 0,
 *   total_count: 1,
 *   cpu_tasks: ["TMP_1"],
 *   db_tasks: []
 * })
 *
 * console.log(list.cpuTasks) // [ "TMP_1" ]
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TaskList: Schema.Schema<TaskList, {
  readonly cpu_cache_count: number
  readonly database_count: number
  readonly total_count: number
  readonly cpu_tasks: ReadonlyArray<string>
  readonly db_tasks: ReadonlyArray<string>
}> = Schema.Struct({
  cpuCacheCount: rule.as(Schema.Number, "cpu_cache_count"),
  databaseCount: rule.as(Schema.Number, "database_count"),
  totalCount: rule.as(Schema.Number, "total_count"),
  cpuTasks: rule.as(Schema.Array(TaskId), "cpu_tasks"),
  dbTasks: rule.as(Schema.Array(TaskId), "db_tasks")
})

/**
 * A model that the server offers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Model {
  readonly id: string
  /** Seconds since 1970: when the server was started. */
  readonly created: number
  readonly ownedBy: string
}

/**
 * The answer of `GET /v1/models`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Protocol.ModelList)({
 *   data: [{ id: "rwkv-7", created: 0, owned_by: "rwkv" }]
 * })
 *
 * console.log(decoded.data[0]?.id) // rwkv-7
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const ModelList: Schema.Schema<{ readonly data: ReadonlyArray<Model> }, {
  readonly data: ReadonlyArray<{ readonly id: string; readonly created: number; readonly owned_by: string }>
}> = Schema.Struct({
  data: Schema.Array(Schema.Struct({
    id: Schema.String,
    created: Schema.Number,
    ownedBy: rule.as(Schema.String, "owned_by")
  }))
})

/**
 * The first frame of a stream: sent before any text by the POST streams, with the first text by `GET /stream`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Protocol.HeadFrame)({ task_id: "TMP_1", prefill_time: 0.5 })
 *
 * console.log(decoded.task_id) // TMP_1
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const HeadFrame = /*#__PURE__*/ Schema.Struct({ task_id: Schema.String, prefill_time: Schema.Number })

/**
 * A frame with text. The POST streams add `task_id`, `gen_time` (the seconds since the frame before) and `speed`, which
 * are not checked.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * console.log(Schema.decodeUnknownSync(Protocol.DataFrame)({ data: "Hello", speed: 40 }).data) // Hello
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const DataFrame = /*#__PURE__*/ Schema.Struct({ data: Schema.String })

/**
 * The events of a stream: that the task exists, its text piece by piece, and its result at the end. The texts of all
 * `Text` events together are the text of `Finished`, if the stream began at token 0.
 *
 * @since 0.1.0
 * @category models
 */
export type StreamEvent =
  | { readonly _tag: "Started"; readonly taskId: TaskId; readonly prefillTime: Duration.Duration }
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Finished"; readonly result: TaskResult }

/**
 * The Schema of {@link StreamEvent}, whose encoded side is plain JSON, with the constructors and matchers of events.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Protocol } from "effect-rwkv"
 *
 * const textOf = Protocol.StreamEvent.$match({ Started: () => "", Text: ({ text }) => text, Finished: () => "." })
 *
 * const json = Schema.encodeSync(Schema.parseJson(Protocol.StreamEvent))(Protocol.StreamEvent.Text({ text: "Hello" }))
 *
 * console.log(json) // {"_tag":"Text","text":"Hello"}
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const StreamEvent = /*#__PURE__*/ (() => {
  // `taggedEnum` returns a Proxy, which cannot be spread.
  const { $is, $match, Finished, Started, Text } = Data.taggedEnum<StreamEvent>()
  return Object.assign(
    Schema.Union(
      Schema.TaggedStruct("Started", { taskId: TaskId, prefillTime: Schema.Duration }),
      Schema.TaggedStruct("Text", { text: Schema.String }),
      Schema.TaggedStruct("Finished", { result: TaskReport })
    ),
    { $is, $match, Finished, Started, Text }
  )
})()
