import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { get, json, post, tick } from "../../support/emulator.js"

const generate = (options: Emulator.Options, body: Readonly<Record<string, unknown>>) =>
  Effect.scoped(Effect.gen(function*() {
    const emulator = yield* Emulator.make(options)
    const made = yield* json(post(emulator, "/v1/tasks/tmp", { max_tokens: 200, ...body }))
    yield* tick(1000)
    return yield* json(get(emulator, `/v1/tasks/${made.task_id}/get_result`))
  }))

const lively = { prompt: "The ", temperature: 1.2, top_p: 0.95, presence_penalty: 0 }

describe("toy model", () => {
  it.effect("the same seeds give the same ids and the same text", () =>
    Effect.gen(function*() {
      const first = yield* generate({ seed: 7 }, lively)
      expect(yield* generate({ seed: 7 }, lively)).toEqual(first)
      expect(yield* generate({ seed: 8 }, lively)).not.toMatchObject({ task_id: first.task_id })
      expect((yield* generate({ seed: 8 }, lively)).result).not.toBe(first.result)
    }))

  it.effect("a seed in the request outweighs the emulator's", () =>
    Effect.gen(function*() {
      const first = yield* generate({ seed: 1 }, { ...lively, seed: 42 })
      expect((yield* generate({ seed: 2 }, { ...lively, seed: 42 })).result).toBe(first.result)
      expect((yield* generate({ seed: 1 }, { ...lively, seed: 43 })).result).not.toBe(first.result)
    }))

  it.effect("temperature 0, top_p 0 and top_k 1 leave nothing to chance", () =>
    Effect.gen(function*() {
      const greedy = { ...lively, repetition_penalty: 0, max_tokens: 40 }
      const expected = yield* generate({}, { ...greedy, temperature: 0, seed: 1 })
      for (const sampling of [{ temperature: 0 }, { top_p: 0 }, { top_k: 1 }]) {
        expect((yield* generate({}, { ...greedy, ...sampling, seed: 2 })).result).toBe(expected.result)
      }
    }))

  it.effect("penalties and their decay change what is said", () =>
    Effect.gen(function*() {
      const plain = yield* generate({}, { ...lively, seed: 1 })
      const punished = yield* generate({}, { ...lively, seed: 1, presence_penalty: 3, repetition_penalty: 1 })
      const decayed = yield* generate({}, { ...lively, seed: 1, repetition_penalty: 1, penalty_decay: 0.5 })
      expect(new Set([plain.result, punished.result, decayed.result]).size).toBe(3)
    }))

  it.effect("text in several scripts is well formed", () =>
    Effect.gen(function*() {
      for (const prompt of ["春天", "今日は", "오늘은", "Here is the plan 🚀", "def ", "\u{10ffff}"]) {
        const { result } = yield* generate({}, { prompt, max_tokens: 2000, temperature: 1.5, top_p: 1 })
        expect(result).not.toBe("")
        expect(result).not.toContain("\ufffd")
      }
    }))

  it.effect("ids without bytes stir the choice", () =>
    Effect.gen(function*() {
      const of = (id: number) => generate({}, { ...lively, prompt: [id, 33], seed: 1 })
      expect((yield* of(40_000)).result).not.toBe((yield* of(40_001)).result)
    }))
})
