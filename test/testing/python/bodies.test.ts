import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { issues, send } from "../../support/emulator.js"

describe("broken bodies", () => {
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

  it.scoped("a body of null is none at all", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      for (const path of ["/v1/tasks/tmp", "/v1/tasks/fim"]) {
        expect(yield* issues(emulator, " null ", path)).toMatchObject([{ type: "missing", loc: ["body"], input: null }])
      }
    }))

  it.scoped("H26 lone surrogates are text to the models, and a 500 to whatever writes them", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      for (const [path, key] of [["tmp", "prompt"], ["fim", "prefix"], ["fim", "suffix"]]) {
        const body = `{"prefix":"a","${key}":"\\ud800"`.replace(path === "tmp" ? "\"prefix\":\"a\"," : "", "")
        expect(yield* issues(emulator, `${body}}`, `/v1/tasks/${path}`)).toEqual(["Internal Server Error"])
        expect(yield* issues(emulator, `${body},"foo":1}`, `/v1/tasks/${path}`)).toMatchObject([
          { type: "extra_forbidden", loc: ["body", "foo"] }
        ])
      }
    }))

  it.scoped("JSON is read in the encoding that its first bytes tell", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const text = "{\"é🌍\":1}"
      const wide = (size: 2 | 4, little: boolean, mark: boolean) => {
        const units = size === 2
          ? Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
          : Array.from(text, (character) => character.codePointAt(0) ?? 0)
        const all = mark ? [0xfeff, ...units] : units
        const view = new DataView(new ArrayBuffer(all.length * size))
        all.forEach((unit, index) =>
          size === 2 ? view.setUint16(index * 2, unit, little) : view.setUint32(index * 4, unit, little)
        )
        return new Uint8Array(view.buffer)
      }
      const bodies = [
        new TextEncoder().encode(text),
        new TextEncoder().encode(`\ufeff${text}`),
        ...([2, 4] as const).flatMap((size) =>
          [true, false].flatMap((little) => [true, false].map((mark) => wide(size, little, mark)))
        )
      ]
      expect(bodies).toHaveLength(10)
      for (const body of bodies) {
        expect(yield* issues(emulator, body)).toMatchObject([{ loc: ["body", "prompt"] }, { loc: ["body", "é🌍"] }])
      }
    }))

  it.scoped("bytes that are no text are a 400 as JSON, and a 500 as anything else", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const unparsable = "{\"detail\":\"There was an error parsing the body\"}"
      const broken = [[0xff], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x22], [0xff, 0xfe, 0x22], [0, 0x22, 0, 0x61, 0]]
      for (const bytes of broken) {
        const body = Uint8Array.from(bytes)
        expect(yield* issues(emulator, body), String(bytes)).toEqual([unparsable])
        const other = yield* send(emulator, { method: "POST", path: "/v1/tasks/tmp", contentType: "text/plain", body })
        expect(other.status, String(bytes)).toBe(bytes[0] === 0 ? 422 : 500)
      }
      // A lone surrogate in three bytes is text to Python's JSON.
      const lone = Uint8Array.from([0x22, 0xed, 0xa0, 0x80, 0x22])
      expect(yield* issues(emulator, lone)).toEqual(["Internal Server Error"])
      expect(yield* issues(emulator, Uint8Array.of(0x31, 0))).toMatchObject([{
        type: "model_attributes_type",
        input: 1
      }])
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
})
