/**
 * From an operation to its stream of events: over which transport it starts, who owns the task, and what happens to it
 * when the stream is left.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Stream from "effect/Stream"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import {
  type BranchFailure,
  RWKVDecodeError,
  RWKVServerError,
  type RWKVValidationError,
  StreamTruncatedError,
  type TaskFailure
} from "../../RWKVError.js"
import type { FollowOptions, StreamOptions } from "../../Task.js"
import { effective } from "../input/override.js"
import * as validate from "../input/validate.js"
import type * as Ledger from "../owner/ledger.js"
import { limited } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import type { Frame } from "../wire/sse.js"
import { connect, type Connection } from "./connection.js"
import { follow, type Policy, type Subject } from "./follow.js"
import type { Signal } from "./signals.js"
import type { Opening, Telling } from "./telling.js"

/** The answer to the request itself, and the most tokens of its run, where they are known. */
export interface Direct {
  readonly frames: Stream.Stream<Frame, TaskFailure>
  readonly maxTokens: number | undefined
}

export interface Launch {
  readonly operation: string
  readonly options: Effect.Effect<StreamOptions, RWKVValidationError>
  /** What has to hold before the server is asked; it tells which tasks the run will share its buffer with. */
  readonly before: Effect.Effect<Ledger.Group | undefined, BranchFailure>
  readonly create: Effect.Effect<TaskResult, BranchFailure>
  readonly stream: Effect.Effect<Direct, BranchFailure>
  readonly explain: (error: BranchFailure) => Effect.Effect<never, BranchFailure>
  /** Whether the run makes its task: then nobody else can want what was abandoned. */
  readonly fresh: boolean
  /** Hears of the task as soon as the server has named it. */
  readonly begun?: ((taskId: TaskId) => void) | undefined
  /** The most tokens that the run can have, if its caller said so. */
  readonly maxTokens?: (() => number | undefined) | undefined
  /** Whether the run has been handed over, and goes on when its stream is left. */
  readonly detached?: () => boolean
}

type Begun = Pick<Subject, "taskId" | "opened" | "maxTokens"> & Pick<TaskResult, "prefillTime">

const enter = (group: Ledger.Group) => Effect.acquireRelease(Effect.sync(group.enter), (run) => Effect.sync(run.leave))

/** The options of a stream that were not given. */
const usual = {
  idleTimeout: Duration.seconds(30),
  stallTimeout: Duration.minutes(10),
  queueTimeout: Duration.hours(1),
  stopTimeout: Duration.seconds(2)
}

/** Which task a POST stream is of: its first frame says so. */
const headOf = (
  operation: string,
  connection: Connection,
  [first, ...signals]: ReadonlyArray<Signal>
): Effect.Effect<Begun, TaskFailure | StreamTruncatedError> => {
  if (first?._tag === "Broken") return Effect.fail(first.error)
  if (first?._tag !== "Frames") {
    const description = "the stream ended before it told its task, which may exist"
    return new StreamTruncatedError({ operation, text: "", description })
  }
  const [head, ...frames] = first.frames
  if (head?._tag === "Failed") return new RWKVServerError({ operation, status: 500, description: head.description })
  if (head?._tag !== "Head" || !validate.isTaskId(head.taskId)) {
    return new RWKVDecodeError({ operation, description: "a stream that does not begin with its task" })
  }
  return Effect.succeed({
    taskId: head.taskId,
    prefillTime: Duration.seconds(head.prefillTime),
    opened: { connection, signals: [{ _tag: "Frames", frames: [head, ...frames] }, ...signals] }
  })
}

export const make = (
  http: HttpClient.Service,
  { acquirePrefill, lifetime }: Ledger.Service,
  config: RWKVConfig.Service
) => {
  const creates = retry.creates(config)

  const settings = (operation: string, options: FollowOptions) => {
    const of = (name: keyof typeof usual) => validate.duration(operation, name, options[name], usual[name])
    return Effect.all({
      idleTimeout: of("idleTimeout"),
      stallTimeout: of("stallTimeout"),
      queueTimeout: of("queueTimeout"),
      stopTimeout: of("stopTimeout"),
      retry: Effect.map(effective(config), ({ retry }) => options.retry ?? retry)
    })
  }

  /** Opens a POST stream and reads on until the server has told which task it is. */
  const openDirect = (operation: string, { frames, maxTokens }: Direct) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        connect(frames),
        (connection) =>
          restore(Effect.flatMap(effective(config), ({ requestTimeout }) =>
            limited(connection.take, requestTimeout, { operation, kind: "request" }))).pipe(
              Effect.flatMap((signals) =>
                headOf(operation, connection, signals)
              ),
              Effect.map((begun): Begun => ({ ...begun, maxTokens })),
              Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : connection.close)
            )
      )
    )

  const launch = <A>(run: Launch, telling: Telling<A>): Opening<A> => {
    const { operation } = run
    return Effect.gen(function*() {
      const options = yield* run.options
      const chosen = yield* settings(operation, options)
      const stays = () => options.onInterrupt === "detach" || run.detached?.() === true
      const about = (taskId: TaskId) => ({
        operation,
        taskId,
        maxTokens: run.maxTokens?.(),
        retry: config,
        within: chosen.stopTimeout
      })
      const farewell = (taskId: TaskId): Policy["farewell"] => (finished, after) =>
        lifetime.release({
          ...about(taskId),
          after,
          stop: !finished && !stays(),
          delete: options.cleanup === "delete" && taskId.startsWith("TMP_") && (finished || !stays())
        })
      const group = yield* run.before
      const entered = group === undefined ? undefined : yield* enter(group)
      const isDirect = options.transport === "direct"
      const begin: Effect.Effect<Begun, BranchFailure> = isDirect
        ? Effect.flatMap(run.stream, (direct) => openDirect(operation, direct))
        : Effect.map(run.create, ({ prefillTime, taskId }) => ({ taskId, prefillTime, opened: undefined }))
      // Each attempt is acquired by itself: a caller that leaves between two of them has nothing to stop.
      return yield* creates(
        acquirePrefill(isDirect, config)(
          operation,
          Effect.catchAll(begin, run.explain),
          ({ taskId, ...begun }) => {
            run.begun?.(taskId)
            const policy: Policy = { ...chosen, farewell: farewell(taskId) }
            const subject = { operation, taskId, ...begun, run: entered, fromToken: 0 }
            return follow(http, lifetime, subject, policy, telling)
          },
          ({ opened, taskId }) =>
            lifetime.release({ ...about(taskId), after: opened?.connection.close, stop: true, delete: run.fresh })
        )
      )
    }).pipe(Effect.withSpanScoped(operation, { captureStackTrace: false }))
  }

  const leaving = (
    operation: string,
    taskId: TaskId,
    onInterrupt: FollowOptions["onInterrupt"],
    within: Duration.Duration
  ): Policy["farewell"] =>
  (finished, after) =>
    lifetime.release({
      operation,
      taskId,
      after,
      stop: !finished && onInterrupt === "stop",
      retry: config,
      within
    })

  /** What leaving a recorded run tells the server. */
  const leaves = (operation: string, taskId: TaskId, options: FollowOptions) =>
    Effect.map(
      settings(operation, options),
      (chosen) => leaving(operation, taskId, options.onInterrupt, chosen.stopTimeout)
    )

  /** Without a span: for those who have one. */
  const listen = <A>(
    { fromToken, operation, options, taskId }: {
      readonly operation: string
      readonly options: FollowOptions
      readonly taskId: TaskId
      readonly fromToken: number
    },
    telling: Telling<A>
  ): Opening<A, TaskFailure> =>
    Effect.gen(function*() {
      yield* lifetime.usable(operation)
      const chosen = yield* settings(operation, options)
      const farewell = leaving(operation, taskId, options.onInterrupt, chosen.stopTimeout)
      return yield* Effect.uninterruptible(follow(
        http,
        lifetime,
        { operation, taskId, prefillTime: undefined, opened: undefined, run: undefined, fromToken },
        { ...chosen, farewell },
        telling
      ))
    })

  return { launch, leaves, listen }
}
