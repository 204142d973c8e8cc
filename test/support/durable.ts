/** Workflows against the emulator in virtual time, on an engine that is ended and begun again over what it has recorded. */
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as MessageStorage from "@effect/cluster/MessageStorage"
import * as RunnerHealth from "@effect/cluster/RunnerHealth"
import * as Runners from "@effect/cluster/Runners"
import * as RunnerStorage from "@effect/cluster/RunnerStorage"
import * as Sharding from "@effect/cluster/Sharding"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
import { Effect, Exit, Layer, Scope } from "effect"
import { RWKV, type RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
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

export const against = (options: Emulator.Options = {}) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
  program.pipe(Effect.scoped, Effect.provide(Emulator.layer(options)), Clock.run("1 day"))
