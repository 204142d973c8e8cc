/**
 * Settings that a part of a program overrides for itself. They are the fiber's: what is forked inherits them, and what
 * runs later, on whichever fiber, keeps those that it was started under.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as Redacted from "effect/Redacted"
import type { GenerationOptions } from "../../Generation.js"
import type { RetrySchedule } from "../../Polling.js"

export interface Override {
  readonly requestTimeout?: Duration.Duration
  readonly headers?: Redacted.Redacted<Readonly<Record<string, string>>>
  readonly retry?: RetrySchedule
  readonly defaults?: GenerationOptions
}

const none: Override = {}

/** A fiber that is joined hands back nothing: an override ends where it was set. */
const current = globalValue(
  "effect-rwkv/override",
  () => FiberRef.unsafeMake(none, { join: (mine) => mine })
)

/** Headers by name and defaults by key, all else as a whole. */
const merge = <C extends Override>(outer: C, inner: Override): C => ({
  ...outer,
  ...inner,
  ...(inner.headers && {
    headers: Redacted.make({ ...(outer.headers && Redacted.value(outer.headers)), ...Redacted.value(inner.headers) })
  }),
  ...(inner.defaults && { defaults: { ...outer.defaults, ...inner.defaults } })
})

/** The settings as they hold here: the same object where nothing is overridden. */
export const effective = <C extends Override>(settings: C): Effect.Effect<C> =>
  Effect.map(FiberRef.get(current), (override) => override === none ? settings : merge(settings, override))

type Locally = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How to run something later under the overrides that hold here. */
export const keep: Effect.Effect<Locally> = Effect.map(
  FiberRef.get(current),
  (override): Locally => (effect) =>
    Effect.flatMap(
      FiberRef.get(current),
      (now) => now === override ? effect : Effect.locally(effect, current, override)
    )
)

/** How to run something here under an override, merged into those that hold. */
export const within = (override: Override): Effect.Effect<Locally> =>
  Effect.map(FiberRef.get(current), (outer): Locally => Effect.locally(current, merge(outer, override)))
