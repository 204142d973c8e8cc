/**
 * Settings that a part of a program overrides. They are in a FiberRef: forked fibers inherit them, and `keep` gives
 * work that runs later on another fiber those it was started under.
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

/** Joining a fiber does not adopt its override, which ends where it was set. */
const current = globalValue(
  "effect-rwkv/override",
  () => FiberRef.unsafeMake(none, { join: (mine) => mine })
)

/** Merges headers by name and defaults by key; other settings are replaced. */
const merge = <C extends Override>(outer: C, inner: Override): C => ({
  ...outer,
  ...inner,
  ...(inner.headers && {
    headers: Redacted.make({ ...(outer.headers && Redacted.value(outer.headers)), ...Redacted.value(inner.headers) })
  }),
  ...(inner.defaults && { defaults: { ...outer.defaults, ...inner.defaults } })
})

/** The settings with the overrides in force; the same object if there are none. */
export const effective = <C extends Override>(settings: C): Effect.Effect<C> =>
  Effect.map(FiberRef.get(current), (override) => override === none ? settings : merge(settings, override))

type Locally = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Captures the overrides in force, to run something later under them. */
export const keep: Effect.Effect<Locally> = Effect.map(
  FiberRef.get(current),
  (override): Locally => (effect) =>
    Effect.flatMap(
      FiberRef.get(current),
      (now) => now === override ? effect : Effect.locally(effect, current, override)
    )
)

/** Merges an override into those in force, to run something under both. */
export const within = (override: Override): Effect.Effect<Locally> =>
  Effect.map(FiberRef.get(current), (outer): Locally => Effect.locally(current, merge(outer, override)))
