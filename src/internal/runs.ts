/**
 * Streams of events by what begins them: a create, a continue, a fork, or nothing (a task that exists). `StreamService` and
 * `TaskService` use them under their own names, which errors and spans carry.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Generation from "../Generation.js"
import type { CallOptions, Frame, Service as HttpService } from "../HttpClient.js"
import { StreamEvent, type TaskId, type TaskResult } from "../Protocol.js"
import type * as RWKVConfig from "../RWKVConfig.js"
import { type CallError, type RWKVError, StreamTruncatedError, type TaskError } from "../RWKVError.js"
import type { StreamOptions, SubscribeOptions } from "../Task.js"
import * as Guards from "./guards.js"
import * as Launch from "./launch.js"
import * as Ledger from "./ledger.js"
import * as retry from "./retry.js"
import * as validate from "./validate.js"
import { narrow } from "./wait.js"

const encodeContinue = validate.encoder(Generation.ContinueRequest)
const encodeFork = validate.encoder(Generation.ForkRequest)

type Events = Stream.Stream<StreamEvent, RWKVError>

/** The events of a run that is known here and nowhere else. */
const replay = (taskId: TaskId, recording: Ledger.Recording): Events =>
  Stream.fromIterableEffect(Effect.map(Deferred.await(recording.result), (result) => [
    StreamEvent.Started({ taskId, prefillTime: result.prefillTime }),
    ...(result.text === "" ? [] : [StreamEvent.Text({ text: result.text })]),
    StreamEvent.Finished({ result })
  ]))

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
    const chosen = validate.given(options)
    const complete = Effect.suspend(() => validate.withDefaults(operation, config.defaults, request))
    return launch({
      operation,
      options: { ...chosen, cleanup: chosen.cleanup ?? cleanup },
      before: Effect.void,
      create: Effect.flatMap(complete, (request) => create(request, { operation })),
      stream: Stream.unwrap(Effect.map(complete, (request) => stream(request, { operation }))),
      explain: Effect.fail,
      group: undefined
    })
  }

  /**
   * Keeps the text of a run that shares its buffer: what `get_result` says of it may be the text of others. Once such a
   * stream is left, the buffer is all there is; if others have written to it, nobody knows the text.
   */
  const recorded = (operation: string, group: Ledger.Group, events: Events): Events =>
    Stream.unwrap(Effect.map(Deferred.make<TaskResult, TaskError | StreamTruncatedError>(), (result) => {
      let id = ""
      let text = ""
      let mixed = false
      const note = (event: StreamEvent) => {
        mixed = mixed || group.mixed()
        switch (event._tag) {
          case "Started":
            id = event.taskId
            ledger.sharing.set(id, group)
            ledger.begins(id)
            return ledger.recordings.set(id, { text: () => text, result })
          case "Text":
            text += event.text
            return
          case "Finished":
            return Deferred.unsafeDone(result, Exit.succeed(event.result))
        }
      }
      const left = () =>
        new StreamTruncatedError({ operation, taskId: id, text, description: "the stream was left before its end" })
      return events.pipe(
        Stream.map((event) => {
          note(event)
          return event
        }),
        Stream.tapError((error) => Deferred.fail(result, narrow(operation, id)(error))),
        Stream.ensuring(
          Effect.suspend(() => Deferred.fail(result, left())).pipe(
            Effect.map((early) => early && !mixed && !group.mixed() ? ledger.recordings.delete(id) : undefined)
          )
        )
      )
    }))

  const continued =
    (operation: string) => (id: string, request: Generation.ContinueRequest, options?: StreamOptions): Events =>
      Stream.suspend(() => {
        const group = ledger.sharing.get(id)
        const chosen = validate.given(options)
        const events = launch({
          operation,
          options: {
            ...chosen,
            cleanup: chosen.cleanup ?? "keep",
            transport: chosen.transport ?? (group === undefined ? "subscribe" : "direct")
          },
          before: Effect.zipRight(encodeContinue(operation, request), guards.ready(operation, id)),
          create: http.continue(id, request, { operation }),
          stream: http.continueStream(id, request, { operation }),
          explain: explain(id),
          group
        })
        return group === undefined
          ? Stream.tap(events, (event) =>
            Effect.sync(() => {
              if (event._tag === "Started") ledger.begins(event.taskId)
            }))
          : recorded(operation, group, events)
      })

  const forked =
    (operation: string) => (id: string, request: Generation.ForkRequest, options?: StreamOptions): Events =>
      Stream.suspend(() => {
        // Known at once: another fork of this task may begin before the server has named this one.
        const group = ledger.sharing.get(id) ?? Ledger.makeGroup()
        ledger.sharing.set(id, group)
        const chosen = validate.given(options)
        const events = launch({
          operation,
          options: { ...chosen, cleanup: chosen.cleanup ?? "keep", transport: chosen.transport ?? "direct" },
          before: encodeFork(operation, request).pipe(
            Effect.zipRight(guards.ready(operation, id)),
            Effect.zipRight(guards.preserve(operation, id, group))
          ),
          create: http.fork(id, request, { operation }),
          stream: http.forkStream(id, request, { operation }),
          explain: explain(id),
          group
        })
        return recorded(operation, group, events)
      })

  const subscribed = (operation: string) => (id: string, options?: SubscribeOptions): Events =>
    Stream.unwrap(Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const chosen = validate.given(options)
      const from = yield* validate.integer(
        operation,
        "fromToken",
        chosen.fromToken === undefined ? 0 : chosen.fromToken
      )
      const recording = ledger.recordings.get(taskId)
      if (recording !== undefined && from === 0) return replay(taskId, recording)
      const fromToken = from >= 0
        ? from
        : Math.max(0, from + (yield* reads(http.status(taskId, { operation }))).generatedTokens)
      return attach({ operation, options: chosen, taskId, fromToken })
    }))

  return { continued, created, forked, subscribed }
}
