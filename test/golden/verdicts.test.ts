import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import type { HttpClient } from "effect-rwkv"
import { exchanges } from "../support/golden.js"
import * as wire from "../support/wire.js"

/** What JavaScript's values or our types cannot say, and so cannot get wrong. */
const unsayable: Readonly<Record<string, string>> = {
  "temperature NaN": "NaN is no JSON; our NaN is refused (Generation.test.ts)",
  "top_p NaN": "as above",
  "presence_penalty NaN": "as above",
  "repetition_penalty NaN": "as above",
  "penalty_decay NaN": "as above",
  "max_tokens float-valued int": "5.0 and 5 are one number",
  "top_k float": "50.0 and 50 are one number",
  "seed float": "1.0 and 1 are one number",
  "prompt float list": "1.0 and 1 are one number",
  "stream int": "whether to stream is told by the method",
  "stream string": "as above",
  "stream null": "as above",
  "stream bad json": "no JSON",
  "continue stream null": "as stream null",
  "truncated json": "no JSON",
  "fork unknown with broken json": "no JSON",
  "empty body": "a request is an argument that cannot be left out",
  "continue without body": "as above",
  "no content type": "always application/json",
  "text/plain": "as above",
  "vendor json": "as above",
  "duplicate key": "an object has each key once"
}

/** What the server takes, or answers with something else than 422, and we refuse. */
const stricter: Readonly<Record<string, readonly [path: string, reason: string]>> = {
  "seed null": ["seed", "what is not given is left out"],
  "seed negative": ["seed", "the sampler's seed is unsigned"],
  "prompt empty string": ["prompt", "the server fails with 500 (H24)"],
  "prompt empty list": ["prompt", "the server fails with 500 (H24)"],
  "prompt lone surrogate": ["prompt", "the server fails with 500 (H26)"],
  "continue empty prompt": ["prompt", "the server fails with 500 and loses the text (H24)"],
  "fork unknown with bad body": ["prompt", "the id is looked up before the body is read"]
}

/** Updates without a prompt are refused as well (H3), with whatever else is wrong in them. */
const promptless = new Set(["continue seed", "continue top_k -1", "continue max_tokens above"])

const camelCase = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Keys as programs write them. */
const requestOf = (body: unknown): unknown =>
  typeof body === "object" && body !== null && !Array.isArray(body)
    ? Object.fromEntries(Object.entries(body).map(([key, value]) => [camelCase(key), value]))
    : body

const Refusal = Schema.parseJson(Schema.Struct({
  detail: Schema.Array(Schema.Struct({ loc: Schema.Array(Schema.Union(Schema.String, Schema.Number)) }))
}))

/** The server's paths, without the alternatives it tried: of its two about a prompt the longer one is the better. */
const pathsOf = (body: string): ReadonlyArray<string> => {
  const paths = Schema.decodeSync(Refusal)(body).detail.map(({ loc }) =>
    loc.slice(1).filter((part) => part !== "str" && part !== "list[int]").map((part) => camelCase(String(part)))
      .join(".")
  )
  return paths.filter((path, index) =>
    paths.indexOf(path) === index && !paths.some((other) => other.startsWith(`${path}.`))
  )
}

const call = (http: HttpClient.Service, path: string, input: unknown) => {
  const request = wire.untyped(input)
  const [, , , first = "", verb] = path.split("/")
  return verb === "continue" ?
    http.continue(first, request) :
    verb === "fork" ?
    http.fork(first, request) :
    first === "fim" ?
    http.fim(request) :
    http.create(
      first === "create" && typeof input === "object" ? wire.untyped({ ...input, persistence: "persistent" }) : request
    )
}

const generating = exchanges.filter(({ request: { method, path } }) =>
  method === "POST" && /\/(tmp|create|fim|continue|fork)$/.test(path)
)
const sayable = generating.filter(({ name }) => unsayable[name] === undefined)

describe("golden verdicts", () => {
  it.effect.each(sayable)(
    "$name: refused as the server refused it, or sent as it took it",
    ({ name, request, response }) =>
      Effect.gen(function*() {
        const { http, sent } = yield* wire.make(wire.ok)
        const body: unknown = JSON.parse(request.body ?? "")
        const verdict = yield* Effect.either(call(http, request.path, requestOf(body)))
        const strict = Option.fromNullable(stricter[name])
        if (verdict._tag === "Right") {
          expect(response.status).toBe(200)
          expect(strict).toEqual(Option.none())
          expect(sent.map(({ path }) => path)).toEqual([request.path])
          expect(JSON.parse(sent[0]?.body ?? "")).toEqual(body)
          return
        }
        expect(sent).toEqual([])
        if (verdict.left._tag !== "RWKVValidationError") return yield* Effect.dieMessage(verdict.left._tag)
        expect(verdict.left.source).toBe("client")
        const paths = verdict.left.issues.map(({ path }) => path)
        if (Option.isSome(strict)) {
          expect(paths).toContain(strict.value[0])
          expect(response.status).not.toBe(422)
          return
        }
        expect(response.status).toBe(422)
        expect([...paths].sort()).toEqual(
          [...pathsOf(response.body), ...(promptless.has(name) ? ["prompt"] : [])].sort()
        )
      })
  )

  it("every exchange that starts work is judged, or named with the reason why it cannot be", () => {
    const names = new Set(generating.map(({ name }) => name))
    for (const name of [...Object.keys(unsayable), ...Object.keys(stricter), ...promptless]) {
      expect(names.has(name), name).toBe(true)
    }
    expect(sayable.length + Object.keys(unsayable).length).toBe(generating.length)
    expect(generating.length).toBeGreaterThan(90)
  })
})
