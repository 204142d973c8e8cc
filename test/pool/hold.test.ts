import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Clock from "../support/clock.js"
import { balance } from "./balance.js"
import { hold } from "./hold.js"

it.live("streams over four servers on real sockets are whole, while servers are killed, drained, added and slowed", () =>
  Effect.map(hold(60, 20), ({ violations }) => expect(violations).toEqual([])))

it.live(
  "servers of speeds 1, 1, 2 and 4 reach 95 % of the ideal throughput, and queue as one",
  () =>
    Effect.gen(function*() {
      const { queue, throughput } = yield* Clock.run("2 hours")(balance(80, 1))
      expect(throughput).toBeGreaterThan(0.95)
      expect(queue).toBeLessThan(1.5)
    }),
  60_000
)
