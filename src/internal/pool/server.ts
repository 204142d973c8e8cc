/**
 * One server of a pool: services of its own under the pool's ids, and whether it is well, by what happens there.
 */
import * as PlatformHttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as HttpClient from "../../HttpClient.js"
import * as RWKVConfig from "../../RWKVConfig.js"
import type { RWKVError } from "../../RWKVError.js"
import * as Ledger from "../owner/ledger.js"
import * as Runs from "../stream/runs.js"
import * as Verbs from "../stream/verbs.js"
import * as Tasks from "../task/tasks.js"
import * as Endpoints from "./endpoints.js"
import type { Load, Said } from "./policy.js"
import * as Tally from "./tally.js"

export interface Spec extends Said {
  readonly baseUrl: string
  readonly draining?: boolean | undefined
  readonly headers?: RWKVConfig.Options["headers"]
}

const clear = (value: unknown) => Redacted.isRedacted(value) ? Redacted.value(value) : value

/** Whether it is reached as before; all else of a server may change while work goes on there. */
export const sameServer = (one: Spec | undefined, other: Spec): boolean => {
  const headers = ({ headers = {} }: Spec) =>
    JSON.stringify(Object.entries(headers).map(([name, value]) => [name, clear(value)]).sort())
  return one !== undefined && one.baseUrl === other.baseUrl && headers(one) === headers(other)
}

/** Failures one after the other, with no success between them, by which a server counts as lost. */
const strikes = 3

/** How long the question whether a server is well again may take. */
const probeTimeout = "10 seconds"

const gauge = (name: string, description: string, read: (load: Load) => number) =>
  [Metric.gauge(`rwkv.pool.${name}`, { description }), read] as const

const gauges = [
  gauge("running", "Tasks that run on a server, as the pool knows", ({ running }) => running),
  gauge("kept", "Tasks that have ended and are kept on a server, as the pool knows", ({ kept }) => kept),
  gauge("outstanding_tokens", "Tokens that the tasks of a server may still generate", (load) => load.outstanding),
  gauge("open", "Whether a server takes new work", ({ open }) => open ? 1 : 0)
]

export type Server = Effect.Effect.Success<ReturnType<typeof make>>

const isRefusal = (error: RWKVError) => error.isTransient && error.isSafeToRepeat && error._tag !== "TaskBusyError"

const isTrouble = (error: RWKVError) =>
  error._tag === "RWKVServerError" || error._tag === "RWKVTimeoutError" ||
  error._tag === "RWKVConnectionError" && error.retryable

export const make = (
  spec: Spec,
  options: RWKVConfig.Options,
  platform: PlatformHttpClient.HttpClient,
  probe: Schedule.Schedule<unknown>,
  changed: (able: number) => void
) =>
  Effect.gen(function*() {
    const { name } = spec
    const config = yield* RWKVConfig.make({
      ...options,
      baseUrl: spec.baseUrl,
      headers: { ...options.headers, ...spec.headers }
    })
    const http = yield* HttpClient.make.pipe(
      Effect.provideService(RWKVConfig.RWKVConfig, config),
      Effect.provideService(PlatformHttpClient.HttpClient, platform)
    )
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    let failures = 0
    let [isLost, isDraining] = [false, false]
    const alarm = Effect.unsafeMakeLatch(false)

    const tagged = gauges.map(([gauge, read]) => [Metric.tagged(gauge, "rwkv.pool.server", name), read] as const)
    const tally = Tally.make(spec, (able) => {
      for (const [gauge, read] of tagged) gauge.unsafeUpdate(read(tally.load()), [])
      changed(able)
    })
    const settle = () => tally.set({ open: !isLost && !isDraining })

    /** One that drains takes no new work; what runs there goes on. */
    const drain = (draining: boolean) => {
      isDraining = draining
      settle()
    }

    const judge = (error: RWKVError | undefined) => {
      if (error === undefined) failures = 0
      if (error === undefined || isLost) return
      if (isTrouble(error)) failures++
      if (!isRefusal(error) && failures < strikes) return
      isLost = true
      settle()
      alarm.unsafeOpen()
    }

    /** Asked after a pause, until it answers. */
    const answers = Effect.suspend(() => {
      let paused = false
      const models = Effect.timeout(http.models({ operation: "RWKVPool.probe" }), probeTimeout)
      const ask = Effect.suspend((): Effect.Effect<unknown, unknown> => paused ? models : Effect.fail("a pause first"))
      return Effect.retry(Effect.tapError(ask, () => Effect.sync(() => paused = true)), probe)
    }).pipe(
      // A Schedule that has ended begins anew: the server may be well at any time.
      Effect.retry(Schedule.spaced("30 seconds"))
    )
    yield* alarm.await.pipe(
      Effect.zipRight(Effect.logWarning(`server ${name} of the pool is left out until it answers`)),
      Effect.zipRight(answers),
      Effect.zipRight(Effect.logInfo(`server ${name} of the pool answers again`)),
      Effect.tap(() => {
        isLost = false
        failures = 0
        alarm.unsafeClose()
        settle()
      }),
      Effect.forever,
      Effect.annotateLogs({ package: "effect-rwkv" }),
      Effect.forkIn(scope)
    )

    const endpoints = Endpoints.make(http, name, tally, judge)
    const runs = yield* Scope.extend(Runs.make(endpoints, config), scope)
    const gate = yield* Scope.extend(Ledger.gate(runs.ledger), scope)
    const starts = Verbs.startsOf(endpoints, runs)
    return {
      spec,
      tally,
      starts,
      runs,
      endpoints,
      ...Tasks.make(endpoints, config, Verbs.make(starts, gate), runs, gate),
      isLost: () => isLost,
      isDraining: () => isDraining,
      drain,
      /** What may change while work goes on. */
      update: ({ capacity = 256, draining = false, keeps = 256, weight }: Spec) => {
        tally.set({ capacity, keeps, weight })
        drain(draining)
      },
      close: Scope.close(scope, Exit.void)
    }
  })
