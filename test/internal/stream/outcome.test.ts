/** How a run ended and what it cost, from what is known of it. */
import { describe, expect, it } from "@effect/vitest"
import { Duration, FastCheck } from "effect"
import { type Known, outcome } from "../../../src/internal/stream/outcome.js"
import { resultOf } from "./words.js"

const known = (more: Partial<Known>): Known => ({
  tokens: undefined,
  maxTokens: undefined,
  stopped: false,
  sequence: undefined,
  requestId: undefined,
  ...more
})

const result = resultOf("text", { generationTime: Duration.seconds(2) })

describe("the reason of an end", () => {
  it.each<[string, Partial<Known>, string]>([
    ["nothing is known", {}, "unknown"],
    ["tokens without a limit prove neither a stop nor a length", { tokens: 4096 }, "unknown"],
    ["a limit without tokens proves nothing", { maxTokens: 5 }, "unknown"],
    ["all tokens that were asked for", { tokens: 5, maxTokens: 5 }, "length"],
    ["fewer", { tokens: 4, maxTokens: 5 }, "stop"],
    ["none", { tokens: 0, maxTokens: 5 }, "stop"],
    ["more: the count is not this run's", { tokens: 6, maxTokens: 5 }, "unknown"],
    ["a stop of ours", { tokens: 4, maxTokens: 5, stopped: true }, "cancelled"],
    ["a stop of ours that came too late", { tokens: 5, maxTokens: 5, stopped: true }, "length"],
    ["a stop of ours, and no count", { stopped: true }, "cancelled"],
    ["a stop of ours, and no limit", { tokens: 4, stopped: true }, "cancelled"],
    ["a stop sequence", { sequence: "x" }, "stop-sequence"],
    ["a stop sequence in the last token", { tokens: 5, maxTokens: 5, sequence: "x" }, "stop-sequence"]
  ])("%s", (_, more, reason) => {
    const ended = outcome(result, known(more))
    expect(ended.finishReason).toBe(reason)
    expect(ended.stopSequence).toBe(more.sequence)
    expect("stopSequence" in ended).toBe(more.sequence !== undefined)
  })
})

describe("the figures of an end", () => {
  it("are the tokens, and the tokens by the time of the run", () => {
    expect(outcome(result, known({ tokens: 5, maxTokens: 5 }))).toMatchObject({
      text: "text",
      usage: { outputTokens: 5 },
      tokensPerSecond: 2.5
    })
  })

  it("have no speed without a time of generation", () => {
    const timeless = resultOf("", { generationTime: Duration.zero })
    const { tokensPerSecond, usage } = outcome(timeless, known({ tokens: 5, maxTokens: 5 }))
    expect(usage.outputTokens).toBe(5)
    expect(tokensPerSecond).toBeUndefined()
  })

  it("are unknown where a time is missing and tokens, too: the last may still come (H31)", () => {
    const timeless = resultOf("", { generationTime: Duration.zero })
    for (const maxTokens of [undefined, 8]) {
      const { finishReason, usage } = outcome(timeless, known({ tokens: 5, maxTokens }))
      expect([finishReason, usage.outputTokens]).toEqual(["unknown", undefined])
    }
  })

  it.prop("are never guessed: what is no count of this run is none", {
    tokens: FastCheck.oneof(FastCheck.double(), FastCheck.integer({ min: -3, max: 12 })),
    maxTokens: FastCheck.option(FastCheck.nat(8), { nil: undefined }),
    stopped: FastCheck.boolean()
  }, (given) => {
    const { finishReason, tokensPerSecond, usage } = outcome(result, known(given))
    const sound = Number.isInteger(given.tokens) && given.tokens >= 0 && given.tokens <= (given.maxTokens ?? Infinity)
    expect(usage.outputTokens).toBe(sound ? given.tokens : undefined)
    expect(tokensPerSecond === undefined).toBe(!sound)
    if (!sound) expect(finishReason).toBe(given.stopped ? "cancelled" : "unknown")
  })
})
