import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { get, issues, json, post, tick } from "../../support/emulator.js"

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
