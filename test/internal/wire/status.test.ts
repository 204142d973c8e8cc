import { FetchHttpClient, HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Schema, TestClock } from "effect"
import type { HttpClient, RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as wire from "../../support/wire.js"

const id = "TMP_1"

const failing = (
  respond: wire.Respond,
  call: (http: HttpClient.Service) => Effect.Effect<unknown, unknown> = (http) => http.status(id),
  options?: RWKVConfig.Options
) => Effect.flatMap(wire.make(respond, options), ({ http }) => wire.failure(call(http)))

const create = (http: HttpClient.Service) => http.create({ prompt: "private words" })

const html = (status: number) =>
  new Response(`<!DOCTYPE html><html><body>${"<p>gateway</p>".repeat(1000)}</body></html>`, {
    status,
    headers: { "content-type": "text/html" }
  })

describe("statuses", () => {
  it.effect("F11 a 422 names every issue's path and message, and echoes nothing", () =>
    Effect.gen(function*() {
      const issue = (loc: ReadonlyArray<string | number>, msg: string) => ({ type: "x", loc, msg, input: "private" })
      const error = yield* failing(() =>
        wire.json({
          detail: [
            issue(["body", "max_tokens"], "Input should be less than or equal to 5"),
            issue(["body", "prompt", "list[int]", 3], "Input should be a valid integer"),
            issue(["body", "prompt", "str"], "Input should be a valid string"),
            issue(["body"], "Field required"),
            issue(["query", "pos"], "line\nbreak")
          ]
        }, 422), create)
      expect(error).toMatchObject({
        _tag: "RWKVValidationError",
        source: "server",
        issues: [
          { path: "maxTokens", message: "Input should be less than or equal to 5" },
          { path: "prompt.3", message: "Input should be a valid integer" },
          { path: "prompt", message: "Input should be a valid string" },
          { path: "", message: "Field required" },
          { path: "pos", message: "line break" }
        ]
      })
      expect(JSON.stringify(error)).not.toContain("private")
    }))

  it.effect("F11 a hostile 422 stays under 1 KB, and within twenty issues", () =>
    Effect.gen(function*() {
      const issue = { loc: ["body", "x".repeat(9999)], msg: "😀".repeat(9999) }
      const error = yield* failing(() => wire.json({ detail: Array.from({ length: 99 }, () => issue) }, 422))
      const Known = Schema.Struct({ message: Schema.String, issues: Schema.Array(Schema.Unknown) })
      const { issues, message } = yield* Schema.decodeUnknown(Known)(error)
      expect(issues).toHaveLength(20)
      expect(message.length).toBeLessThan(1200)
      expect(message.isWellFormed()).toBe(true)
    }))

  it.effect.each(
    [
      ["{\"detail\":\"prompt is\\nodd\"}", "prompt is odd"],
      ["{\"detail\":[]}", "{\"detail\":[]}"],
      ["not JSON", "not JSON"],
      ["", "no explanation"],
      ["x".repeat(5000), `${"x".repeat(160)}...`]
    ] as const
  )(
    "F12 a 422 without FastAPI's list keeps its text, cut: %#",
    ([body, message]) =>
      Effect.map(
        failing(() => wire.text(body, 422)),
        (error) =>
          expect(error).toMatchObject({
            _tag: "RWKVValidationError",
            source: "server",
            issues: [{ path: "", message }]
          })
      )
  )

  it.effect("F13 a 404 for a task is told from one for a route", () =>
    Effect.gen(function*() {
      expect(yield* failing(() => wire.json({ detail: "Task not found" }, 404)))
        .toMatchObject({ _tag: "TaskNotFoundError", taskId: id, operation: "HttpClient.status" })
      expect(yield* failing(() => wire.json({ detail: "Not Found" }, 404))).toMatchObject({
        _tag: "RWKVStatusError",
        status: 404,
        description: "no such route: the server may be older than this call; is baseUrl right? Its path is /"
      })
      expect(yield* failing(() => wire.json({ detail: "Task not found" }, 404), create))
        .toMatchObject({ _tag: "RWKVStatusError", status: 404, description: "Task not found" })
      expect(yield* failing(() => wire.text("gone", 404)))
        .toMatchObject({ _tag: "RWKVStatusError", status: 404, description: "gone; is baseUrl right? Its path is /" })
    }))

  it.effect("F14 the server's plain 500 is RWKVServerError, and the next request works", () =>
    Effect.gen(function*() {
      let first = true
      const { http } = yield* wire.make((sent, request) => {
        if (!first) return wire.ok(sent, request)
        first = false
        return wire.text("Internal Server Error", 500, { "content-type": "text/plain" })
      })
      expect(yield* wire.failure(http.status(id)))
        .toMatchObject({ _tag: "RWKVServerError", status: 500, description: "Internal Server Error", taskId: id })
      yield* http.status(id)
    }))

  it.effect.each([500, 502, 503, 504, 599])(
    "F15 a proxy's page with %d is named, not shown",
    (status) =>
      Effect.map(failing(() => html(status)), (error) =>
        expect(error).toMatchObject({
          _tag: "RWKVServerError",
          status,
          description: "an HTML page",
          isTransient: true
        }))
  )

  it.effect.each(
    [
      [400, false],
      [401, false],
      [403, false],
      [405, false],
      [408, true],
      [409, false],
      [413, false],
      [418, false],
      [425, true],
      [429, true]
    ] as const
  )(
    "F17 %d is RWKVStatusError, retryable: %s",
    ([status, isTransient]) =>
      Effect.map(failing(() => wire.json({ detail: "no\r\n way" }, status)), (error) =>
        expect(error).toMatchObject({
          _tag: "RWKVStatusError",
          status,
          isTransient,
          description: "no way",
          taskId: id
        }))
  )

  it.effect("templates: 403 of delete and 400 of asTemplate have errors of their own", () =>
    Effect.gen(function*() {
      const protectedBy = { detail: "Cannot delete template without force=true" }
      expect(yield* failing(() => wire.json(protectedBy, 403), (http) => http.delete("_TMPL_1")))
        .toMatchObject({ _tag: "TemplateProtectedError", taskId: "_TMPL_1", operation: "HttpClient.delete" })
      expect(yield* failing(() => wire.json({ detail: "forbidden" }, 403), (http) => http.delete("_TMPL_1")))
        .toMatchObject({ _tag: "RWKVStatusError", status: 403 })
      expect(yield* failing(() => html(403), (http) => http.delete("_TMPL_1")))
        .toMatchObject({
          _tag: "RWKVStatusError",
          status: 403,
          description: "an HTML page; is baseUrl right? Its path is /"
        })
      expect(
        yield* failing(() => wire.json({ detail: "Task is already a template" }, 400), (http) =>
          http.asTemplate("_TMPL_1"))
      )
        .toMatchObject({ _tag: "AlreadyTemplateError", taskId: "_TMPL_1", operation: "HttpClient.asTemplate" })
      expect(
        yield* failing(() =>
          wire.text("", 400), (http) => http.asTemplate("_TMPL_1"))
      )
        .toMatchObject({
          _tag: "RWKVStatusError",
          status: 400,
          description: "no explanation; is baseUrl right? Its path is /"
        })
      for (const status of [404, 500]) {
        expect(yield* failing(() => wire.json({ detail: "template" }, status), (http) => http.delete("_TMPL_1")))
          .not.toMatchObject({ _tag: "TemplateProtectedError" })
      }
    }))
})

const retryAfter = (status: number, headers: Readonly<Record<string, string>>) =>
  Effect.map(
    failing(() => wire.text("busy", status, headers)),
    (error) => Schema.decodeUnknownSync(Schema.Struct({ retryAfter: Schema.optional(Schema.DurationFromSelf) }))(error)
  )

const noon = DateTime.unsafeMake("2026-11-23T12:00:00Z")

describe("Retry-After", () => {
  it.effect.each(
    [
      ["2", 2000],
      [" 2 ", 2000],
      ["0", 0],
      ["0.5", 500],
      ["999999999", 999_999_999_000],
      ["Mon, 23 Nov 2026 12:00:30 GMT", 30_000],
      ["Tue, 23 Feb 2027 12:00:00 GMT", 92 * 86_400_000],
      ["Mon, 23 Nov 2026 11:59:30 GMT", undefined],
      ["Mon, 23 Foo 2026 12:00:30 GMT", undefined],
      ["-5", undefined],
      ["9999999999", undefined],
      ["1e3", undefined],
      ["soon", undefined],
      ["", undefined]
    ] as const
  )("F16 %j is %s ms", ([header, millis]) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(DateTime.toEpochMillis(noon))
      for (const status of [429, 503]) {
        const { retryAfter: wait } = yield* retryAfter(status, { "retry-after": header })
        expect(wait === undefined ? undefined : Duration.toMillis(wait)).toBe(millis)
      }
    }))

  it.effect("F16 milliseconds go before it", () =>
    Effect.gen(function*() {
      const { retryAfter: wait } = yield* retryAfter(429, { "retry-after-ms": "70", "retry-after": "2" })
      expect(wait).toEqual(Duration.millis(70))
      const { retryAfter: other } = yield* retryAfter(429, { "retry-after-ms": "-1", "retry-after": "2" })
      expect(other).toEqual(Duration.seconds(2))
      expect((yield* retryAfter(429, {})).retryAfter).toBeUndefined()
    }))
})

const moved = (status: number, location?: string) =>
  new Response(null, { status, headers: location === undefined ? {} : { location } })

describe("redirects", () => {
  it.effect.each([307, 308])(
    "F10 %d to the slash-less path of the same origin works, method and body kept",
    (status) =>
      Effect.gen(function*() {
        for (const location of [`${wire.origin}/v1/tasks/new?a=1`, "/v1/tasks/new?a=1", "new?a=1"]) {
          const { http, sent } = yield* wire.make(
            (one, request) => one.path === "/v1/tasks/tmp" ? moved(status, location) : wire.ok(one, request),
            { headers: { "x-key": "a" } }
          )
          yield* create(http)
          expect(sent.map(({ body, method, path }) => [method, path, JSON.parse(body)])).toEqual([
            ["POST", "/v1/tasks/tmp", { prompt: "private words" }],
            ["POST", "/v1/tasks/new?a=1", { prompt: "private words" }]
          ])
          expect(sent[1]?.headers["x-key"]).toBe("a")
        }
      })
  )

  it.effect.each(
    [
      ...[301, 302, 303, 304, 300].map((status) => [status, "/v1/tasks/new"] as const),
      [307, "http://evil.example/v1/tasks/tmp"] as const,
      [308, "https://localhost:8000/v1/tasks/tmp"] as const,
      [307, "http://localhost:8001/v1/tasks/tmp"] as const,
      [307, "//evil.example/v1/tasks/tmp"] as const,
      [307, "http://[/"] as const,
      [307, undefined] as const
    ]
  )("F09 F74 %d to %s is not followed", ([status, location]) =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(() => moved(status, location))
      expect(yield* wire.failure(create(http))).toMatchObject({
        _tag: "RWKVStatusError",
        status,
        description: "a redirect, which is not followed; is baseUrl right? Its path is /",
        isTransient: false
      })
      expect(sent).toHaveLength(1)
    }))

  it.effect("F74 a redirect of a redirect is not followed", () =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(({ path }) => moved(307, `${path}x`))
      expect(yield* wire.failure(http.list())).toMatchObject({ _tag: "RWKVStatusError", status: 307 })
      expect(sent).toHaveLength(2)
    }))

  it.effect("F74 fetch is told not to follow, whatever else it is told", () =>
    Effect.gen(function*() {
      const inits: Array<RequestInit | undefined> = []
      const { http } = yield* wire.make(() =>
        Effect.map(Effect.serviceOption(FetchHttpClient.RequestInit), (init) => {
          inits.push(init._tag === "Some" ? init.value : undefined)
          return wire.json(wire.info)
        })
      )
      yield* http.status(id)
      yield* http.status(id).pipe(
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "follow", keepalive: true })
      )
      expect(inits).toEqual([
        { redirect: "manual", cache: "no-store" },
        { redirect: "manual", cache: "no-store", keepalive: true }
      ])
    }))
})

const cut = (request: HttpClientError.RequestError["request"], code: string | undefined) =>
  Effect.fail(
    new HttpClientError.RequestError({
      request,
      reason: "Transport",
      cause: code === undefined ? "strange" : new Error("x", { cause: Object.assign(new Error("y"), { code }) })
    })
  )

describe("connections", () => {
  it.effect.each(
    [
      ["ECONNREFUSED", false, true],
      ["EAI_AGAIN", false, true],
      ["EHOSTUNREACH", true, true],
      ["ENETUNREACH", true, true],
      ["UND_ERR_CONNECT_TIMEOUT", false, true],
      ["ENOTFOUND", false, false],
      ["ECONNRESET", true, true],
      ["UND_ERR_SOCKET", true, true],
      ["EPIPE", true, true],
      ["HPE_INVALID_CONSTANT", true, false],
      ["EPROTO", true, false],
      ["DEPTH_ZERO_SELF_SIGNED_CERT", false, false],
      ["a secret", true, true],
      [undefined, true, true]
    ] as const
  )("F01 F02 F03 F07 %s: sent %s, retryable %s", ([code, requestSent, isTransient]) =>
    Effect.gen(function*() {
      const error = yield* failing((_, request) => cut(request, code))
      expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent, isTransient, taskId: id })
      const words = code === undefined ? ": strange" : code === "a secret" ? ": y" : `: y (${code})`
      expect(String(error)).toContain(
        `HttpClient.status: ${requestSent ? "no answer from" : "cannot connect to"} localhost:8000${words}`
      )
      expect(JSON.stringify(error)).not.toContain("secret")
      const created = yield* failing((_, request) => cut(request, code), create)
      expect(JSON.stringify(created).includes("the server may have started the task")).toBe(requestSent)
      expect(JSON.stringify(created)).not.toContain("private")
    }))

  it.effect("the limits of fetch itself are timeouts", () =>
    Effect.gen(function*() {
      for (const code of ["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]) {
        expect(yield* failing((_, request) => cut(request, code)))
          .toMatchObject({ _tag: "RWKVTimeoutError", kind: "request", limit: Duration.seconds(300) })
      }
    }))

  it.effect("what cannot be sent was not sent, and a chain of causes that bites its tail ends", () =>
    Effect.gen(function*() {
      const cause: { cause?: unknown } = {}
      cause.cause = cause
      for (const reason of ["Encode", "InvalidUrl"] as const) {
        const error = yield* failing((_, request) =>
          Effect.fail(new HttpClientError.RequestError({ request, reason, cause }))
        )
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false, isTransient: false })
      }
    }))

  it.scoped("F20 F73 a body cut half-way is a broken connection, not a shape", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make()
      const run = (call: (http: HttpClient.Service) => Effect.Effect<unknown, unknown>) =>
        Effect.gen(function*() {
          yield* emulator.inject({ kind: Emulator.FaultKind.Cut({ afterBytes: 10, clean: false }) })
          const { http } = yield* wire.over(emulator.httpClient)
          return yield* wire.failure(call(http))
        })
      const started = yield* run(create)
      expect(started).toMatchObject({ _tag: "RWKVConnectionError", code: "ECONNRESET", requestSent: true })
      expect(String(started))
        .toContain("the answer of localhost:8000 was cut off, and the server may have started the task")
      expect(yield* run((http) => http.list()))
        .toMatchObject({
          _tag: "RWKVConnectionError",
          description: expect.stringMatching(/^the answer of localhost:8000 was cut off: /)
        })
    }))
})
