import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { data, frames, get, json, post, send, tick } from "./utils.js"

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

describe("reply", () => {
  it.scoped("is told the endpoint, the id, the text, the ids and max_tokens", () =>
    Effect.gen(function*() {
      const seen: Array<Emulator.PromptRequest> = []
      const emulator = yield* Emulator.make({
        defaultMaxTokens: 9,
        reply: (request) => {
          seen.push(request)
          return "ok"
        }
      })
      const made = yield* json(post(emulator, "/v1/tasks/create", { prompt: "hi" }))
      yield* post(emulator, "/v1/tasks/tmp", { prompt: [105, 106, 40_000], max_tokens: 3 })
      yield* post(emulator, "/v1/tasks/fim", { prefix: "a", suffix: "b" })
      yield* tick(1000)
      yield* post(emulator, `/v1/tasks/${made.task_id}/continue`, { prompt: "more" })
      expect(seen).toMatchObject([
        { endpoint: "create", taskId: made.task_id, text: "hi", tokens: undefined, maxTokens: 9 },
        { endpoint: "tmp", text: "hi", tokens: [105, 106, 40_000], maxTokens: 3 },
        { endpoint: "fim", text: "✿prefix✿✿suffix✿b✿middle✿a" },
        { endpoint: "continue", taskId: made.task_id, text: "more" }
      ])
    }))

  it.scoped("a string is one token a byte, a script fixes the tokens and the end", () =>
    Effect.gen(function*() {
      const scripts: Readonly<Record<string, Emulator.Script | string>> = {
        text: "é!",
        tokens: { tokens: ["ab", "c", Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac)] },
        loop: { tokens: ["x", "y"], end: "loop" },
        user: { tokens: ["bye"], end: "user" },
        nothing: { tokens: [], end: "loop" }
      }
      const emulator = yield* Emulator.make({ reply: ({ text }) => scripts[text] })
      const results: Record<string, unknown> = {}
      for (const prompt of Object.keys(scripts)) {
        yield* post(emulator, "/v1/tasks/tmp", { prompt, max_tokens: 5 })
        yield* tick(1000)
        const task = (yield* emulator.tasks).at(-1)
        results[prompt] = [task?.generated, task?.text]
      }
      expect(results).toEqual({
        text: [3, "é!"],
        tokens: [4, "abc€"],
        loop: [5, "xyxyx"],
        user: [2, "bye\n"],
        nothing: [0, ""]
      })
    }))

  it.scoped("tokensPerPulse and pulse shape the frames", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: () => "abcdefg", tokensPerPulse: 3, pulse: "30 millis" })
      const stream = yield* frames(post(emulator, "/v1/tasks/tmp", { prompt: "x", stream: true }))
      yield* tick(1000)
      expect(data(stream.chunks)).toEqual(["abc", "def", "g"])
    }))
})

interface Issue {
  readonly type: string
  readonly loc: ReadonlyArray<string | number>
}

const issues = (emulator: Emulator.Service, body: string, path = "/v1/tasks/tmp") =>
  Effect.map(
    Effect.flatMap(send(emulator, { method: "POST", path, body }), (response) => response.text),
    (text): ReadonlyArray<Issue | string> => text.startsWith("{\"detail\":[") ? JSON.parse(text).detail : [text]
  )

describe("broken requests", () => {
  it.scoped("JSON errors have Python's words and count code points", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const cases: ReadonlyArray<readonly [string, number, string]> = [
        ["  ", 2, "Expecting value"],
        ["[1,]", 3, "Expecting value"],
        ["[1 2]", 3, "Expecting ',' delimiter"],
        ["{\"a\" 1}", 5, "Expecting ':' delimiter"],
        ["{\"a\":1,}", 7, "Expecting property name enclosed in double quotes"],
        ["{\"a\":01}", 6, "Expecting ',' delimiter"],
        ["{} {}", 3, "Extra data"],
        ["\"abc", 0, "Unterminated string starting at"],
        ["\"abc\\", 0, "Unterminated string starting at"],
        ["\"a\nb\"", 2, "Invalid control character at"],
        ["\"a\\x\"", 2, "Invalid \\escape"],
        ["\"\\u12g4\"", 2, "Invalid \\uXXXX escape"],
        ["{\"🌍\":}", 5, "Expecting value"],
        ["[nul]", 1, "Expecting value"]
      ]
      for (const [body, offset, error] of cases) {
        expect(yield* issues(emulator, body), body).toMatchObject([{
          type: "json_invalid",
          loc: ["body", offset],
          ctx: { error }
        }])
      }
    }))

  it.scoped("bodies Python cannot hold are a 400, echoes it cannot encode a 500", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const unparsable = "{\"detail\":\"There was an error parsing the body\"}"
      expect(yield* issues(emulator, "[".repeat(100_000))).toEqual([unparsable])
      expect(yield* issues(emulator, "9".repeat(5000))).toEqual([unparsable])
      for (const body of ["{\"a\":-Infinity}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "{\"\\ud800\":1}", "[[NaN]]"]) {
        expect(yield* issues(emulator, body), body).toEqual(["Internal Server Error"])
      }
      expect(yield* issues(emulator, "{\"prompt\":\"a\",\"seed\":9223372036854775808}")).toEqual([
        "Internal Server Error"
      ])
    }))

  it.scoped("errors come in the order of the model's fields, then of unknown keys", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const found = yield* issues(emulator, "{\"z\":1,\"stream\":0,\"a\":2,\"top_k\":1e2,\"seed\":true}")
      expect(found.map((issue) => typeof issue === "string" ? issue : issue.loc[1])).toEqual([
        "prompt",
        "top_k",
        "stream",
        "seed",
        "z",
        "a"
      ])
    }))

  it.scoped("echoed numbers keep Python's spelling", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const numbers: ReadonlyArray<readonly [string, string]> = [
        ["5.0", "5.0"],
        ["1e3", "1000.0"],
        ["1E16", "1e+16"],
        ["123456789012345.5", "123456789012345.5"],
        ["0.00001", "1e-05"],
        ["0.0012", "0.0012"],
        ["-1.5e-7", "-1.5e-07"],
        ["-0.0", "-0.0"],
        ["0.0", "0.0"],
        ["-0", "0"],
        ["12345678901234567890123", "12345678901234567890123"]
      ]
      for (const [sent, echoed] of numbers) {
        const response = yield* send(emulator, {
          method: "POST",
          path: "/v1/tasks/fim",
          body: `{"prefix":{"x":[${sent},false,null]}}`
        })
        expect(yield* response.text).toContain(`"input":{"x":[${echoed},false,null]}`)
      }
    }))

  it.scoped("query errors come after the lookup, together with body errors", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: () => "a" })
      const { task_id: id } = yield* json(post(emulator, "/v1/tasks/tmp", { prompt: "x" }))
      yield* tick(1000)
      const found = yield* issues(emulator, "{\"seed\":1}", `/v1/tasks/${id}/fork?tmp=maybe`)
      expect(found.map((issue) => typeof issue === "string" ? issue : issue.type)).toEqual([
        "bool_parsing",
        "extra_forbidden"
      ])
      expect(yield* issues(emulator, "{}", "/v1/tasks/TMP_no/fork?tmp=maybe")).toEqual([
        "{\"detail\":\"Task not found\"}"
      ])
      expect((yield* json(post(emulator, `/v1/tasks/${id}/fork?tmp=no&tmp=YES`))).task_id).toMatch(/^TMP_/)
      expect((yield* json(post(emulator, `/v1/tasks/${id}/fork?tmp=f`))).task_id).toMatch(/^TASK_/)
      for (const pos of ["5.0", "+1", " 3 ", "1_0"]) {
        expect((yield* get(emulator, `/v1/tasks/${id}/stream?pos=${encodeURIComponent(pos)}`)).status).toBe(200)
      }
    }))

  it.scoped("unknown routes, empty ids and odd escapes are 404, other methods 405", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      for (const path of ["/", "/v1/tasks//status", "/v1/tasks/x", "/v1/nope/"]) {
        expect((yield* get(emulator, path)).status, path).toBe(404)
      }
      expect(yield* json(get(emulator, "/v1/tasks/%zz%ff/status"))).toEqual({ detail: "Task not found" })
      const wrong = yield* post(emulator, "/v1/tasks/x/status/")
      expect([wrong.status, wrong.headers["location"]]).toEqual([307, "/v1/tasks/x/status"])
      const method = yield* post(emulator, "/v1/tasks/x/status")
      expect([method.status, method.headers["allow"]]).toEqual([405, "GET"])
    }))
})
