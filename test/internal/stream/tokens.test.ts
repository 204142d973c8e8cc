import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Tokens from "../../../src/internal/stream/tokens.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 1000)

/** Frames that hold so many tokens, and tell so much of them. */
const count = (tokens: ReadonlyArray<number>, told: (index: number) => number = () => 1) =>
  tokens.reduce(
    (count, tokens, index) =>
      Tokens.add(count, {
        _tag: "Data",
        text: tokens === 0 ? "" : "x",
        generationTime: 0.2,
        speed: tokens * told(index) / 0.2
      }),
    Tokens.none
  )

/** A run of so many tokens in frames of this size; the last is empty where it ended early at a border. */
const frames = (size: number, tokens: number, early = false) => {
  const full: Array<number> = Array.from({ length: Math.floor(tokens / size) }, () => size)
  return tokens % size > 0 || early ? [...full, tokens % size] : full
}

const run = FastCheck.record({
  size: FastCheck.constantFrom(32, 32, 32, 64, 128, 48, 24, 40),
  maxTokens: FastCheck.integer({ min: 1, max: 4096 }),
  told: FastCheck.oneof(
    FastCheck.constant([1]),
    FastCheck.array(FastCheck.double({ min: 0.91, max: 1, noNaN: true }), { minLength: 3, maxLength: 9 })
  )
})

const tells = (told: ReadonlyArray<number>) => (index: number) => told[index % told.length] ?? 1

describe("the tokens of frames", () => {
  it.prop("are all there if none was lost", { run }, ({ run: { maxTokens, size, told } }) => {
    // Of the usual sizes, and where one frame at least tells all its tokens; of others too many may look lost.
    if (size % 32 > 0) return
    expect(Tokens.judge(count(frames(size, maxTokens), tells([1, ...told])), maxTokens)).toBe("whole")
  }, { fastCheck: { numRuns } })

  it.prop("are never all there if frames were lost from the beginning", {
    run,
    lost: FastCheck.integer({ min: 1, max: 20 })
  }, ({ lost, run: { maxTokens, size, told } }) => {
    const kept = frames(size, maxTokens).slice(lost)
    // Of an unusual size more than one frame is needed to tell.
    if (kept.length === 0 || kept.length < 2 && size % 32 > 0) return
    expect(Tokens.judge(count(kept, tells(told)), maxTokens)).toBe("short")
  }, { fastCheck: { numRuns } })

  it.prop("prove nothing where the run ended early, but for what may be the end of a longer one", {
    tokens: FastCheck.nat(1000),
    maxTokens: FastCheck.integer({ min: 1100, max: 4096 })
  }, ({ maxTokens, tokens }) => {
    const all = frames(32, tokens, true)
    const last = all.at(-1) ?? 0
    // A single frame does not tell what a full one holds.
    const alike = (all.length > 1 ? [32] : [32, 64, 128, 256])
      .map((size) => (maxTokens - 1) % size + 1)
      .some((rest) => last >= 0.88 * rest && last <= 1.01 * rest)
    expect(Tokens.judge(count(all), maxTokens)).toBe(alike ? "short" : "unknown")
  }, { fastCheck: { numRuns } })

  it("prove nothing where it is not known how many there should be, or they do not tell", () => {
    expect(Tokens.judge(count([32, 8]), undefined)).toBe("unknown")
    for (const told of [NaN, 0, -1, Infinity]) {
      expect(Tokens.judge(count([32, 8], () => told), 72)).toBe("unknown")
    }
    expect(Tokens.judge(count([1e9, 1e9, 8]), 72)).toBe("unknown")
    expect(Tokens.judge(Tokens.add(Tokens.none, { _tag: "Data", text: "x" }), 72)).toBe("unknown")
  })

  it("are missing where there is no frame at all", () => {
    expect(Tokens.judge(Tokens.none, 72)).toBe("short")
  })

  it("take the time that the frames say", () => {
    expect(count([32, 32, 8]).seconds).toBeCloseTo(0.6)
  })
})
