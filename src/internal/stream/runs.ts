/**
 * Streams of events by what begins them: a create, a continue, a fork, or nothing (a task that exists). `StreamService` and
 * `TaskService` use them under their own names, which errors and spans carry.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Generation from "../../Generation.js"
import type { CallOptions, Frame, Service as HttpService } from "../../HttpClient.js"
import type { StreamEvent, TaskId, TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import type { BranchFailure, CallFailure } from "../../RWKVError.js"
import type { StreamOptions, SubscribeOptions } from "../../Task.js"
import * as Guards from "./preconditions.js"
import * as Launch from "./launch.js"
import * as Ledger from "../owner/ledger.js"
import * as Options from "../input/options.js"
import type { Opening, Pull } from "./pull.js"
import { live, record } from "./record.js"
import type { FollowFailure } from "./signals.js"
import * as retry from "../wire/retry.js"
import { ends, events, type Telling } from "./telling.js"
import { encoder, withDefaults } from "../input/request.js"
import * as validate from "../input/validate.js"

const encodeContinue = encoder(Generation.ContinueRequest)
const encodeFork = encoder(Generation.ForkRequest)

const RunsId: unique symbol = Symbol.for("effect-rwkv/Runs")

export type Runs = ReturnType<typeof build>

/**
 * What the services over one client share: `StreamService` makes it and carries it, `TaskService` takes it from there.
 */
export const make = (http: HttpService, config: RWKVConfig.Service): Effect.Effect<Runs, never, Scope.Scope> =>
  Effect.map(Ledger.of(http), (ledger) => build(http, config, ledger))

const isCarrier = (streams: object): streams is { readonly [RunsId]: Runs } => hasProperty(streams, RunsId)

export const carry = <A extends object>(streams: A, runs: Runs): A => Object.assign(streams, { [RunsId]: runs })

/** What a stream service carries; nothing if a program made it. */
export const carriedBy = (streams: object): Runs | undefined => isCarrier(streams) ? streams[RunsId] : undefined

const build = (http: HttpService, config: RWKVConfig.Service, ledger: Ledger.Service) => {
  const guards = Guards.make(http, ledger, config.retry)
  const { launch, listen } = Launch.make(http, ledger.lifetime, config)
  const reads = retry.reads(config.retry)

  const explain = (id: string) => (error: BranchFailure): Effect.Effect<never, BranchFailure> =>
    error._tag === "RWKVServerError" ? guards.explain(error, id) : Effect.fail(error)

  const created = <A extends object, B>(
    operation: string,
    cleanup: "delete" | "keep",
    telling: Telling<B>,
    create: (request: A, options: CallOptions) => Effect.Effect<TaskResult, CallFailure>,
    stream: (request: A, options: CallOptions) => Stream.Stream<Frame, CallFailure>
  ) =>
  (request: A, options?: StreamOptions): Opening<B> => {
    const complete = Effect.suspend(() => withDefaults(operation, config.defaults, request))
    return launch({
      operation,
      options: Effect.map(Options.ofStream(operation, options), (chosen) => ({ cleanup, ...chosen })),
      before: Effect.succeed(undefined),
      create: Effect.flatMap(complete, (request) => create(request, { operation })),
      stream: Effect.map(complete, (request) => stream(request, { operation })),
      explain: Effect.fail,
      fresh: true
    }, telling)
  }

  const continuing = <A>(
    operation: string,
    id: string,
    request: Generation.ContinueRequest,
    options: StreamOptions | undefined,
    group: Ledger.Group | undefined,
    telling: Telling<A>,
    detached?: () => boolean
  ): Opening<A> =>
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
      stream: Effect.sync(() => http.continueStream(id, request, { operation })),
      explain: explain(id),
      fresh: false,
      ...(group === undefined ? { begun: ledger.begins } : {}),
      ...(detached === undefined ? {} : { detached })
    }, telling)

  /** The tasks that share a buffer with this one, from its first fork on. */
  const groupOf = (id: string) => {
    const group = ledger.sharing.get(id) ?? Ledger.makeGroup()
    ledger.sharing.set(id, group)
    return group
  }

  const forking = (
    operation: string,
    id: string,
    request: Generation.ForkRequest,
    options: StreamOptions | undefined,
    detached?: () => boolean
  ) =>
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
      stream: Effect.sync(() => http.forkStream(id, request, { operation })),
      explain: explain(id),
      fresh: true,
      ...(detached === undefined ? {} : { detached })
    }, events)

  type Events = Opening<StreamEvent>

  /** A run that is recorded and goes on without its caller once it has begun. */
  const handedOver = (operation: string, id: string, opening: (detached: () => boolean) => Events) =>
    Effect.suspend(() => {
      let handed = false
      return record(
        ledger,
        operation,
        () => ledger.sharing.get(id),
        opening(() => handed),
        (begun) =>
          Effect.sync(() => {
            handed = true
            return begun
          })
      )
    })

  /** A run that is recorded and left when its stream is. */
  const recorded = <A>(
    operation: string,
    id: string,
    opening: Events,
    telling: Telling<A>
  ): Opening<A> =>
    record(ledger, operation, () => ledger.sharing.get(id), opening, (begun) =>
      Effect.as(
        Effect.addFinalizer(() => begun.leave),
        live(begun.taskId, begun.prefillTime, begun.recording, telling)
      ))

  const continued = <A>(operation: string, telling: Telling<A>) =>
  (
    id: string,
    request: Generation.ContinueRequest,
    options?: StreamOptions
  ): Opening<A> =>
    Effect.suspend(() => {
      const group = ledger.sharing.get(id)
      return group === undefined
        ? continuing(operation, id, request, options, group, telling)
        : recorded(operation, id, continuing(operation, id, request, options, group, events), telling)
    })

  const forked = <A>(operation: string, telling: Telling<A>) =>
  (
    id: string,
    request: Generation.ForkRequest,
    options?: StreamOptions
  ): Opening<A> => recorded(operation, id, forking(operation, id, request, options), telling)

  const fork = (operation: string, id: string, request: Generation.ForkRequest) =>
    handedOver(operation, id, (detached) => forking(operation, id, request, undefined, detached))

  /** Continues a task that shares its buffer. */
  const continueSharing = (operation: string, id: string, request: Generation.ContinueRequest) =>
    handedOver(
      operation,
      id,
      (detached) => continuing(operation, id, request, undefined, ledger.sharing.get(id), events, detached)
    )

  /** What is recorded, as a subscription: leaving it early may stop the task, and ends no recording. */
  const listenTo = <A>(
    operation: string,
    taskId: TaskId,
    recording: Ledger.Recording,
    stops: boolean,
    telling: Telling<A>
  ): Opening<A> =>
    Effect.as(
      Effect.addFinalizer(() =>
        Effect.flatMap(
          Deferred.isDone(recording.result),
          (done) =>
            ledger.lifetime.release({ operation, taskId, stop: stops && !done, delete: false, within: "2 seconds" })
        )
      ),
      live(taskId, Duration.zero, recording, telling)
    )

  const subscribed = <A>(operation: string, telling: Telling<A>) =>
  (
    id: string,
    options?: SubscribeOptions
  ): Opening<A> =>
    Effect.gen(function*() {
      const taskId = yield* validate.taskId(operation, id)
      const chosen = yield* Options.ofSubscribe(operation, options)
      const from = yield* validate.integer(
        operation,
        "fromToken",
        chosen.fromToken === undefined ? 0 : chosen.fromToken
      )
      const recording = ledger.recordings.get(taskId)
      if (recording !== undefined && from === 0) {
        return yield* listenTo(operation, taskId, recording, chosen.onInterrupt === "stop", telling)
      }
      const fromToken = from >= 0
        ? from
        : Math.max(0, from + (yield* reads(http.status(taskId, { operation }))).generatedTokens)
      return yield* listen({ operation, options: chosen, taskId, fromToken }, telling)
    }).pipe(Effect.withSpanScoped(operation))

  /** The end of a task, by listening to its stream. However long it waits for its turn, it is waited for. */
  const ended = (operation: string, taskId: TaskId): Effect.Effect<TaskResult, FollowFailure> =>
    Effect.suspend(() => {
      const recording = ledger.recordings.get(taskId)
      if (recording !== undefined) return Deferred.await(recording.result)
      const options = { idleTimeout: "5 seconds", patient: true } as const
      return Effect.scoped(Effect.flatMap(listen({ operation, options, taskId, fromToken: 0 }, ends), last))
    })

  return { continueSharing, continued, created, ended, fork, forked, guards, ledger, subscribed }
}

/** What a run is told as that tells only its end. */
const last = (pull: Pull<TaskResult>): Effect.Effect<TaskResult, FollowFailure> =>
  Effect.matchEffect(pull, {
    onFailure: Option.match({ onNone: () => Effect.dieMessage("a run that told no end"), onSome: Effect.fail }),
    onSuccess: (told) => Option.match(Chunk.head(told), { onNone: () => last(pull), onSome: Effect.succeed })
  })
