import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as Policy from "../../../src/internal/pool/policy.js"

const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const random = fc.tuple(fraction, fraction)
const work = fc.record({ tokens: fc.integer({ min: 1, max: 4096 }), prompt: fc.integer({ min: 1, max: 10_000 }) })
const load: fc.Arbitrary<Policy.Load> = fc.record({
  name: fc.string(),
  weight: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
  capacity: fc.integer({ min: 1, max: 8 }),
  keeps: fc.integer({ min: 1, max: 12 }),
  open: fc.boolean(),
  running: fc.integer({ min: 0, max: 8 }),
  kept: fc.integer({ min: 0, max: 12 }),
  outstanding: fc.integer({ min: 0, max: 100_000 }),
  unread: fc.integer({ min: 0, max: 100_000 }),
  rate: fc.double({ min: 0, max: 200, noNaN: true })
})

const idle = Policy.make({ name: "idle" })
const some: Policy.Work = { tokens: 100, prompt: 1000 }

describe("the policy of a pool", () => {
  it("picks a server that is open and has room for the task and for its entry, and none only if there is none", () =>
    fc.assert(fc.property(fc.array(load, { maxLength: 6 }), work, random, (loads, work, random) => {
      const picked = Policy.pick(loads, work, random)
      expect(picked === undefined).toBe(!loads.some(Policy.hasRoom))
      if (picked === undefined) return
      expect(loads).toContain(picked)
      expect(picked.open && picked.running < picked.capacity && picked.running + picked.kept < picked.keeps).toBe(true)
    })))

  it("can pick each of those that have room but the worst, and that too if it is alone", () => {
    const loads = [0, 1, 2].map((tokens) => Policy.placed(Policy.make({ name: `${tokens}` }), { tokens, prompt: 0 }))
    const grid = Array.from({ length: 10 }, (_, at) => at / 10)
    const among = (loads: ReadonlyArray<Policy.Load>) =>
      new Set(grid.flatMap((one) => grid.map((other) => Policy.pick(loads, some, [one, other])?.name)))
    expect(among(loads)).toEqual(new Set(["0", "1"]))
    expect(among(loads.slice(2))).toEqual(new Set(["2"]))
    expect(among([])).toEqual(new Set([undefined]))
  })

  it("has no favourite among servers that are alike: each is picked as often", () => {
    const loads = Array.from({ length: 5 }, (_, at) => Policy.make({ name: `${at}` }))
    const counts = new Map<string | undefined, number>()
    for (let one = 0; one < 5; one++) {
      for (let other = 0; other < 4; other++) {
        const name = Policy.pick(loads, some, [one / 5, other / 4])?.name
        counts.set(name, (counts.get(name) ?? 0) + 1)
      }
    }
    expect(Array.from(counts.values())).toEqual([4, 4, 4, 4, 4])
  })

  it("the better of two does not depend on their order, unless they are alike", () =>
    fc.assert(fc.property(load, load, work, (one, other, work) => {
      const better = Policy.better(one, other, work)
      if (Policy.better(other, one, work) === better) return
      expect(better).toBe(one)
    })))

  it("prefers fewer outstanding tokens, then shorter prompts, and the faster of two that have nothing to do", () => {
    const busy = Policy.placed(idle, some)
    const reading = Policy.progressed(busy, { tokens: 100, prompt: 0 }, 0)
    const fast = Policy.progressed(idle, { tokens: 32, prompt: 0 }, 0.1)
    const slow = Policy.progressed(idle, { tokens: 32, prompt: 0 }, 0.4)
    const told = Policy.make({ name: "told", weight: 4 })
    for (
      const [better, worse] of [[idle, busy], [reading, busy], [idle, reading], [fast, slow], [told, fast]] as const
    ) {
      expect(Policy.better(worse, better, some)).toBe(better)
      expect(Policy.better(better, worse, some)).toBe(better)
    }
  })

  it("compares no measured speed with one that is not known", () => {
    const fast = Policy.progressed(Policy.placed(idle, some), { tokens: 32, prompt: 0 }, 0.001)
    expect(Policy.better(fast, idle, some)).toBe(idle)
  })

  it("is back at nothing when all that was placed has ended and what was kept is released", () => {
    const task = fc.record({ work, tokens: fraction, read: fraction, kept: fc.boolean() })
    fc.assert(fc.property(fc.array(task, { maxLength: 20 }), (tasks) => {
      const all = tasks.map(({ kept, read, tokens, work }) => {
        const done = { tokens: Math.floor(tokens * work.tokens), prompt: Math.floor(read * work.prompt) }
        return { work, done, left: { tokens: work.tokens - done.tokens, prompt: work.prompt - done.prompt }, kept }
      })
      let load = all.reduce((load, { work }) => Policy.placed(load, work), idle)
      expect(load.running).toBe(tasks.length)
      load = all.reduce((load, { done }) => Policy.progressed(load, done, 1), load)
      load = all.reduce((load, { kept, left }) => Policy.finished(load, left, kept), load)
      expect(load.kept).toBe(all.filter(({ kept }) => kept).length)
      for (const { kept } of all) if (kept) load = Policy.released(load)
      expect({ ...load, rate: 0 }).toEqual(idle)
    }))
  })

  it("counts nothing below zero, whatever it is told", () =>
    fc.assert(fc.property(load, work, (load, work) => {
      const ended = Policy.released(Policy.finished(load, work, false))
      expect(Math.min(ended.running, ended.kept, ended.outstanding, ended.unread)).toBeGreaterThanOrEqual(0)
    })))

  it("measures what a task gets a second, and follows a server that slows down", () => {
    const report = (load: Policy.Load, seconds: number) => Policy.progressed(load, { tokens: 32, prompt: 0 }, seconds)
    expect(report(idle, 0.5).rate).toBe(64)
    expect(report(idle, 0).rate).toBe(0)
    let load = report(idle, 0.5)
    for (let at = 0; at < 64; at++) load = report(load, 2)
    expect(load.rate).toBeGreaterThan(15)
    expect(load.rate).toBeLessThan(18)
  })
})
