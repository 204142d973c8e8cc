/**
 * Opens runs under the names of `StreamService` and `TaskService`, which errors and spans carry. Runs that share a
 * buffer are recorded (H15); all others are followed directly.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Generation from "../../Generation.js"
import type { Service as HttpService } from "../../HttpClient.js"
import type { TaskId, TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import type { RWKVError } from "../../RWKVError.js"
import type { BranchOptions, StreamOptions, SubscribeOptions, WaitOptions } from "../../Task.js"
import { begun } from "../input/failure.js"
import * as Options from "../input/options.js"
import * as validate from "../input/validate.js"
import type { Admission } from "../owner/admission.js"
import * as Ledger from "../owner/ledger.js"
import * as retry from "../wire/retry.js"
import * as telemetry from "../wire/telemetry.js"
import * as Keeping from "./keeping.js"
import * as Launcher from "./launch.js"
import * as Preconditions from "./preconditions.js"
import { listenTo, live, record } from "./record.js"
import type { FollowFailure } from "./signals.js"
import * as Starts from "./starts.js"
import { ends, events, type Opening, type Pull, type Telling } from "./telling.js"

const RunsId: unique symbol = Symbol.for("effect-rwkv/Runs")

export type Runs = ReturnType<typeof build>

/**
 * What the services over one client share: `StreamService` makes it and carries it, `TaskService` takes it from there.
 */
export const make = (
  http: HttpService,
  config: RWKVConfig.Service,
  admission?: Admission
): Effect.Effect<Runs, never, Scope.Scope> =>
  Effect.map(Ledger.of(http, config.closeTimeout, admission), (ledger) =>
    // In a pool the server is not chosen yet: spans get its address later.
    build(http, config, ledger, telemetry.make({ baseUrl: admission === undefined ? config.baseUrl : undefined })))

const isCarrier = (streams: object): streams is { readonly [RunsId]: Runs } => hasProperty(streams, RunsId)

export const carry = <A extends object>(streams: A, runs: Runs): A => Object.assign(streams, { [RunsId]: runs })

/** The runs that a stream service carries; undefined if the program made the service. */
export const carriedBy = (streams: object): Runs | undefined => isCarrier(streams) ? streams[RunsId] : undefined

/** The keeper of tasks between runs; undefined if the program made the service. */
export const keeperOf = (streams: object): Keeping.Keeper | undefined => carriedBy(streams)?.keeper

/** Pulls a run that tells only its end, until that comes. */
const last = (pull: Pull<TaskResult>): Effect.Effect<TaskResult, FollowFailure> =>
  Effect.matchEffect(pull, {
    onFailure: Option.match({ onNone: () => Effect.dieMessage("a run that told no end"), onSome: Effect.fail }),
    onSuccess: (told) => Option.match(Chunk.head(told), { onNone: () => last(pull), onSome: Effect.succeed })
  })

const build = (
  http: HttpService,
  config: RWKVConfig.Service,
  ledger: Ledger.Service,
  spans: telemetry.Spans
) => {
  const preconditions = Preconditions.make(http, ledger, config)
  const { continuing, forking } = Starts.make(http, ledger, preconditions)
  const { launch, leaves, listen } = Launcher.make(http, ledger, config)
  const reads = retry.reads(config)

  /** Launches a run under a span of its own. */
  const launched = <A, E extends RWKVError>(start: Launcher.Launch<E>, telling: Telling<A>) =>
    spans.opening(start.operation, "run", launch(start, telling))

  const recorded = (id: string, start: Launcher.Launch, counts: boolean) =>
    record(
      ledger,
      start.operation,
      spans.checked(start.operation, "run", id, ledger.lifetime.usable(start.operation)),
      () => ledger.sharing.get(id),
      launched(start, { ...events, counts })
    )

  /** A run that is left when its stream is. */
  const attached = <A>(id: string, start: Launcher.Launch, telling: Telling<A>): Opening<A> =>
    recorded(id, start, telling.counts)((begun) =>
      Effect.as(Effect.addFinalizer(() => begun.leave), live(begun, telling))
    )

  /** A run that goes on without its caller once it has begun. */
  const detached = (id: string, start: Launcher.Launch) =>
    Effect.suspend(() => {
      let handed = false
      return recorded(id, { ...start, detached: () => handed }, true)((begun) =>
        Effect.sync(() => {
          handed = true
          return begun
        })
      )
    })

  return {
    ledger,
    preconditions,
    spans,
    /** For sessions, which continue their task from run to run. */
    keeper: Keeping.make(http, config, ledger, continuing, (start) => launched(start, events)),
    created: <A extends Generation.GenerationOptions, B>(creation: Starts.Creation<A>, telling: Telling<B>) =>
    (
      request: A,
      options?: StreamOptions,
      detached?: Launcher.Launch["detached"]
    ): Opening<B, FollowFailure> =>
      launched({ ...Starts.creating(creation, config, request, options), detached }, telling),
    continued: <A>(operation: string, telling: Telling<A>) =>
    (
      id: string,
      request: Generation.ContinueRequest,
      options?: StreamOptions
    ): Opening<A> =>
      Effect.suspend(() => {
        const start = continuing(operation, id, request, options)
        return ledger.sharing.get(id) === undefined ? launched(start, telling) : attached(id, start, telling)
      }),
    forked: <A>(operation: string, cleanup: Starts.Cleanup, telling: Telling<A>) =>
    (
      id: string,
      request: Generation.ForkRequest,
      options?: StreamOptions
    ): Opening<A> => attached(id, forking(operation, id, request, { cleanup, ...options }), telling),
    subscribed: <A>(operation: string, telling: Telling<A>) => (id: string, options?: SubscribeOptions): Opening<A> =>
      spans.opening(
        operation,
        "call",
        Effect.gen(function*() {
          const taskId = yield* validate.taskId(operation, id)
          const chosen = yield* Options.ofSubscribe(operation, options)
          const { fromToken: from = 0 } = chosen
          const recording = ledger.recordings.get(taskId)
          if (recording !== undefined && from === 0) {
            const leaving = yield* leaves(operation, taskId, chosen)
            return yield* listenTo(leaving, taskId, recording, telling)
          }
          const fromToken = from >= 0
            ? from
            : Math.max(0, from + (yield* reads(http.status(taskId, { operation }))).generatedTokens)
          return yield* listen({ operation, options: chosen, taskId, fromToken }, telling)
        }),
        id
      ),
    /** A run that is followed to its end, under the span of its caller. */
    ran: <A extends Generation.GenerationOptions>(creation: Starts.Creation<A>) =>
    (
      request: A,
      options: StreamOptions
    ): Effect.Effect<TaskResult, FollowFailure> =>
      Effect.scoped(Effect.flatMap(
        launch(Starts.creating(creation, config, request, options), ends),
        (pull) => Effect.mapError(last(pull), begun)
      )),
    fork: (operation: string, id: string, request: Generation.ForkRequest, options: BranchOptions) =>
      detached(id, forking(operation, id, request, options)),
    /** Continues a task that shares its buffer. */
    continueSharing: (operation: string, id: string, request: Generation.ContinueRequest, options: BranchOptions) =>
      detached(id, continuing(operation, id, request, options)),
    /** The end of a task, by listening to its stream. */
    ended: (
      operation: string,
      taskId: TaskId,
      given: Pick<WaitOptions, "queueTimeout">
    ): Effect.Effect<TaskResult, FollowFailure> =>
      Effect.suspend(() => {
        const recording = ledger.recordings.get(taskId)
        if (recording !== undefined) return Deferred.await(recording.result)
        const options = { idleTimeout: "5 seconds", queueTimeout: given.queueTimeout } as const
        return Effect.scoped(Effect.flatMap(listen({ operation, options, taskId, fromToken: 0 }, ends), last))
      })
  }
}
