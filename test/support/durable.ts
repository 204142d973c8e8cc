/** Workflows against the emulator in virtual time, on an engine that is ended and begun again over what it has recorded. */
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerHealth from "@effect/cluster/RunnerHealth"
import * as Runners from "@effect/cluster/Runners"
import * as RunnerStorage from "@effect/cluster/RunnerStorage"
import * as Sharding from "@effect/cluster/Sharding"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
import { Effect, Exit, Layer, Logger, LogLevel, Schedule, Scheduler, Scope } from "effect"
import { RWKV, type RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { createHash } from "node:crypto"
import * as Clock from "./clock.js"

type Engine = WorkflowEngine.WorkflowEngine

export type Needs = RWKV.RWKV | Engine

const cluster = ClusterWorkflowEngine.layer.pipe(
  Layer.provide(Sharding.layer),
  Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
  Layer.provide([
    RunnerStorage.layerMemory,
    ShardingConfig.layer({ shardsPerGroup: 4, entityTerminationTimeout: "1 second" })
  ])
)

/** One process after another, over one storage: `begin` starts one, and the scope that it returns ends it. */
export const processes = <A>(workflows: Layer.Layer<A, never, Needs>, config: RWKVConfig.Options = {}) =>
  Effect.gen(function*() {
    const storage = yield* Layer.build(MessageStorage.layerMemory.pipe(Layer.provide(ShardingConfig.layer())))
    const server = yield* Effect.context<Layer.Layer.Context<ReturnType<typeof RWKV.layer>>>()
    const client = Layer.provide(RWKV.layer(config), Layer.succeedContext(server))
    const engine = Layer.provide(cluster, Layer.succeedContext(storage))
    const begin = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(
        Layer.fresh(Layer.provideMerge(workflows, Layer.mergeAll(client, engine))),
        scope
      )
      const within = Effect.provide(services)
      return { within, end: Scope.close(scope, Exit.void) }
    })
    return { begin }
  })

/** A process without a storage. */
export const memory = <A>(workflows: Layer.Layer<A, never, Needs>, config: RWKVConfig.Options = {}) =>
  Layer.provideMerge(workflows, Layer.mergeAll(RWKV.layer(config), WorkflowEngine.layerMemory))

/** The engines make digests in real time, for which a clock that jumps does not wait: here they are made at once. */
const digestsAtOnce = Effect.acquireRelease(
  Effect.sync(() => {
    Object.defineProperty(crypto.subtle, "digest", {
      configurable: true,
      value: (_algorithm: string, bytes: Uint8Array) =>
        Promise.resolve(Uint8Array.from(createHash("sha256").update(bytes).digest()).buffer)
    })
  }),
  () => Effect.sync(() => Reflect.deleteProperty(crypto.subtle, "digest"))
)

export const against = (options: Emulator.Options = {}) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.zipRight(digestsAtOnce, program).pipe(
    Effect.scoped,
    Effect.provide(Emulator.layer(options)),
    // The engine warns when the last runner leaves.
    Logger.withMinimumLogLevel(LogLevel.Error),
    Clock.run("1 day"),
    // However much there is to do at one time, no timer is taken for it, which the clock would overtake.
    Effect.withScheduler(new Scheduler.MixedScheduler(Infinity))
  )

/** Looks again and again, in virtual time. */
export const until = <E, R>(look: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(look, { until: (found) => found, schedule: Schedule.spaced("100 millis") })
