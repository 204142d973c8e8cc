import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Schema, Struct } from "effect"
import { Generation, type HttpClient } from "effect-rwkv"
import * as wire from "./support/wire.js"

type Kind = "create" | "fim" | "continue" | "fork"

const base: Readonly<Record<Kind, object>> = {
  create: { prompt: "Hello" },
  fim: { prefix: "Hello" },
  continue: { prompt: "Hello" },
  fork: { prompt: "Hello" }
}

const kinds: ReadonlyArray<Kind> = ["create", "fim", "continue", "fork"]

const send = (http: HttpClient.Service, kind: Kind, request: unknown) => {
  const input = wire.untyped(request)
  switch (kind) {
    case "create":
      return http.create(input)
    case "fim":
      return http.fim(input)
    case "continue":
      return http.continue("TMP_1", input)
    case "fork":
      return http.fork("TMP_1", input)
  }
}

/** The failure of a request that must not be sent. */
const refused = (kind: Kind, request: unknown) =>
  Effect.gen(function*() {
    const { http, sent } = yield* wire.make(wire.ok)
    const error = yield* wire.failure(send(http, kind, request))
    expect(sent).toEqual([])
    if (error._tag !== "RWKVValidationError") return yield* Effect.dieMessage(`failed with ${error._tag}`)
    expect(error.source).toBe("client")
    expect(error.isTransient).toBe(false)
    expect(error.operation).toBe(`HttpClient.${kind}`)
    expect(error.message).toMatch(new RegExp(`^HttpClient\\.${kind}: invalid request: [^\\n]+$`))
    expect(error.message.length).toBeLessThan(1024)
    return error
  })

const paths = (kind: Kind, request: unknown) =>
  Effect.map(refused(kind, request), ({ issues }) => issues.map(({ path }) => path))

const accepted = (kind: Kind, request: unknown) =>
  Effect.gen(function*() {
    const { http, sent } = yield* wire.make(wire.ok)
    yield* send(http, kind, request)
    expect(sent).toHaveLength(1)
    const body: unknown = JSON.parse(sent[0]?.body ?? "")
    return { body, path: sent[0]?.path ?? "" }
  })

const fields = {
  maxTokens: "max_tokens",
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  presencePenalty: "presence_penalty",
  repetitionPenalty: "repetition_penalty",
  penaltyDecay: "penalty_decay",
  seed: "seed"
} as const

type Field = keyof typeof fields

const ranges: Readonly<Record<Kind, Readonly<Partial<Record<Field, readonly [number, number]>>>>> = {
  create: {
    maxTokens: [0, 40960],
    temperature: [0, 2],
    topK: [-1, 100],
    topP: [0, 1],
    presencePenalty: [0, 10],
    repetitionPenalty: [0, 10],
    penaltyDecay: [0, 1],
    seed: [0, 4294967295]
  },
  fim: {
    maxTokens: [1, 40960],
    temperature: [0, 2],
    topK: [-1, 100],
    topP: [0, 1],
    presencePenalty: [0, 10],
    repetitionPenalty: [0, 10],
    penaltyDecay: [0, 1],
    seed: [0, 4294967295]
  },
  continue: {
    maxTokens: [1, 40960],
    temperature: [0, 2],
    topK: [0, 100],
    topP: [0, 1],
    presencePenalty: [0, 10],
    repetitionPenalty: [0, 10],
    penaltyDecay: [0, 1]
  },
  fork: {
    maxTokens: [1, 40960],
    temperature: [0, 2],
    topK: [0, 100],
    topP: [0, 1],
    presencePenalty: [0, 10],
    repetitionPenalty: [0, 10],
    penaltyDecay: [0, 1]
  }
}

const integers: ReadonlySet<string> = new Set(["maxTokens", "topK", "seed"])

const cases = kinds.flatMap((kind) =>
  Struct.entries(ranges[kind]).map(([field, range]) => ({ kind, field, range: range ?? [0, 0] }))
)

describe("ranges", () => {
  it.effect.each(cases)(
    "$kind sends $field at both of its bounds under its wire name",
    ({ field, kind, range }) =>
      Effect.forEach(range, (value) =>
        Effect.gen(function*() {
          const { body } = yield* accepted(kind, { ...base[kind], [field]: value })
          expect(body).toEqual({ ...base[kind], [fields[field]]: value })
        }))
  )

  it.effect.each(cases)(
    "F66 $kind refuses $field beyond its bounds and of any other type, and sends nothing",
    ({ field, kind, range: [min, max] }) => {
      const step = integers.has(field) ? 1 : 0.001
      const strange = [Number.NaN, Infinity, -Infinity, -0, "5", null, true, [], [1], {}, 1n, Symbol("5")]
      const bad = [min - step, max + step, ...(integers.has(field) ? [1.5] : []), ...strange]
      return Effect.forEach(bad, (value) =>
        Effect.gen(function*() {
          const { issues, message } = yield* refused(kind, { ...base[kind], [field]: value })
          const what = integers.has(field) ? "an integer" : "a number"
          expect(issues).toEqual([{ path: field, message: `must be ${what} from ${min} to ${max}` }])
          expect(message).toContain(`${field} must be`)
        }))
    }
  )

  it.effect.each(["continue", "fork"] as const)(
    "%s takes no seed: the server refuses it",
    (kind) => Effect.map(paths(kind, { prompt: "Hello", seed: 1 }), (paths) => expect(paths).toEqual(["seed"]))
  )
})

describe("encoding", () => {
  it.effect.each(kinds)("%s leaves out what is not given, undefined included", (kind) =>
    Effect.gen(function*() {
      const nothing = Object.fromEntries(Object.keys(fields).map((field) => [field, undefined]))
      const { body } = yield* accepted(kind, { ...base[kind], ...nothing })
      expect(body).toEqual(base[kind])
    }))

  it.effect("persistence chooses the path and is not sent", () =>
    Effect.gen(function*() {
      expect(yield* accepted("create", { prompt: "a" })).toEqual({ path: "/v1/tasks/tmp", body: { prompt: "a" } })
      expect(yield* accepted("create", { prompt: "a", persistence: "temporary" }))
        .toEqual({ path: "/v1/tasks/tmp", body: { prompt: "a" } })
      expect(yield* accepted("create", { prompt: "a", persistence: "persistent" }))
        .toEqual({ path: "/v1/tasks/create", body: { prompt: "a" } })
      expect(yield* accepted("fork", { prompt: "a" }))
        .toEqual({ path: "/v1/tasks/TMP_1/fork", body: { prompt: "a" } })
      expect(yield* accepted("fork", { prompt: "a", persistence: "temporary" }))
        .toEqual({ path: "/v1/tasks/TMP_1/fork?tmp=true", body: { prompt: "a" } })
      expect(yield* accepted("fork", { prompt: "a", persistence: "persistent" }))
        .toEqual({ path: "/v1/tasks/TMP_1/fork", body: { prompt: "a" } })
      const { issues } = yield* refused("create", { prompt: "a", persistence: "forever" })
      expect(issues).toEqual([{ path: "persistence", message: "must be \"temporary\" or \"persistent\"" }])
    }))

  it.effect("token ids are sent as they are, the first and the last of the vocabulary included", () =>
    Effect.gen(function*() {
      const { body } = yield* accepted("create", { prompt: [0, 1, 65529] })
      expect(body).toEqual({ prompt: [0, 1, 65529] })
    }))

  it.effect("a FIM may be empty on both sides", () =>
    Effect.gen(function*() {
      expect((yield* accepted("fim", { prefix: "" })).body).toEqual({ prefix: "" })
      expect((yield* accepted("fim", { prefix: "", suffix: "" })).body).toEqual({ prefix: "", suffix: "" })
    }))

  it("the schemas decode what they encode", () => {
    const request: Generation.CreateRequest = { prompt: [1, 2], maxTokens: 5, topK: -1, seed: 7, presencePenalty: 0.5 }
    const encoded = Schema.encodeSync(Generation.CreateRequest)(request)
    expect(encoded).toEqual({ prompt: [1, 2], max_tokens: 5, top_k: -1, seed: 7, presence_penalty: 0.5 })
    expect(Schema.decodeSync(Generation.CreateRequest)(encoded)).toEqual(request)
    expect(Schema.is(Generation.TokenId)(65529)).toBe(true)
    expect(Schema.is(Generation.TokenId)(65530)).toBe(false)
    expect(Schema.is(Generation.Prompt)("a")).toBe(true)
    expect(Either.isLeft(Schema.decodeUnknownEither(Generation.Prompt)(""))).toBe(true)
  })
})

const badPrompts: ReadonlyArray<readonly [name: string, value: unknown, path: string, message: string]> = [
  ["empty text", "", "prompt", "must not be empty"],
  ["no tokens", [], "prompt", "must not be empty"],
  ["a high surrogate alone", "a\ud800b", "prompt", "must be text without lone surrogates"],
  ["a low surrogate alone", "\udc00", "prompt", "must be text without lone surrogates"],
  ["the id after the last", [1, 65530], "prompt.1", "must be an integer from 0 to 65529"],
  ["a negative id", [-1], "prompt.0", "must be an integer from 0 to 65529"],
  ["minus zero", [1, 2, -0], "prompt.2", "must be an integer from 0 to 65529"],
  ["a fraction", [1.5], "prompt.0", "must be an integer from 0 to 65529"],
  ["NaN", [Number.NaN], "prompt.0", "must be an integer from 0 to 65529"],
  ["text among the ids", ["1"], "prompt.0", "must be an integer from 0 to 65529"],
  ["nested ids", [[1]], "prompt.0", "must be an integer from 0 to 65529"],
  ["a hole", Array.from({ length: 1 }), "prompt.0", "must be an integer from 0 to 65529"],
  ["null", null, "prompt", "must be text, or an array of token ids"],
  ["a number", 5, "prompt", "must be text, or an array of token ids"],
  ["an object", { length: 1, 0: 1 }, "prompt", "must be text, or an array of token ids"],
  ["a typed array", Uint16Array.of(1), "prompt", "must be text, or an array of token ids"],
  ["a boxed string", Object("a"), "prompt", "must be text, or an array of token ids"],
  ["nothing", undefined, "prompt", "is missing"]
]

describe("prompts", () => {
  it.effect.each(badPrompts)(
    "F67 %s is refused everywhere, and nothing is sent",
    ([, value, path, message]) =>
      Effect.forEach(["create", "continue", "fork"] as const, (kind) =>
        Effect.gen(function*() {
          const { issues } = yield* refused(kind, { prompt: value })
          expect(issues).toEqual([{ path, message }])
        }))
  )

  it.effect("F67 half a character in a FIM's prefix or suffix is refused", () =>
    Effect.gen(function*() {
      const message = "must be text without lone surrogates"
      expect((yield* refused("fim", { prefix: "\ud800" })).issues).toEqual([{ path: "prefix", message }])
      expect((yield* refused("fim", { prefix: "a", suffix: "\udfff" })).issues).toEqual([{ path: "suffix", message }])
      expect((yield* refused("fim", { prefix: "a", suffix: null })).issues).toEqual([{ path: "suffix", message }])
      expect((yield* refused("fim", { prefix: 1 })).issues).toEqual([{ path: "prefix", message }])
      expect((yield* refused("fim", {})).issues).toEqual([{ path: "prefix", message: "is missing" }])
    }))

  it.effect(
    "F68 a prompt of 10 MB is sent, and an error beside it stays under 1 KB without a word of it",
    () =>
      Effect.gen(function*() {
        const prompt = "secret words ".repeat(800_000)
        const { body } = yield* accepted("create", { prompt })
        expect(body).toEqual({ prompt })
        for (const kind of ["create", "continue", "fork"] as const) {
          const error = yield* refused(kind, { prompt: `${prompt}\ud800`, maxTokens: -2 })
          expect(error.message).not.toContain("secret")
          expect(JSON.stringify(error).length).toBeLessThan(1024)
          expect(JSON.stringify(error)).not.toContain("secret")
        }
        const fim = yield* refused("fim", { prefix: `${prompt}\ud800`, suffix: [prompt] })
        expect(JSON.stringify(fim)).not.toContain("secret")
      }),
    20_000
  )

  it.effect("half a million token ids pass, and the first bad one is named", () =>
    Effect.gen(function*() {
      const prompt = Array.from({ length: 500_000 }, (_, index) => index % 65530)
      yield* accepted("create", { prompt })
      expect(yield* paths("create", { prompt: [...prompt, -1, -2] })).toEqual(["prompt.500000"])
    }))
})

const throwing = (property: string) =>
  Object.defineProperty({ ...base.create }, property, {
    enumerable: true,
    get: () => {
      throw new Error("secret")
    }
  })

const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const hostile: ReadonlyArray<readonly [name: string, request: unknown]> = [
  ["null", null],
  ["undefined", undefined],
  ["an array", [{ prompt: "a" }]],
  ["text", "Hello"],
  ["a number", 5],
  ["a function", () => ({ prompt: "a" })],
  ["a getter that throws", throwing("prompt")],
  ["a proxy that throws", new Proxy({}, { ownKeys: () => JSON.parse("{") })],
  ["a revoked proxy", revoked()]
]

describe("hostile input", () => {
  it.effect.each(hostile)(
    "F66 %s for a request is refused by type, not by a defect",
    ([, request]) =>
      Effect.forEach(kinds, (kind) =>
        Effect.gen(function*() {
          const { issues } = yield* refused(kind, request)
          expect(issues).toHaveLength(1)
          expect(issues[0]?.path).toMatch(/^(|prompt|prefix|maxTokens)$/)
          expect(issues[0]?.message).toMatch(/^(must be an object of options|cannot be read)$/)
        }))
  )

  it.effect.each([
    "{\"__proto__\":{\"polluted\":1}}",
    "{\"constructor\":{\"prototype\":{\"polluted\":1}}}",
    "{\"toString\":1}",
    "{\"max_tokens\":1}",
    "{\"stream\":true}",
    "{\"stop\":null}"
  ])("F66 an unknown key is refused by its name: %s", (json) =>
    Effect.forEach(kinds, (kind) =>
      Effect.gen(function*() {
        const extra: Readonly<Record<string, unknown>> = JSON.parse(json)
        // A spread keeps `__proto__` an own key.
        const found = yield* paths(kind, { ...extra, ...base[kind] })
        expect(found).toEqual(Object.keys(extra))
        expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false)
      })))

  it.effect("F111 a list of 10^8 ids is refused before it is copied", () =>
    Effect.gen(function*() {
      const begun = performance.now()
      const { issues } = yield* refused("create", { prompt: Array(1e8) })
      expect(issues).toEqual([{ path: "prompt", message: "must not hold more than 16777216 token ids" }])
      expect(performance.now() - begun).toBeLessThan(500)
    }))

  it.effect("keys of a caller are cut and stay on one line", () =>
    Effect.gen(function*() {
      const { issues, message } = yield* refused("create", { prompt: "a", [`a\nb${"c".repeat(5000)}`]: 1 })
      expect(issues[0]?.path.startsWith("a bccc")).toBe(true)
      expect(message).not.toContain("\n")
    }))

  it.effect("all broken rules are told, the first three in the message", () =>
    Effect.gen(function*() {
      const error = yield* refused("create", { maxTokens: -1, topK: 101, topP: 2, seed: -5, foo: 1 })
      expect(error.issues.map(({ path }) => path).sort()).toEqual([
        "foo",
        "maxTokens",
        "prompt",
        "seed",
        "topK",
        "topP"
      ])
      expect(error.message).toMatch(/, and 3 more$/)
    }))

  it.effect("inherited fields do not count, and a value is read once", () =>
    Effect.gen(function*() {
      expect(yield* paths("create", Object.create({ prompt: "a" }))).toEqual(["prompt"])
      let reads = 0
      const changing = Object.defineProperty({}, "prompt", {
        enumerable: true,
        get: () => {
          reads++
          return reads === 1 ? "fine" : ""
        }
      })
      expect((yield* accepted("create", changing)).body).toEqual({ prompt: "fine" })
    }))

  it.effect("what is nested too deeply to be printed is refused like any other value", () =>
    Effect.gen(function*() {
      const deep: unknown = JSON.parse("[".repeat(100_000) + "]".repeat(100_000))
      expect(yield* paths("create", { prompt: "a", temperature: deep })).toEqual(["temperature"])
      expect(yield* paths("create", { prompt: deep })).toEqual(["prompt.0"])
      expect(yield* paths("create", { prompt: "a", extra: deep })).toEqual(["extra"])
    }))
})
