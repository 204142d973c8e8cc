/** Waiting by asking again and again, and by listening: what a wait promises holds either way. */
import { it } from "@effect/vitest"
import type { Effect } from "effect"

export const ways = ["polling", "subscription"] as const
export type Way = (typeof ways)[number]

/** One test for each way to wait. */
export const eitherWay = (name: string, test: (by: Way) => Effect.Effect<void, unknown>): void => {
  for (const by of ways) it.effect(`${name} (${by})`, () => test(by))
}

/** The request that tells a wait how its task fares. */
export const watches = { polling: "/status", subscription: "/stream" } as const
