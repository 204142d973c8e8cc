/**
 * One server of a pool: its endpoints, its health by what happens there, and what the pool knows of its work.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import type { RWKVError } from "../../RWKVError.js"
import { isClosed } from "../wire/closed.js"
import * as Policy from "./policy.js"
import * as Tally from "./tally.js"

export interface Spec extends Policy.Said {
  readonly baseUrl: string
  readonly draining?: boolean | undefined
  readonly headers?: RWKVConfig.Options["headers"]
}

/** Whether requests to both are the same. */
export const sameRequests = (one: Spec, other: Spec): boolean =>
  one.baseUrl === other.baseUrl && Equal.equals(Data.struct(one.headers ?? {}), Data.struct(other.headers ?? {}))

/** Failures one after the other, with no success between them, by which a server counts as lost. */
const strikes = 3

/** How long the question whether a server is well again may take. */
const probeTimeout = "10 seconds"

const gauge = (name: string, description: string, read: (load: Policy.Load) => number) =>
  [Metric.gauge(`rwkv.pool.${name}`, { description }), read] as const

const gauges = [
  gauge("running", "Tasks that run on a server, as the pool knows", ({ running }) => running),
  gauge("kept", "Tasks that have ended and are kept on a server, as the pool knows", ({ kept }) => kept),
  gauge(
    "outstanding_tokens",
    "Tokens that the tasks of a server may still generate",
    ({ outstanding }) => outstanding
  ),
  gauge("open", "Whether a server takes new work", ({ open }) => open ? 1 : 0)
]

export interface Server extends Effect.Effect.Success<ReturnType<typeof make>> {}

/** It surely has not carried out what it was asked for: it cannot be reached, or says that it cannot now. */
export const isRefusal = (error: RWKVError): boolean =>
  error._tag === "RWKVConnectionError"
    ? !error.requestSent && !isClosed(error)
    : (error._tag === "RWKVServerError" || error._tag === "RWKVStatusError") && error.isTransient &&
      error.isSafeToRepeat

const isTrouble = (error: RWKVError) =>
  error._tag === "RWKVServerError" || error._tag === "RWKVTimeoutError" ||
  error._tag === "RWKVConnectionError" && !isClosed(error)

/** @param changed hears of every change, and whether room came (1) or went (-1) */
export const make = (
  given: Spec,
  client: HttpClient.Service,
  probe: Schedule.Schedule<unknown>,
  changed: (able: number) => void
) =>
  Effect.gen(function*() {
    const { name } = given
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    let [spec, http] = [given, client]
    let failures = 0
    let [isDraining, isGone] = [false, false]
    /** The failure for which it is left out, while it is. */
    let lost: RWKVError | undefined
    const alarm = Effect.unsafeMakeLatch(false)

    const tagged = gauges.map(([gauge, read]) => [Metric.tagged(gauge, "rwkv.pool.server", name), read] as const)
    const measure = () => {
      for (const [gauge, read] of tagged) gauge.unsafeUpdate(isGone ? 0 : read(tally.load()), [])
    }
    const tally = Tally.make(given, (able) => {
      measure()
      changed(able)
    })
    yield* Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        isGone = true
        measure()
      })
    )
    const settle = () => tally.set({ open: lost === undefined && !isDraining })

    /** One that drains takes no new work; what runs there goes on. */
    const drain = (draining: boolean) => {
      isDraining = draining
      settle()
    }
    const lose = (failure: RWKVError | undefined) => {
      lost = failure
      failures = 0
      settle()
    }

    const asked = Effect.suspend(() => Effect.timeout(http.models({ operation: "RWKVPool.probe" }), probeTimeout))
    /** After a pause, and until it answers. */
    const answers = Effect.scheduleFrom(
      Effect.map(Effect.exit(asked), Exit.isFailure),
      true,
      Schedule.whileInput(Schedule.andThen(probe, Schedule.spaced("30 seconds")), (fails: boolean) => fails)
    )
    yield* alarm.await.pipe(
      Effect.zipRight(Effect.logWarning(`server ${name} of the pool is left out until it answers`)),
      Effect.zipRight(answers),
      Effect.zipRight(Effect.logInfo(`server ${name} of the pool answers again`)),
      Effect.tap(() => {
        alarm.unsafeClose()
        lose(undefined)
      }),
      Effect.forever,
      Effect.annotateLogs({ package: "effect-rwkv" }),
      Effect.forkIn(scope)
    )
    return {
      name,
      tally,
      spec: () => spec,
      http: () => http,
      lost: () => lost,
      isLost: () => lost !== undefined,
      isDraining: () => isDraining,
      drain,
      /** What every answer says of the server: that it works, or what it failed with. */
      judge: (error: RWKVError | undefined) => {
        if (error === undefined) failures = 0
        if (error === undefined || lost !== undefined) return
        if (isTrouble(error)) failures++
        if (!isRefusal(error) && failures < strikes) return
        lose(error)
        alarm.unsafeOpen()
      },
      /** What may change while work goes on. */
      update: (next: Spec, client: HttpClient.Service) => {
        ;[spec, http] = [next, client]
        const { capacity, keeps, weight } = Policy.make(next)
        tally.set({ capacity, keeps, weight })
        drain(next.draining === true)
      },
      close: Scope.close(scope, Exit.void)
    }
  })
