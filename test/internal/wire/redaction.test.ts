import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { HttpClient } from "effect-rwkv"
import * as wire from "../../support/wire.js"

const prompt = "Patient \"Doe\" 中文\n\thas \\frac{1}{2} of a most private condition, and \u{1f600} nobody is to know"
const python = (text: string) =>
  JSON.stringify(text).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const echoes: ReadonlyArray<readonly [name: string, say: (prompt: string) => string]> = [
  ["as it is", (prompt) => `bad input: ${prompt}`],
  ["as JSON", (prompt) => JSON.stringify({ detail: `bad input: ${prompt}` })],
  ["as JSON in JSON", (prompt) => JSON.stringify({ detail: JSON.stringify({ prompt }) })],
  ["as JSON of its escapes", (prompt) => JSON.stringify({ detail: python(prompt) })],
  ["up to a length", (prompt) => `bad input: ${prompt.slice(0, 40)}`],
  ["from the middle", (prompt) => `bad: ...${prompt.slice(25, 70)}...`],
  ["in FastAPI's list", (prompt) => JSON.stringify({ detail: [{ loc: ["body", prompt], msg: `no ${prompt}` }] })]
]

const fragments = ["Doe", "frac", "private", "condition", "nobody"]

const creations: ReadonlyArray<(http: HttpClient.Service, text: string) => Effect.Effect<unknown, unknown>> = [
  (http, text) => http.create({ prompt: text }),
  (http, text) => Stream.runCollect(http.createStream({ prompt: text })),
  (http, text) => http.fim({ prefix: "a", suffix: text }),
  (http, text) => http.continue("TMP_1", { prompt: text })
]

describe("prompts", () => {
  it.effect.each(echoes)("F71 errors do not repeat what the server repeats %s", ([, say]) =>
    Effect.gen(function*() {
      for (const status of [400, 403, 422, 500]) {
        for (const call of creations) {
          const { http } = yield* wire.make(() => wire.text(say(prompt), status))
          const error = yield* wire.failure(call(http, prompt))
          const printed = `${String(error)} ${JSON.stringify(error)}`
          for (const fragment of fragments) expect(printed).not.toContain(fragment)
        }
      }
    }))

  it.effect("F71 the failure that a stream tells of does not repeat them", () =>
    Effect.gen(function*() {
      for (const told of [prompt, `bad ${prompt}`, prompt.slice(20, 60)]) {
        const { http } = yield* wire.make(() => wire.events(JSON.stringify({ error: told })))
        const frames = JSON.stringify(yield* Stream.runCollect(http.createStream({ prompt })))
        expect(frames).toContain("Failed")
        for (const fragment of fragments) expect(frames).not.toContain(fragment)
      }
    }))

  it.effect("F71 ids are not repeated either", () =>
    Effect.gen(function*() {
      const say = (detail: string) =>
        Effect.gen(function*() {
          const { http } = yield* wire.make(() => wire.json({ detail }, 400))
          return JSON.stringify(yield* wire.failure(http.create({ prompt: [1, 22, 3, 44, 5, 66] })))
        })
      expect(yield* say("bad [1, 22, 3, 44, 5, 66]")).toContain("no explanation that can be shown")
      expect(yield* say("bad ...,3,44,5,66")).toContain("no explanation that can be shown")
      expect(yield* say("not in [0, 1, 2, 3, 4]")).toContain("not in [0, 1, 2, 3, 4]")
      expect(yield* say("bad 44, 5, 66")).toContain("bad 44, 5, 66")
    }))

  it.effect("what is not the prompt is said, with short prompts too", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(({ body }) => wire.json({ detail: `max_tokens is odd in ${body}` }, 400))
      expect(yield* wire.failure(http.create({ prompt: "a bad day", maxTokens: 5 })))
        .toMatchObject({ description: "max_tokens is odd in {\"prompt\":\"<redacted>\",\"max_tokens\":5}" })
      expect(yield* wire.failure(http.create({ prompt: "a", maxTokens: 5 })))
        .toMatchObject({ description: "max_tokens is odd in {\"prompt\":\"a\",\"max_tokens\":5}" })
    }))

  it.effect("F71 a prompt of ten megabytes is searched in no time", () =>
    Effect.gen(function*() {
      const long = "aaaaaaa bbbbbbb ".repeat(640_000)
      const issue = { loc: ["body", "prompt"], msg: "c".repeat(7) + "aaaaaaabbbbbb".repeat(9) }
      const { http } = yield* wire.make(() => wire.json({ detail: Array.from({ length: 20 }, () => issue) }, 422))
      const begun = performance.now()
      yield* wire.failure(http.create({ prompt: long }))
      expect(performance.now() - begun).toBeLessThan(10_000)
    }))
})
