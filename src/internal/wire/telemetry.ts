/**
 * What operations tell tracers and metrics: each has one record, which goes where its context goes.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as MetricLabel from "effect/MetricLabel"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as RWKVConfig from "../../RWKVConfig.js"
import * as Telemetry from "../../Telemetry.js"
import * as Override from "../input/override.js"
import { isTaskId } from "../input/validate.js"
import { type Kind, observe, type Observed } from "./observed.js"

const { names } = Telemetry

/** The record of the operation that a fiber works for, if there is one. */
class Current extends Context.Reference<Current>()("effect-rwkv/Observed", {
  defaultValue: (): Observed | undefined => undefined
}) {}

export const current: Effect.Effect<Observed | undefined> = Current

/** Notes something of the operation that a fiber works for. */
export const note = (write: (observed: Observed) => void): Effect.Effect<void> =>
  Effect.map(current, (observed) => observed && write(observed))

type Locally = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Runs an effect on behalf of an operation: it notes there what it does, and its spans are inside of the record's. */
const under = (observed: Observed): Locally => (effect) =>
  Effect.mapInputContext(
    effect,
    (context) => context.pipe(Context.add(Current, observed), Context.add(Tracer.ParentSpan, observed.span))
  )

/** How to run something later, on behalf of what it is done for here and under the overrides that hold here. */
export const keep: Effect.Effect<Locally> = Effect.zipWith(
  Override.keep,
  current,
  (locally, observed): Locally => observed === undefined ? locally : (effect) => locally(under(observed)(effect))
)

const spanOf = (name: string, kind: Tracer.SpanKind, attributes: Record<string, unknown>) =>
  Effect.makeSpan(name, { attributes, kind, captureStackTrace: false })

/** What goes on after an operation, in a span of its own. */
export const inside = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(current, (observed) =>
    observed === undefined ? effect : Effect.acquireUseRelease(
      Effect.map(spanOf(name, "internal", { [names.verb]: observed.about.operation }), observed.inside),
      (observed) => under(observed)(effect),
      ({ close }, exit) => Effect.sync(() => close(exit))
    ))

/** What its operation fails with, whatever becomes of its scope. */
const watched = <A, E, R>(observed: Observed, effect: Effect.Effect<A, E, R>) =>
  under(observed)(Effect.tapErrorCause(effect, (cause) => Effect.sync(() => observed.failed(cause))))

export type Spans = ReturnType<typeof make>

export const make = ({ baseUrl }: RWKVConfig.Service) => {
  const { hostname, port, protocol } = new URL(baseUrl)
  const server = {
    [names.provider]: "rwkv",
    [names.address]: hostname,
    [names.port]: port === "" ? protocol === "https:" ? 443 : 80 : Number(port)
  }

  const begin = (operation: string, kind: Kind, about: unknown): Effect.Effect<Observed> =>
    Effect.gen(function*() {
      const settings = yield* Telemetry.Telemetry
      const clock = yield* Effect.clock
      const { model } = settings
      const shared = {
        ...server,
        ...(kind !== "call" && { [names.operationName]: names.completion }),
        ...(model !== undefined && { [names.model]: model })
      }
      const name = kind === "call" ? operation : model === undefined ? names.completion : `${names.completion} ${model}`
      const span = yield* spanOf(name, operation === "TaskService.runAll" && kind === "call" ? "internal" : "client", {
        ...shared,
        [names.verb]: operation,
        ...(kind !== "call" && { [names.stream]: operation.startsWith("StreamService.") }),
        ...(isTaskId(about) && { [names.taskId]: about })
      })
      const labels = Object.entries(shared).map(([name, tag]) => MetricLabel.make(name, String(tag)))
      const outer = yield* FiberRef.get(FiberRef.currentMetricLabels)
      const begun = clock.unsafeCurrentTimeNanos()
      return observe({ operation, kind, settings, clock, begun, labels: [...outer, ...labels] }, span, {
        healed: 0,
        reconnects: 0,
        shared: false,
        counted: false
      })
    })

  const end = (observed: Observed, exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => observed.end(exit))

  /** A span until the end of the scope, and how to run what belongs to it. */
  const open = (operation: string, kind: Kind, about?: unknown): Effect.Effect<Observed, never, Scope.Scope> =>
    Effect.acquireRelease(begin(operation, kind, about), end)

  return {
    /** A span for all of an effect. */
    around: <A, E, R>(
      operation: string,
      kind: Kind,
      about: unknown,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, R> =>
      Effect.acquireUseRelease(begin(operation, kind, about), (observed) => watched(observed, effect), end),
    /** A span from the opening of a stream to the end of its scope. */
    opening: <A, E, R>(
      operation: string,
      kind: Kind,
      effect: Effect.Effect<A, E, R>,
      about?: unknown
    ): Effect.Effect<A, E, R | Scope.Scope> =>
      Effect.flatMap(open(operation, kind, about), (observed) => watched(observed, effect)),
    /** A span that others are inside of. */
    parent: (operation: string): Effect.Effect<Locally, never, Scope.Scope> =>
      Effect.map(open(operation, "call"), under)
  }
}
