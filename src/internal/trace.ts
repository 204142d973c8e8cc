/**
 * Spans, where a tracer takes them. The one that is there when nobody chose any keeps them from everybody, and they cost as
 * much as the rest of a small request.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"

/** @internal */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.getFiberRef(FiberRef.currentTracerEnabled) &&
  fiber.currentTracer !== Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * A span for what happens often.
 *
 * @internal
 */
export const traced = <A, E>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) => isTraced(fiber) ? Effect.withSpan(effect, operation) : effect)

/**
 * A span from the opening of something to the end of its scope.
 *
 * @internal
 */
export const tracedScoped = <A, E>(
  operation: string,
  opening: Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.withFiberRuntime((fiber) =>
    isTraced(fiber)
      ? Effect.flatMap(Effect.makeSpanScoped(operation), (span) => Effect.withParentSpan(opening, span))
      : opening
  )
