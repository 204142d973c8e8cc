import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { get, issues, json, post, tick } from "../../support/emulator.js"
import { origin } from "../../support/wire.js"

describe("the order of checks", () => {
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

  it.scoped("pos is an int as Pydantic reads one from text", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: () => "a" })
      const { task_id: id } = yield* json(post(emulator, "/v1/tasks/tmp", { prompt: "x" }))
      yield* tick(1000)
      const found = (pos: string) =>
        issues(emulator, "", `/v1/tasks/${id}/stream?pos=${encodeURIComponent(pos)}`, "GET")
      for (const pos of ["5.", ".0", "5.5", "", "_1", "1__0", "1e3", "0x1", "\u0663"]) {
        expect(yield* found(pos), pos).toMatchObject([{ type: "int_parsing", loc: ["query", "pos"], input: pos }])
      }
      for (const pos of ["9".repeat(4301), "9".repeat(4400), "x".repeat(4301)]) {
        expect(yield* found(pos)).toMatchObject([{ type: "int_parsing_size", input: pos }])
      }
      expect((yield* get(emulator, `/v1/tasks/${id}/stream?pos=${"9".repeat(4300)}`)).status).toBe(200)
    }))

  it.scoped("a redirect names the host that was asked, and keeps the query", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const { headers } = yield* get(emulator, "/v1/tasks/a%20b%5Bc%5D/status//?x=1&y=%C3%A9")
      expect(headers["location"]).toBe(`${origin}/v1/tasks/a%20b[c]/status?x=1&y=%C3%A9`)
    }))

  it.scoped("unknown routes, empty ids and odd escapes are 404, other methods 405", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      for (const path of ["/", "/v1/tasks//status", "/v1/tasks/x", "/v1/nope/"]) {
        expect((yield* get(emulator, path)).status, path).toBe(404)
      }
      expect(yield* json(get(emulator, "/v1/tasks/%zz%ff/status"))).toEqual({ detail: "Task not found" })
      const wrong = yield* post(emulator, "/v1/tasks/x/status/")
      expect([wrong.status, wrong.headers["location"]]).toEqual([307, `${origin}/v1/tasks/x/status`])
      const method = yield* post(emulator, "/v1/tasks/x/status")
      expect([method.status, method.headers["allow"]]).toEqual([405, "GET"])
    }))
})
