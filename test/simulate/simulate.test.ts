/** The simulation, small: its model does what the emulator does, and the pool's policy holds what is promised of it. */
import { describe, expect, it } from "@effect/vitest"
import { calibrate } from "./calibrate.js"
import * as Figures from "./figures.js"
import { servers, simulate } from "./scenarios.js"

/** Small servers, so that few tasks fill them. */
const small = {
  speeds: servers(4, [1, 1, 2, 4]),
  count: 1200,
  model: { slots: 16, cache: 16, poll: 0.05 },
  workload: { tokens: 128, prompt: 200 }
}

describe("the simulation", () => {
  it("says of 4 servers what 4 emulators do, to the last request, where streams are told at once", async () => {
    const { agreed, emulated, entries, modelled } = await calibrate({
      speeds: [1, 1, 2, 4],
      count: 100,
      arrivals: Infinity,
      tokens: 48,
      model: { slots: 4, cache: 6, poll: 0 }
    })
    expect(modelled.requestsPerTask).toBe(emulated.requestsPerTask)
    expect(entries).toBeLessThanOrEqual(6)
    expect(agreed).toBeGreaterThan(0.9)
    for (
      const [one, other] of [
        [modelled.throughput, emulated.throughput],
        [modelled.waits.p50, emulated.waits.p50],
        [modelled.waits.p99, emulated.waits.p99],
        [modelled.stays.p50, emulated.stays.p50]
      ] as const
    ) expect(Math.abs(one / other - 1)).toBeLessThan(0.02)
  })

  it("is the same each time", () => {
    const once = () => Figures.waits(simulate({ ...small, way: "pool", load: 0.9 }).tasks)
    expect(once()).toEqual(once())
  })

  it("servers of speeds 1, 1, 2 and 4 are kept full: 95 % of one queue for all, and none is told its speed", () => {
    const pool = simulate({ ...small, way: "pool", load: Infinity })
    const queue = simulate({ ...small, way: "queue", load: Infinity })
    expect(pool.throughput / queue.throughput).toBeGreaterThan(0.95)
    expect(Figures.jain(Figures.shares(pool.world, pool.world.from, pool.world.to))).toBeGreaterThan(0.99)
    expect(Figures.evicted(pool.world)).toBe(0)
  })

  it("tasks wait at most 1.5 times as long as in one queue for all, at the 99th percentile", () => {
    const [pool, queue] = (["pool", "queue"] as const).map((way) => simulate({ ...small, way, load: 0.9 }))
    const p99 = (outcome: typeof pool) => Figures.waits(outcome?.measured ?? []).p99
    expect(p99(pool) / p99(queue)).toBeLessThan(1.5)
  })

  it("each task ends once, also when a third of the servers is lost, and no entry of a running one is evicted", () => {
    const { tasks, world } = simulate({
      ...small,
      speeds: servers(6),
      way: "pool",
      load: 0.6,
      workload: { ...small.workload, kept: 0.2, keptFor: 2 },
      loss: { servers: 1 / 3, after: 0.5 }
    })
    expect(world.servers.filter(({ alive }) => alive)).toHaveLength(4)
    expect(world.replayed).toBeGreaterThan(0)
    expect(tasks.every((task) => task.made === task.tokens && task.ended >= task.started)).toBe(true)
    expect(world.ended).toBe(tasks.length)
    expect(Figures.evicted(world)).toBe(0)
    for (const load of world.client.loads.filter(({ open }) => open)) {
      expect(load).toMatchObject({ running: 0, kept: 0, outstanding: 0, unread: 0 })
    }
  })
})
