/**
 * Many servers as one: `TaskService` and `StreamService` over a pool, for programs that need not know of it.
 *
 * A task lives where it was made. The id that a pool gives is the server's own id, `~`, and the server's name, as in
 * `TMP_4a27e546c5ad4b08af86a0321de5bc70~gpu-1`: it is good in every process whose pool has a server of that name, and
 * no other server is asked about it. An id of a server that the pool does not have fails with `RWKVPoolError` of kind
 * `"server"`, and `TaskService.task` with `RWKVValidationError`.
 *
 * @since 0.2.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { checkHeaders } from "./internal/input/headers.js"
import { encoder } from "./internal/input/request.js"
import * as rule from "./internal/input/rules.js"
import * as validate from "./internal/input/validate.js"
import * as Id from "./internal/pool/id.js"
import * as Pools from "./internal/pool/pool.js"
import * as Servers from "./internal/pool/server.js"
import * as Services from "./internal/pool/services.js"
import * as RWKVHttpClient from "./HttpClient.js"
import * as RWKVConfig from "./RWKVConfig.js"
import type { RWKVValidationError } from "./RWKVError.js"
import { StreamService } from "./StreamService.js"
import { TaskService } from "./TaskService.js"

/**
 * A server of a pool.
 *
 * @since 0.2.0
 * @category models
 */
export interface Server {
  /** 1 to 32 letters, digits, `_` or `-`, of one server only. It is a part of ids: keep it as long as they are used. */
  readonly name: string
  /** As `baseUrl` of `RWKVConfig`. */
  readonly baseUrl: string
  /** Its speed beside the others'; as measured by default. More than 0. */
  readonly weight?: number | undefined
  /** How many tasks run there at once, at most; 256 by default. */
  readonly capacity?: number | undefined
  /** How many entries of its cache are used, at most, those of running tasks included; 256 by default, as it has. */
  readonly keeps?: number | undefined
  /** Takes no new work, while its tasks go on; false by default. */
  readonly draining?: boolean | undefined
  /** Sent to this server beside the pool's, or instead of one of the same name. Values are secrets. */
  readonly headers?: RWKVConfig.Options["headers"]
}

/**
 * Which servers there are, and how the pool treats them. All other options are those of `RWKVConfig`, for each server.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options<E = never, R = never> extends Omit<RWKVConfig.Options, "baseUrl"> {
  /**
   * The servers, at least one; or a Stream of such lists, the last of which holds. The layer waits for the first. A
   * server that a later list does not name drains, and leaves when no task runs there. A later list that is invalid is
   * logged and passed over, and so is the failure of the Stream.
   */
  readonly servers: ReadonlyArray<Server> | Stream.Stream<ReadonlyArray<Server>, E, R>
  /**
   * How many may wait in this program for a place on a server; 1024 by default. One more fails with `RWKVPoolError` of
   * kind `"full"`. The runs of `runAll` are not counted: its `concurrency` bounds them.
   */
  readonly queueLimit?: number | undefined
  /** How long they may wait before they fail with `RWKVTimeoutError` of kind `"queue"`; 1 hour by default. */
  readonly queueTimeout?: Duration.DurationInput | undefined
  /**
   * What becomes of a run whose server is lost. `"fail"`, the default, fails by type. `"replay"` makes runs anew on
   * another server: those of `run` and `runAll`, and streams that have delivered no text or whose request has a `seed`;
   * what was delivered is not delivered again, and a text that contradicts it fails with `RWKVPoolError` of kind
   * `"replay"`. It needs servers of one model. Continues, forks and handles live on the server that they are of.
   */
  readonly onServerLost?: "fail" | "replay" | undefined
  /**
   * When a lost server is asked (`GET /v1/models`) whether it is well; after 1 second by default, then up to each 30.
   * Where the Schedule has ended it is asked each 30 seconds.
   */
  readonly probe?: Schedule.Schedule<unknown> | undefined
}

/**
 * What the pool knows of a server.
 *
 * @since 0.2.0
 * @category models
 */
export interface ServerFigures {
  readonly name: string
  /** `"lost"`: it refused, or failed three times without a success between. It is asked again by `probe`. */
  readonly health: "open" | "draining" | "lost"
  /** Tasks of this program that run there, those that are being made included. */
  readonly running: number
  /** Tasks of this program that have ended there and were not deleted. */
  readonly kept: number
  /** Tokens that its tasks may still generate, about. */
  readonly outstandingTokens: number
  readonly capacity: number
}

/**
 * What the pool knows.
 *
 * @since 0.2.0
 * @category models
 */
export interface Figures {
  /** How many wait for a place. */
  readonly queued: number
  readonly servers: ReadonlyArray<ServerFigures>
}

/**
 * What a pool tells of itself.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** How things are now. The same figures are metrics, by server: `rwkv.pool.running` and others. */
  readonly figures: Effect.Effect<Figures>
  /** The figures again and again; each second by default. */
  readonly figuresEvery: (interval?: Duration.DurationInput) => Stream.Stream<Figures>
}

/**
 * The service that tells of a pool.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as RWKVPool from "effect-rwkv/RWKVPool"
 *
 * const queued = Effect.flatMap(RWKVPool.RWKVPool, (pool) => Effect.map(pool.figures, ({ queued }) => queued))
 * ```
 *
 * @since 0.2.0
 * @category tags
 */
export class RWKVPool extends Context.Tag("effect-rwkv/RWKVPool")<RWKVPool, Service>() {}

const operation = "RWKVPool.layer"

const count = rule.optional(rule.integer(1, 2 ** 31))

const checkServer = encoder(Schema.Struct({
  name: Schema.declare((value): value is string => Id.isName(value)).annotations(rule.says(Id.nameRule)),
  baseUrl: Schema.String.annotations(rule.says("must be text")),
  weight: rule.option<number>((n) => typeof n === "number" && n > 0 && n < Infinity, "must be a positive number"),
  capacity: count,
  keeps: count,
  draining: rule.oneOf(true, false),
  headers: rule.anything<RWKVConfig.Options["headers"]>()
}))

/** With headers of its own, read once: what a program gives may throw, or change. */
const checkedServer = (server: unknown, path: string) =>
  Effect.gen(function*() {
    const checked = yield* checkServer(operation, server, path)
    if (checked.headers === undefined) return checked
    const headers = yield* checkHeaders(operation, checked)
    return { ...checked, headers: Record.map(Redacted.value(headers), (value) => Redacted.make(value)) }
  })

const checkServers = (input: unknown) =>
  Effect.gen(function*() {
    const given = yield* validate.attempt(operation, "servers", () => Array.isArray(input) ? Array.from(input) : [])
    const invalid = (message: string) => validate.invalid(operation, "servers", message)
    if (given.length === 0) return yield* invalid("must be a list of at least one server, or a Stream of such lists")
    const servers = yield* Effect.forEach(given, (server, index) => checkedServer(server, `servers.${index}`))
    if (new Set(servers.map(({ name }) => name)).size < servers.length) {
      return yield* invalid("must have names of their own")
    }
    return servers
  })

const checkOptions = encoder(Schema.Struct({
  queueLimit: rule.optional(rule.integer(0, 2 ** 31)),
  onServerLost: rule.oneOf("fail", "replay"),
  probe: rule.aSchedule<Schedule.Schedule<unknown>>()
}))

const usualProbe = Schedule.exponential("1 second").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered
)

const isStream = <A, E, R>(input: unknown): input is Stream.Stream<A, E, R> => hasProperty(input, Stream.StreamTypeId)

const make = <E, R>({ onServerLost, probe, queueLimit, queueTimeout, servers, ...options }: Options<E, R>) =>
  Effect.gen(function*() {
    const platform = yield* HttpClient.HttpClient
    const given = yield* checkOptions(operation, { onServerLost, probe, queueLimit })
    const pool = yield* Pools.make(
      given.queueLimit ?? 1024,
      yield* validate.duration(operation, "queueTimeout", queueTimeout, "1 hour"),
      {
        connect: ({ baseUrl, headers }) =>
          Effect.flatMap(
            RWKVConfig.make({ ...options, baseUrl, headers: { ...options.headers, ...headers } }),
            (config) => Effect.provideService(RWKVHttpClient.make, RWKVConfig.RWKVConfig, config)
          ).pipe(Effect.provideService(HttpClient.HttpClient, platform)),
        start: (spec, http, changed) => Servers.make(spec, http, given.probe ?? usualProbe, changed)
      }
    )
    const apply = (list: unknown) => Effect.flatMap(checkServers(list), pool.apply)
    const passed = (error: unknown) => Effect.logWarning("a list of the pool's servers is passed over", error)
    const lists = isStream<ReadonlyArray<Server>, E, R>(servers) ? servers : Stream.make(servers)
    const pull = yield* Stream.toPull(Stream.rechunk(lists, 1))
    const next = Effect.map(pull, (lists) => Array.from(lists)[0])
    yield* next.pipe(
      Effect.mapError(Option.getOrElse(() => validate.invalid(operation, "servers", "must have a first list"))),
      Effect.flatMap(apply)
    )
    yield* next.pipe(
      Effect.flatMap((list) => Effect.catchAll(apply(list), passed)),
      Effect.forever,
      Effect.catchAll((end) => Option.isSome(end) ? passed(end.value) : Effect.void),
      Effect.tapDefect(passed),
      Effect.annotateLogs({ package: "effect-rwkv" }),
      Effect.forkScoped
    )
    const config = yield* RWKVConfig.make({ ...options, baseUrl: pool.all()[0]?.spec().baseUrl })
    const { streams, tasks } = yield* Services.make(pool, given.onServerLost === "replay", config)
    const figures = Effect.sync((): Figures => ({
      queued: pool.queued(),
      servers: Array.from(pool.all(), ({ isDraining, isLost, name, tally }) => {
        const { capacity, kept, outstanding, running } = tally.load()
        const health = isLost() ? "lost" : isDraining() ? "draining" : "open"
        return { name, health, running, kept, outstandingTokens: Math.round(outstanding), capacity }
      })
    }))
    return Context.make(TaskService, tasks).pipe(
      Context.add(RWKVConfig.RWKVConfig, config),
      Context.add(StreamService, streams),
      Context.add(RWKVPool, {
        figures,
        figuresEvery: (interval = "1 second") => Stream.repeatEffectWithSchedule(figures, Schedule.spaced(interval))
      })
    )
  })

/**
 * `TaskService` and `StreamService` over many servers, and `RWKVPool`, which tells of them. Each layer is a pool of its
 * own. The `RWKVConfig` beside them, which `RWKVLanguageModel` asks for, has the address of the first server. Fails
 * with `RWKVValidationError` if an option or a server is invalid, and as the Stream of servers does before its first
 * list.
 *
 * New work goes to the better of two servers, by what they have to do, and never beyond a server's `capacity` and
 * `keeps`: then it waits here, first come, first served. If a place is waited for and the cache of a server is full, a
 * temporary task that has ended there, and that nobody has asked about for 10 seconds, is deleted. Work that a server
 * surely has not begun goes to another. If no server takes work for half a minute, all that wait fail with
 * `RWKVConnectionError`.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { TaskService } from "effect-rwkv"
 * import * as RWKVPool from "effect-rwkv/RWKVPool"
 *
 * const layer = RWKVPool.layer({
 *   servers: [
 *     { name: "gpu-1", baseUrl: "http://gpu-1:8000" },
 *     { name: "gpu-2", baseUrl: "http://gpu-2:8000", capacity: 128 }
 *   ]
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * const program = TaskService.run({ prompt: "Hello" }).pipe(Effect.provide(layer))
 * ```
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<
  TaskService | StreamService | RWKVPool | RWKVConfig.RWKVConfig,
  E | RWKVValidationError,
  R | HttpClient.HttpClient
> => Layer.fresh(Layer.scopedContext(make(options)))
