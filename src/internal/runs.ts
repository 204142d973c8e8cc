/**
 * Streams of events by what begins them: a create, a continue, a fork, or nothing (a task that exists). `StreamService` and
 * `TaskService` use them under their own names, which errors and spans carry.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Generation from "../Generation.js"
import type { CallOptions, Frame, Service as HttpService } from "../HttpClient.js"
import type { StreamEvent, TaskId, TaskResult } from "../Protocol.js"
import type * as RWKVConfig from "../RWKVConfig.js"
import type { CallError, RWKVError } from "../RWKVError.js"
import type { StreamOptions, SubscribeOptions } from "../Task.js"
import * as Guards from "./guards.js"
import * as Launch from "./launch.js"
import * as Ledger from "./ledger.js"
import * as Options from "./options.js"
import { live, record } from "./record.js"
import * as retry from "./retry.js"
import * as validate from "./validate.js"

const encodeContinue = validate.encoder(Generation.ContinueRequest)
const encodeFork = validate.encoder(Generation.ForkRequest)

type Events = Stream.Stream<StreamEvent, RWKVError>

/** @internal */
export const make = (http: HttpService, config: RWKVConfig.Service, ledger: Ledger.Service) => {
  const guards = Guards.make(http, ledger, config.retry)
  const { attach, launch } = Launch.make(http, ledger.lifetime, config)
  const reads = retry.reads(config.retry)

  const explain = (id: string) => (error: RWKVError) =>
    error._tag === "RWKVServerError" ? guards.explain(error, id) : Effect.fail(error)

  const created = <A extends object>(
    operation: string,
    cleanup: "delete" | "keep",
    create: (request: A, options: CallOptions) => Effect.Effect<TaskResult, CallError>,
    stream: (request: A, options: CallOptions) => Stream.Stream<Frame, CallError>
  ) =>
  (request: A, options?: StreamOptions): Events => {
    const complete = Effect.suspend(() => validate.withDefaults(operation, config.defaults, request))
    return launch({
      operation,
      options: Effect.map(Options.ofStream(operation, options), (chosen) => ({ cleanup, ...chosen })),
      before: Effect.succeed(undefined),
      create: Effect.flatMap(complete, (request) => create(request, { operation })),
      stream: Stream.unwrap(Effect.map(complete, (request) => stream(request, { operation }))),
      explain: Effect.fail,
      fresh: true
    })
  }

  const continuedEvents = (
    operation: string,
    id: string,
    request: Generation.ContinueRequest,
    options: StreamOptions | undefined,
    group: Ledger.Group | undefined,
    detached?: () => boolean
  ): Events =>
    launch({
      operation,
      options: Effect.map(Options.ofStream(operation, options), (chosen) => ({
        cleanup: "keep",
        transport: group === undefined ? "subscribe" : "direct",
        ...chosen
      })),
      before: encodeContinue(operation, request).pipe(
        Effect.zipRight(guards.ready(operation, id)),
        Effect.as(group)
      ),
      create: http.continue(id, request, { operation }),
      stream: http.continueStream(id, request, { operation }),
      explain: explain(id),
      fresh: false,
      ...(detached === undefined ? {} : { detached })
    })

  /** The tasks that share a buffer with this one, from its first fork on. */
  const groupOf = (id: string) => {
    const group = ledger.sharing.get(id) ?? Ledger.makeGroup()
    ledger.sharing.set(id, group)
    return group
  }

  const forkedEvents = (
    operation: string,
    id: string,
    request: Generation.ForkRequest,
    options: StreamOptions | undefined,
    detached?: () => boolean
  ): Events =>
    launch({
      operation,
      options: Effect.map(
        Options.ofStream(operation, options),
        (chosen) => ({ cleanup: "keep", transport: "direct", ...chosen })
      ),
      before: encodeFork(operation, request).pipe(
        Effect.zipRight(guards.ready(operation, id)),
        Effect.flatMap(() => {
          // Known before the source is read: another fork of it may begin meanwhile.
          const group = groupOf(id)
          return Effect.as(guards.preserve(operation, id, group), group)
        })
      ),
      create: http.fork(id, request, { operation }),
      stream: http.forkStream(id, request, { operation }),
      explain: explain(id),
      fresh: true,
      ...(detached === undefined ? {} : { detached })
    })

  /** A run that is recorded and goes on without its caller once it has begun. */
  const handedOver = (operation: string, id: string, events: (detached: () => boolean) => Events) =>
    Effect.suspend(() => {
      let handed = false
      return record(
        ledger,
        operation,
        () => ledger.sharing.get(id),
        events(() => handed),
        (begun) =>
          Effect.sync(() => {
            handed = true
            return begun
          })
      )
    })

  /** A run that is recorded and left when its stream is. */
  const recorded = (operation: string, id: string, events: Events): Events =>
    Stream.unwrapScoped(record(ledger, operation, () => ledger.sharing.get(id), events, (begun) =>
      Effect.as(
        Effect.addFinalizer(() => begun.leave),
        live(begun.taskId, begun.prefillTime, begun.recording)
      )))

  const continued =
    (operation: string) => (id: string, request: Generation.ContinueRequest, options?: StreamOptions): Events =>
      Stream.suspend(() => {
        const group = ledger.sharing.get(id)
        const events = continuedEvents(operation, id, request, options, group)
        return group === undefined
          ? Stream.tap(events, (event) =>
            Effect.sync(() => {
              if (event._tag === "Started") ledger.begins(event.taskId)
            }))
          : recorded(operation, id, events)
      })

  const forked =
    (operation: string) => (id: string, request: Generation.ForkRequest, options?: StreamOptions): Events =>
      recorded(operation, id, forkedEvents(operation, id, request, options))

  const fork = (operation: string, id: string, request: Generation.ForkRequest) =>
    handedOver(operation, id, (detached) => forkedEvents(operation, id, request, undefined, detached))

  /** Continues a task that shares its buffer. */
  const continueSharing = (operation: string, id: string, request: Generation.ContinueRequest) =>
    handedOver(
      operation,
      id,
      (detached) => continuedEvents(operation, id, request, undefined, ledger.sharing.get(id), detached)
    )

  /** What is recorded, as a subscription: leaving it early may stop the task, and ends no recording. */
  const listenTo = (operation: string, taskId: TaskId, recording: Ledger.Recording, stops: boolean): Events =>
    Stream.unwrapScoped(Effect.gen(function*() {
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(
          Deferred.isDone(recording.result),
          (done) =>
            ledger.lifetime.release({ operation, taskId, stop: stops && !done, delete: false, within: "2 seconds" })
        )
      )
      return live(taskId, Duration.zero, recording)
    }))

  const subscribed = (operation: string) => (id: string, options?: SubscribeOptions): Events =>
    Stream.unwrap(Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const chosen = yield* Options.ofSubscribe(operation, options)
      const from = yield* validate.integer(
        operation,
        "fromToken",
        chosen.fromToken === undefined ? 0 : chosen.fromToken
      )
      const recording = ledger.recordings.get(taskId)
      if (recording !== undefined && from === 0) {
        const stops = chosen.onInterrupt === "stop"
        return listenTo(operation, taskId, recording, stops)
      }
      const fromToken = from >= 0
        ? from
        : Math.max(0, from + (yield* reads(http.status(taskId, { operation }))).generatedTokens)
      return attach({ operation, options: chosen, taskId, fromToken })
    }))

  return { continueSharing, continued, created, fork, forked, subscribed }
}
