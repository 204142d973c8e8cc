/** A run with FC_SEED, as CI's, tries the same programs each time. `support/seed.ts` sees to it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"

const isFixed = (process.env["FC_SEED"] ?? "") !== ""

describe("properties", () => {
  const tried: Array<Array<number>> = []
  const trying = () => {
    const values: Array<number> = []
    tried.push(values)
    return (value: number) => void values.push(value)
  }
  const [first, second, third, fourth] = [trying(), trying(), trying(), trying()]

  it.prop("are given their values by it.prop", [FastCheck.integer()], ([value]) => first(value))
  it.prop("and again", [FastCheck.integer()], ([value]) => second(value))
  it.effect.prop("and by it.effect.prop", [FastCheck.integer()], ([value]) => Effect.sync(() => third(value)))
  it("and by FastCheck.assert", () =>
    FastCheck.assert(FastCheck.property(FastCheck.integer(), (value) => fourth(value))))

  it("are given the same values each time under FC_SEED, and others without", () => {
    expect(tried.map((values) => values.length)).toEqual([100, 100, 100, 100])
    if (!isFixed) return expect(tried[1]).not.toEqual(tried[0])
    for (const values of tried) expect(values).toEqual(tried[0])
  })
})
