/**
 * What operations tell tracers, and the records that programs may ask for: each goes where its operation's context goes.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Override from "../input/override.js"
import { bare, ownEnd } from "../telemetry/bare.js"
import type { Observed } from "../telemetry/record.js"
import { type Kind, Recorder } from "../telemetry/recorder.js"

/** The record of the operation that a fiber works for, if there is one. */
class Current extends Context.Reference<Current>()("effect-rwkv/Observed", {
  defaultValue: (): Observed | undefined => undefined
}) {}

export const current: Effect.Effect<Observed | undefined> = Current

/** Notes something of the operation that a fiber works for. */
export const note = (write: (observed: Observed) => void): Effect.Effect<void> =>
  Effect.map(current, (observed) => observed && write(observed))

type Locally = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const contextOf = (observed: Observed) =>
  Context.make(Current, observed).pipe(Context.add(Tracer.ParentSpan, observed.span))

/** Runs an effect on behalf of an operation: it notes there what it does, and its spans are inside of the record's. */
const under = (observed: Observed): Locally => Effect.provide(contextOf(observed))

/** How to run something later, on behalf of what it is done for here and under the overrides that hold here. */
export const keep: Effect.Effect<Locally> = Effect.zipWith(
  Override.keep,
  current,
  (locally, observed): Locally => observed === undefined ? locally : (effect) => locally(under(observed)(effect))
)

/** What goes on after an operation, in a span of its own: the fiber that runs it does nothing else. */
export const release = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(current, (observed) =>
    observed === undefined ? effect : Effect.acquireUseRelease(
      Effect.map(observed.release, observed.inside),
      (observed) =>
        Effect.zipRight(FiberRef.update(FiberRef.currentContext, Context.merge(contextOf(observed))), effect),
      ({ close }, exit) => Effect.sync(() => close(exit))
    ))

/** An operation that has begun: how it does what it does, and how it ends. */
interface Begun {
  readonly inside: Locally
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

const recorded = (observed: Observed): Begun => ({
  // What its operation fails with, whatever becomes of its scope.
  inside: (effect) =>
    under(observed)(Effect.tapErrorCause(effect, (cause) => Effect.sync(() => observed.failed(cause)))),
  end: observed.end
})

/** A span by the name of the verb. */
const plain = (operation: string): Effect.Effect<Begun> =>
  Effect.zipWith(
    Effect.makeSpan(operation, { kind: "client", captureStackTrace: false }),
    Effect.clock,
    (span, clock) => {
      let failure: Cause.Cause<unknown> | undefined
      return {
        inside: (effect) =>
          Effect.provideService(
            Effect.tapErrorCause(effect, (cause) =>
              Effect.sync(() => {
                failure = cause
              })),
            Tracer.ParentSpan,
            span
          ),
        end: (exit) => span.end(clock.unsafeCurrentTimeNanos(), bare(ownEnd(operation, failure, exit)))
      }
    }
  )

const ended = ({ end }: Begun, exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => end(exit))

export type Spans = ReturnType<typeof make>

/** Without a `baseUrl`: of many servers. */
export const make = ({ baseUrl }: { readonly baseUrl: string | undefined }) => {
  const begin = (operation: string, kind: Kind, about: unknown): Effect.Effect<Begun> =>
    Effect.flatMap(Recorder, (recorder) =>
      recorder === undefined
        ? plain(operation)
        : Effect.map(recorder.begin({ operation, kind, about, baseUrl }), recorded))

  /** A span until the end of the scope, and how to run what belongs to it. */
  const open = (operation: string, kind: Kind, about?: unknown): Effect.Effect<Locally, never, Scope.Scope> =>
    Effect.map(Effect.acquireRelease(begin(operation, kind, about), ended), ({ inside }) => inside)

  /** A span for all of an effect. */
  const around = <A, E, R>(
    operation: string,
    kind: Kind,
    about: unknown,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(begin(operation, kind, about), ({ inside }) => inside(effect), ended)

  return {
    around,
    /** A check ahead of what brings its own span: what it refuses has one as well. */
    checked: <A, E, R>(
      operation: string,
      kind: Kind,
      about: unknown,
      check: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, R> => Effect.catchAll(check, (error) => around(operation, kind, about, Effect.fail(error))),
    /** A span from the opening of a stream to the end of its scope. */
    opening: <A, E, R>(
      operation: string,
      kind: Kind,
      effect: Effect.Effect<A, E, R>,
      about?: unknown
    ): Effect.Effect<A, E, R | Scope.Scope> => Effect.flatMap(open(operation, kind, about), (inside) => inside(effect)),
    /** A span that others are inside of. */
    parent: (operation: string): Effect.Effect<Locally, never, Scope.Scope> => open(operation, "call")
  }
}
