/**
 * From an operation to its stream of events: over which transport it starts, who owns the task, and what happens to it
 * when the stream is left.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Record from "effect/Record"
import type * as Stream from "effect/Stream"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import {
  type BranchFailure,
  RWKVDecodeError,
  type RWKVError,
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
import { note } from "../wire/telemetry.js"
import * as retry from "../wire/retry.js"
import type { Frame } from "../wire/sse.js"
import { connect, type Connection } from "./connection.js"
import { follow } from "./follow.js"
import type { Subject } from "./mind.js"
import * as Parting from "./parting.js"
import type { FollowFailure, Signal } from "./signals.js"
import * as Stops from "./stops.js"
import type { Opening, Telling } from "./telling.js"

/** What a run is asked for by. */
interface Ready<E> {
  /** The tasks that it shares its buffer with. */
  readonly group?: Ledger.Group | undefined
  /** Whether it may end without a word on the stream that it is asked for by: then the server is asked at once (H4). */
  readonly mute?: boolean
  /** The most tokens that it can have, if its caller said so. */
  readonly maxTokens: number | undefined
  readonly request: unknown
  readonly create: () => Effect.Effect<TaskResult, E>
  readonly stream: () => Stream.Stream<Frame, TaskFailure>
}

/** @typeParam E what can prevent the run */
export interface Launch<E = BranchFailure> {
  readonly operation: string
  readonly options: Effect.Effect<StreamOptions, RWKVValidationError>
  /** What has to hold before the server is asked. */
  readonly before: Effect.Effect<Ready<E>, E>
  readonly explain: (error: E | FollowFailure) => Effect.Effect<never, E | FollowFailure>
  /** Whether the run makes its task: then nobody else can want what was abandoned. */
  readonly fresh: boolean
  /** The task that it is a run of, or of a copy of. */
  readonly source?: string
  /** Whether the run goes on when its stream is left; undefined = as its options say. */
  readonly detached?: (() => boolean | undefined) | undefined
  /** Whether the owner of the task wants it after this run: then it goes on from run to run. */
  readonly keeps?: () => boolean
}

type Begun = Pick<Subject, "taskId" | "opened"> & Pick<TaskResult, "prefillTime"> & {
  readonly requestId: string | undefined
}

/** A run that never began, or goes on unseen, leaves with its stream; one that is stopped, when it has ended. */
const enter = (group: Ledger.Group, isStopped: () => boolean) =>
  Effect.acquireRelease(
    Effect.sync((): Ledger.Run => {
      const { alone, leave } = group.enter()
      let isIn = true
      return {
        alone,
        leave: () => {
          if (isIn) leave()
          isIn = false
        }
      }
    }),
    (run) => Effect.sync(() => isStopped() ? undefined : run.leave())
  )

/** A question that waits for no silence. */
const early: Signal = { _tag: "Idle", early: true, silent: false, late: false, overdue: false }

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
    requestId: head.requestId,
    opened: { connection, signals: [{ _tag: "Frames", frames: [head, ...frames] }, ...signals] }
  })
}

export const make = (
  http: HttpClient.Service,
  ledger: Ledger.Service,
  config: RWKVConfig.Service
) => {
  const { admit, lifetime } = ledger
  const part = Parting.make(http, ledger)
  const creates = retry.creates(config)

  const settings = (operation: string, options: FollowOptions) => {
    const limits = Record.map(usual, (limit, name) => validate.duration(operation, name, options[name], limit))
    return Effect.all({ ...limits, retry: Effect.map(effective(config), ({ retry }) => options.retry ?? retry) })
  }

  /** Opens a POST stream and reads on until the server has told which task it is. */
  const openDirect = (operation: string, stream: () => Stream.Stream<Frame, TaskFailure>, mute = false) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Effect.suspend(() => connect(stream())),
        (connection) =>
          restore(Effect.flatMap(effective(config), ({ requestTimeout }) =>
            limited(connection.take, requestTimeout, { operation, kind: "request" }))).pipe(
              Effect.flatMap((signals) =>
                headOf(operation, connection, mute ? [...signals, early] : signals)
              ),
              Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : connection.close)
            )
      )
    )

  const launch = <A, E extends RWKVError>(run: Launch<E>, telling: Telling<A>): Opening<A, E | FollowFailure> => {
    const { operation } = run
    return Effect.gen(function*() {
      const options = yield* run.options
      const chosen = yield* settings(operation, options)
      yield* note(({ stops }) => stops(options.stop))
      const stays = () => run.detached?.() ?? options.onInterrupt === "detach"
      const stops = options.stop === undefined ? undefined : Stops.make(options.stop)
      const { create, group, maxTokens, mute, request, stream } = yield* run.before
      let hasBegun = false
      const entered = group === undefined ? undefined : yield* enter(group, () => hasBegun && !stays())
      const isDirect = options.transport === "direct"
      const begin: Effect.Effect<Begun, E | FollowFailure> = isDirect
        ? openDirect(operation, stream, mute)
        : Effect.map(Effect.suspend(create), ({ prefillTime, requestId, taskId }) => ({
          taskId,
          prefillTime,
          requestId,
          opened: undefined
        }))
      // Each attempt is acquired by itself: a caller that leaves between two of them has nothing to stop.
      return yield* admit<E | FollowFailure>(
        { isDirect, source: run.source, request },
        (acquired) => creates(Effect.catchAll(acquired, run.explain))
      )(
        operation,
        begin,
        (begun) => {
          const { taskId } = begun
          hasBegun = true
          const deletes = options.cleanup === "delete" && taskId.startsWith("TMP_")
          ledger.begins(taskId, maxTokens, begun.requestId)
          const about = { operation, taskId, maxTokens, run: entered, keeps: run.keeps }
          const parting = part({ ...about, ...chosen, stays, deletes, counts: telling.counts, retry: config })
          return follow(http, lifetime, { ...about, ...begun, fromToken: 0 }, { ...chosen, stops, parting }, telling)
        },
        ({ opened, taskId }) =>
          lifetime.release({
            operation,
            taskId,
            maxTokens,
            retry: config,
            within: chosen.stopTimeout,
            after: opened?.connection.close,
            stop: true,
            delete: run.fresh || run.keeps !== undefined
          })
      )
    })
  }

  /** How a run that is there already is parted from. */
  const leaving = (
    about: Pick<Parting.About, "operation" | "taskId" | "counts" | "stopTimeout">,
    { onInterrupt }: FollowOptions
  ) => {
    const maxTokens = ledger.limits.get(about.taskId)
    return part({ ...about, maxTokens, retry: config, stays: () => onInterrupt !== "stop", deletes: false })
  }

  /** What leaving a recorded run tells the server. */
  const leaves = (operation: string, taskId: TaskId, options: FollowOptions) =>
    Effect.map(
      settings(operation, options),
      ({ stopTimeout }) => leaving({ operation, taskId, counts: false, stopTimeout }, options).farewell
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
      const about = { operation, taskId, stopTimeout: chosen.stopTimeout, counts: telling.counts }
      const policy = { ...chosen, parting: leaving(about, options) }
      const subject = { operation, taskId, maxTokens: ledger.limits.get(taskId), fromToken }
      return yield* Effect.uninterruptible(follow(http, lifetime, subject, policy, telling))
    })

  return { launch, leaves, listen }
}
