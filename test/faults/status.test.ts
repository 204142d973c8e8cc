import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { Polling, type RWKV, RWKVError, StreamService, TaskService } from "effect-rwkv"
import { gzipSync } from "node:zlib"
import { against, count, FaultKind, inject, long, request, says, textOf } from "../support/program.js"
import * as Tcp from "../support/tcp.js"

const status = TaskService.status(Tcp.id)
const create = TaskService.create(request)

const answers = (
  path: string,
  code: number,
  body: string,
  headers: Readonly<Record<string, string>> = { "content-type": "application/json" },
  times = Infinity
) => inject({ on: { path }, times, kind: FaultKind.Status({ status: code, body, headers }) })

const replies = (path: string, body: string | Uint8Array, headers = { "content-type": "application/json" }) =>
  inject({ on: { path }, times: Infinity, kind: FaultKind.Respond({ status: 200, headers, body }) })

const millis = Effect.clockWith((clock) => clock.currentTimeMillis)

const took = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const begun = yield* millis
    const exit = yield* Effect.either(effect)
    return [(yield* millis) - begun, exit] as const
  })

describe("status and body", () => {
  it.effect("F11 422 with FastAPI's array", () =>
    Effect.gen(function*() {
      const secret = "the prompt ".repeat(2000)
      const detail = [
        { type: "int_type", loc: ["body", "max_tokens"], msg: "Input should be a valid integer", input: secret },
        { type: "missing", loc: ["body", "prompt", "list[int]", 3], msg: `Bad input ${secret}`, input: secret }
      ]
      yield* answers("/tmp", 422, JSON.stringify({ detail }))
      const error = yield* Effect.flip(create)
      expect(error).toMatchObject({
        _tag: "RWKVValidationError",
        source: "server",
        issues: [{ path: "maxTokens", message: "Input should be a valid integer" }, { path: "prompt.3" }]
      })
      const encoded = yield* Schema.encode(RWKVError.RWKVError)(error)
      expect(JSON.stringify(encoded).length).toBeLessThan(1024)
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(against()))

  for (const body of ["{\"detail\":\"no way\"}", "no way", `no way${"!".repeat(100_000)}`]) {
    it.effect(`F12 422 with ${body.slice(0, 20)}`, () =>
      Effect.gen(function*() {
        yield* answers("/tmp", 422, body)
        const error = yield* Effect.flip(create)
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "server" })
        expect(error.message).toContain("no way")
        expect(error.message.length).toBeLessThan(400)
      }).pipe(against()))
  }

  it.effect("F13 404 Task not found, 404 Not Found", () =>
    Effect.gen(function*() {
      expect(yield* Effect.flip(status)).toMatchObject({ _tag: "TaskNotFoundError", taskId: Tcp.id })
      yield* answers("/status", 404, "{\"detail\":\"Not Found\"}")
      const error = yield* Effect.flip(status)
      expect(error).toMatchObject({ _tag: "RWKVStatusError", status: 404 })
      expect(error.message).toContain("older")
    }).pipe(against()))

  Tcp.overBoth("F14 500, plain text, socket closed after it", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("", {
        tmp: () => [...Tcp.answer("500 Internal Server Error", "Internal Server Error", {}), Tcp.end]
      }))
      yield* Effect.gen(function*() {
        for (let i = 0; i < 5; i++) {
          expect(yield* Effect.flip(create)).toMatchObject({ _tag: "RWKVServerError", status: 500 })
          expect((yield* status).status).toBe("Finished")
        }
      }).pipe(Tcp.client(server, http))
    }))

  for (const code of [502, 503, 504]) {
    it.effect(`F15 ${code} with an HTML page of a proxy`, () =>
      Effect.gen(function*() {
        const page = `<!DOCTYPE html><html><body>${"<p>nginx</p>".repeat(500)}</body></html>`
        const html = { "content-type": "text/html" }
        yield* answers("/list", code, page, html, 3)
        expect(yield* TaskService.list).toBeDefined()
        yield* answers("/list", code, page, html)
        const error = yield* Effect.flip(TaskService.list)
        expect(error).toMatchObject({ _tag: "RWKVServerError", status: code })
        expect(error.message).not.toContain("<")
        expect(yield* count("GET list")).toBe(10)
      }).pipe(against()))
  }

  const date = new Date(4000).toUTCString()
  for (
    const [value, least, most] of [["2", 2000, 2000], [date, 4000, 4000], ["-5", 100, 400], ["soon", 100, 400], [
      "99999999",
      60_000,
      60_000
    ]] as const
  ) {
    for (const code of [429, 503]) {
      it.effect(`F16 ${code} with Retry-After ${value}`, () =>
        Effect.gen(function*() {
          yield* answers("/list", code, "{}", { "retry-after": value }, 1)
          const [time, list] = yield* took(TaskService.list)
          expect(list._tag).toBe("Right")
          expect(time).toBeGreaterThanOrEqual(least)
          expect(time).toBeLessThanOrEqual(most)
        }).pipe(against()))
    }
  }

  it.effect("F16 a stream that connects waits as long, and a create", () =>
    Effect.gen(function*() {
      yield* answers("/stream", 503, "{}", { "retry-after": "30" }, 1)
      yield* answers("/tmp", 429, "{}", { "retry-after": "20" }, 1)
      const [time, text] = yield* took(textOf("subscribe"))
      expect(text).toMatchObject({ right: long })
      expect(time).toBeGreaterThanOrEqual(50_000)
      expect(time).toBeLessThan(55_000)
      expect(yield* count("POST tmp")).toBe(2)
    }).pipe(against(says(long))))

  for (const code of [401, 403]) {
    it.effect(`F17 ${code} of a proxy`, () =>
      Effect.gen(function*() {
        yield* answers("/", code, "denied", {})
        for (const effect of [status, create, TaskService.delete(Tcp.id)]) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
          expect(error).toMatchObject({ _tag: "RWKVStatusError", status: code })
        }
        expect((yield* count("GET status")) + (yield* count("POST tmp")) + (yield* count("POST delete"))).toBe(3)
      }).pipe(against()))
  }

  Tcp.overBoth("F108 baseUrl that ends in /v1 or in slashes works", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("text"))
      for (const end of ["", "/", "/v1", "/v1/", "/v1/tasks", "//v1//tasks//"]) {
        const baseUrl = `${server.baseUrl}${end}`
        expect(yield* textOf("subscribe").pipe(Tcp.client(server, http, { baseUrl }))).toBe("text")
      }
      expect(server.requests.every(({ path }) => /^\/v1\/tasks\/\w+(\/\w+)?(\?.*)?$/.test(path))).toBe(true)
    }))

  const page = "<!doctype html><title>Docs</title>"
  for (
    const [what, answer] of [
      ["no such route", Tcp.answer("404 Not Found", "{\"detail\":\"Not Found\"}")],
      ["a proxy's 404", Tcp.answer("404 Not Found", "404 page not found", { "content-type": "text/plain" })],
      ["405", Tcp.answer("405 Method Not Allowed", "{\"detail\":\"Method Not Allowed\"}")],
      ["a page", Tcp.answer("200 OK", page, { "content-type": "text/html" })],
      ["a page of no type", Tcp.answer("200 OK", page, {})],
      ["a page with 404", Tcp.answer("404 Not Found", page, { "content-type": "text/html" })],
      ["HTTP to a TLS port", Tcp.answer("400 Bad Request", page, { "content-type": "text/html" })],
      [
        "HTTP to a TLS port, in words",
        Tcp.answer("400 Bad Request", "Client sent an HTTP request to an HTTPS server.")
      ],
      ["another API's 400", Tcp.answer("400 Bad Request", "{\"error\":\"unknown endpoint\"}")],
      ["what is gone", Tcp.answer("410 Gone", "{}")],
      ["another host", Tcp.answer("421 Misdirected Request", "")],
      ["another protocol", Tcp.answer("426 Upgrade Required", "")],
      ["signs of health", Tcp.answer("200 OK", "{\"status\":\"ok\"}")],
      ["a page with 403", Tcp.answer("403 Forbidden", page, { "content-type": "text/html" })],
      ["a page with 501", Tcp.answer("501 Not Implemented", page, { "content-type": "text/html" })],
      ["text", Tcp.answer("200 OK", "OK", { "content-type": "text/plain" })],
      ["other JSON", Tcp.answer("200 OK", "{\"ok\":true}")],
      ["nothing", Tcp.answer("204 No Content", "")],
      ["a redirect", Tcp.answer("302 Found", "", { location: "/login" })]
    ] as const
  ) {
    Tcp.overBoth(`F108 baseUrl of a page: ${what}`, (http) =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(() => answer)
        const options = { baseUrl: `${server.baseUrl}/docs/key-1234`, headers: { "x-key": "key-1234" } }
        for (const effect of [status, create, TaskService.list, textOf("direct"), textOf("subscribe")]) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(effect)).pipe(
            Tcp.client(server, http, options)
          )
          expect(error.message).toContain("is baseUrl right? Its path is /docs/<redacted>")
        }
      }))
  }

  it.effect("F108 answers of the server itself do not doubt baseUrl", () =>
    Effect.gen(function*() {
      for (const code of [400, 401, 403, 404, 429, 500, 502]) {
        yield* answers("/list", code, "{\"detail\":\"no model\"}")
        expect((yield* Effect.flip(TaskService.list)).message).not.toContain("baseUrl")
      }
    }).pipe(against({}, { retry: Polling.noRetry })))

  it.effect("F18 200 with HTML", () =>
    Effect.gen(function*() {
      yield* replies("/", "<html>Hello</html>", { "content-type": "text/html" })
      for (const effect of [status, create, textOf("subscribe"), textOf("direct"), TaskService.list]) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
        expect(error).toMatchObject({ _tag: "RWKVDecodeError" })
      }
    }).pipe(against()))

  const good = Tcp.resultOf("text")
  for (
    const [what, body, path] of [
      ["another shape", [], ""],
      ["a missing field", { ...good, finished: undefined }, "finished"],
      ["null for a number", { ...good, speed: null }, "speed"],
      ["a number for a text", { ...good, result: 5 }, "result"]
    ] as const
  ) {
    it.effect(`F19 200 with ${what}`, () =>
      Effect.gen(function*() {
        yield* replies("/get_result", JSON.stringify(body))
        const { id } = yield* create
        const error = yield* Effect.flip(TaskService.result(id))
        expect(error).toMatchObject({ _tag: "RWKVDecodeError", description: expect.stringContaining(path) })
      }).pipe(against()))
  }

  it.effect("F19 a string status is read, an unknown one is not, extra fields are ignored", () =>
    Effect.gen(function*() {
      const { id } = yield* create
      yield* inject({
        on: { path: "/status" },
        kind: FaultKind.Respond({
          status: 200,
          headers: {},
          body: JSON.stringify({ task_id: id, generated_buf: 3, status: "RUNNING", more: { of: "it" } })
        })
      })
      expect(yield* TaskService.status(id)).toEqual({ taskId: id, generatedTokens: 3, status: "Running" })
      yield* replies("/status", JSON.stringify({ ...Tcp.infoOf(3), status: "who knows" }))
      expect(yield* Effect.flip(TaskService.status(id))).toMatchObject({
        _tag: "RWKVDecodeError",
        description: expect.stringContaining("status")
      })
    }).pipe(against()))

  Tcp.overBoth("F20 200 with truncated JSON", (http) =>
    Effect.gen(function*() {
      const half = [
        Tcp.write(Tcp.head("200 OK", { "content-type": "application/json", "content-length": 500 })),
        Tcp.write("{\"task_id\": \"TMP"),
        Tcp.wait(5),
        Tcp.end
      ]
      const server = yield* Tcp.serve(Tcp.task("", {
        status: (_, index) => index < 2 ? half : Tcp.json(Tcp.infoOf(3)),
        tmp: () => half
      }))
      yield* Effect.gen(function*() {
        expect((yield* status).status).toBe("Finished")
        const error = yield* Effect.flip(create)
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true })
        expect(server.requests.filter(({ method }) => method === "POST")).toHaveLength(1)
      }).pipe(Tcp.client(server, http))
    }))

  Tcp.overBoth("F21 204 and an empty 200 where JSON is due", (http) =>
    Effect.gen(function*() {
      for (const code of ["204 No Content", "200 OK"]) {
        const empty = () => code.startsWith("204") ? [Tcp.write(Tcp.head(code, {}))] : Tcp.answer(code, "", {})
        const server = yield* Tcp.serve(Tcp.task("", { tmp: empty, get_result: empty, stop: empty, delete: empty }))
        yield* Effect.gen(function*() {
          expect(yield* Effect.flip(create)).toMatchObject({ _tag: "RWKVDecodeError" })
          expect(yield* Effect.flip(TaskService.result(Tcp.id))).toMatchObject({ _tag: "RWKVDecodeError" })
          yield* TaskService.delete(Tcp.id)
          expect((yield* TaskService.stop(Tcp.id)).status).toBe("Finished")
        }).pipe(Tcp.client(server, http))
      }
    }))

  Tcp.overBoth("F22 a body larger than the limit", (http) =>
    Effect.gen(function*() {
      const chunk = "x".repeat(64 * 1024)
      const server = yield* Tcp.serve(() => [
        Tcp.write(Tcp.head("200 OK", { "content-type": "application/json", "transfer-encoding": "chunked" })),
        Tcp.pour(Tcp.chunk(chunk), 2000)
      ])
      const error = yield* Effect.flip(status).pipe(Tcp.client(server, http, { maxResponseSize: 1_000_000 }))
      expect(error).toMatchObject({ _tag: "RWKVDecodeError", description: expect.stringContaining("1000000") })
      expect(server.poured()).toBeLessThan(24_000_000)
      expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
    }))

  for (
    const [what, body] of [
      [
        "__proto__",
        JSON.stringify(good).replace("{", "{\"__proto__\":{\"polluted\":1},\"constructor\":{\"prototype\":5},")
      ],
      ["duplicate keys", JSON.stringify(good).replace("{", "{\"result\":\"first\",")],
      ["10^5 nesting levels", JSON.stringify(good).replace("{", `{"deep":${"[".repeat(1e5)}${"]".repeat(1e5)},`)]
    ] as const
  ) {
    it.effect(`F23 JSON with ${what}`, () =>
      Effect.gen(function*() {
        yield* replies("/get_result", body)
        const result = yield* Effect.either(TaskService.result(Tcp.id))
        yield* create
        const right = Option.getOrUndefined(
          Option.fromNullable(result._tag === "Right" ? result.right.text : undefined)
        )
        if (result._tag === "Left") expect(["RWKVDecodeError", "TaskNotFoundError"]).toContain(result.left._tag)
        else expect(right).toBe("text")
        expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false)
        expect(Reflect.get({}, "polluted")).toBeUndefined()
      }).pipe(against()))
  }

  Tcp.overBoth("F24 gzip'd body, chunked trailers, chunks of a byte", (http, name) =>
    Effect.gen(function*() {
      const body = JSON.stringify(Tcp.resultOf("größer 漢字"))
      const chunked = Tcp.head("200 OK", { "content-type": "application/json", "transfer-encoding": "chunked" })
      const server = yield* Tcp.serve(Tcp.task("", {
        get_result: (_, index) =>
          index === 0
            ? [
              Tcp.write(chunked),
              ...Array.from(new TextEncoder().encode(body), (byte) => Tcp.write(Tcp.chunk(Uint8Array.of(byte)))),
              Tcp.write("0\r\nx-checksum: abc\r\n\r\n")
            ]
            : Tcp.answer("200 OK", gzipSync(body), { "content-type": "application/json", "content-encoding": "gzip" })
      }))
      yield* Effect.gen(function*() {
        expect((yield* TaskService.result(Tcp.id)).text).toBe("größer 漢字")
        const zipped = yield* Effect.either(TaskService.result(Tcp.id))
        if (name === "fetch") expect(zipped).toMatchObject({ right: { text: "größer 漢字" } })
        else expect(zipped._tag === "Right" || zipped.left._tag === "RWKVDecodeError").toBe(true)
        const [first] = server.requests
        if (name !== "fetch") expect(first?.headers["accept-encoding"]).toBeUndefined()
      }).pipe(Tcp.client(server, http))
      const stream = Stream.mkString(StreamService.subscribe(Tcp.id))
      expect(yield* stream.pipe(Tcp.client(yield* Tcp.serve(Tcp.task("größer 漢字")), http))).toBe("größer 漢字")
    }))
})
