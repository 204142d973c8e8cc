import { HttpClient as PlatformClient, HttpClientError, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option, Redacted, Stream } from "effect"
import type { HttpClient, RWKVConfig } from "effect-rwkv"
import * as wire from "./support/wire.js"

interface Endpoint {
  readonly name: keyof HttpClient.Service
  readonly call: (http: HttpClient.Service, options?: HttpClient.CallOptions) => Effect.Effect<unknown, unknown>
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object
  readonly stream?: boolean
}

const id = "TMP_1"
const prompt = "Hello"

const endpoints: ReadonlyArray<Endpoint> = [
  {
    name: "create",
    call: (http, options) => http.create({ prompt, maxTokens: 5 }, options),
    method: "POST",
    path: "/v1/tasks/tmp",
    body: { prompt, max_tokens: 5 }
  },
  {
    name: "create",
    call: (http, options) => http.create({ prompt, persistence: "persistent" }, options),
    method: "POST",
    path: "/v1/tasks/create",
    body: { prompt }
  },
  {
    name: "createStream",
    call: (http, options) => Stream.runCollect(http.createStream({ prompt }, options)),
    method: "POST",
    path: "/v1/tasks/tmp",
    body: { prompt, stream: true },
    stream: true
  },
  {
    name: "fim",
    call: (http, options) => http.fim({ prefix: "a", suffix: "b" }, options),
    method: "POST",
    path: "/v1/tasks/fim",
    body: { prefix: "a", suffix: "b" }
  },
  {
    name: "fimStream",
    call: (http, options) => Stream.runCollect(http.fimStream({ prefix: "a" }, options)),
    method: "POST",
    path: "/v1/tasks/fim",
    body: { prefix: "a", stream: true },
    stream: true
  },
  {
    name: "continue",
    call: (http, options) => http.continue(id, { prompt }, options),
    method: "POST",
    path: "/v1/tasks/TMP_1/continue",
    body: { prompt }
  },
  {
    name: "continueStream",
    call: (http, options) => Stream.runCollect(http.continueStream(id, { prompt }, options)),
    method: "POST",
    path: "/v1/tasks/TMP_1/continue",
    body: { prompt, stream: true },
    stream: true
  },
  {
    name: "fork",
    call: (http, options) => http.fork(id, { prompt, persistence: "temporary" }, options),
    method: "POST",
    path: "/v1/tasks/TMP_1/fork?tmp=true",
    body: { prompt }
  },
  {
    name: "forkStream",
    call: (http, options) => Stream.runCollect(http.forkStream(id, { prompt }, options)),
    method: "POST",
    path: "/v1/tasks/TMP_1/fork",
    body: { prompt, stream: true },
    stream: true
  },
  {
    name: "stream",
    call: (http, options) => Stream.runCollect(http.stream(id, options)),
    method: "GET",
    path: "/v1/tasks/TMP_1/stream",
    stream: true
  },
  {
    name: "stream",
    call: (http, options) => Stream.runCollect(http.stream(id, { ...options, fromToken: -3 })),
    method: "GET",
    path: "/v1/tasks/TMP_1/stream?pos=-3",
    stream: true
  },
  {
    name: "result",
    call: (http, options) => http.result(id, options),
    method: "GET",
    path: "/v1/tasks/TMP_1/get_result"
  },
  { name: "status", call: (http, options) => http.status(id, options), method: "GET", path: "/v1/tasks/TMP_1/status" },
  { name: "stop", call: (http, options) => http.stop(id, options), method: "POST", path: "/v1/tasks/TMP_1/stop" },
  { name: "delete", call: (http, options) => http.delete(id, options), method: "POST", path: "/v1/tasks/TMP_1/delete" },
  {
    name: "delete",
    call: (http, options) => http.delete(id, { ...options, force: true }),
    method: "POST",
    path: "/v1/tasks/TMP_1/delete?force=true"
  },
  {
    name: "asTemplate",
    call: (http, options) => http.asTemplate(id, options),
    method: "POST",
    path: "/v1/tasks/TMP_1/as_template"
  },
  { name: "list", call: (http, options) => http.list(options), method: "GET", path: "/v1/tasks/list" },
  { name: "models", call: (http, options) => http.models(options), method: "GET", path: "/v1/models" }
]

const respond = (stream: boolean | undefined): wire.Respond => (sent, request) =>
  stream === true ? wire.events("[DONE]") : wire.ok(sent, request)

describe("requests", () => {
  it.effect.each(endpoints)(
    "$name sends $method $path",
    ({ body, call, method, path, stream }) =>
      Effect.gen(function*() {
        const { http, sent } = yield* wire.make(respond(stream), {
          baseUrl: "http://gpu:9000/api/",
          apiKey: Redacted.make("sk-1234"),
          headers: { "X-Team": "red" }
        })
        yield* call(http)
        expect(sent).toHaveLength(1)
        const [request] = sent
        expect(request?.method).toBe(method)
        expect(request?.url).toBe(`http://gpu:9000/api${path}`)
        expect(request?.body === "" ? undefined : JSON.parse(request?.body ?? "")).toEqual(body)
        // F80: no b3, no traceparent; F76: no accept-encoding.
        expect(request?.headers).toEqual({
          accept: stream === true ? "text/event-stream" : "application/json",
          authorization: "Bearer sk-1234",
          "x-team": "red",
          ...(body === undefined ? {} : {
            "content-type": "application/json",
            "content-length": String(request?.body.length)
          })
        })
      }).pipe(Effect.withSpan("traced"))
  )

  it.effect("every endpoint of the service is in the table above", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(wire.ok)
      expect(new Set(endpoints.map(({ name }) => name))).toEqual(new Set(Object.keys(http)))
    }))

  it.effect.each(endpoints)(
    "an error of $name ($path) names it, or the operation it is part of",
    ({ call, name }) =>
      Effect.gen(function*() {
        const { http } = yield* wire.make(() => new Response("busy", { status: 503 }))
        expect(yield* wire.failure(call(http)))
          .toMatchObject({ _tag: "RWKVServerError", operation: `HttpClient.${name}` })
        expect(yield* wire.failure(call(http, { operation: "TaskService.run" })))
          .toMatchObject({ _tag: "RWKVServerError", operation: "TaskService.run" })
        const { http: unreachable } = yield* wire.make((_, request) => wire.broken(request, "ECONNRESET"))
        expect(yield* wire.failure(call(unreachable)))
          .toMatchObject({ _tag: "RWKVConnectionError", operation: `HttpClient.${name}` })
      })
  )

  it.effect("transformClient sees the request as it is sent, and may change it", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const options: RWKVConfig.Options = {
        headers: { "x-team": "red" },
        transformClient: (client) =>
          client.pipe(
            PlatformClient.mapRequest(HttpClientRequest.setHeader("x-more", "1")),
            PlatformClient.tapRequest((request) => Effect.sync(() => seen.push(request.headers["x-team"] ?? "")))
          )
      }
      const { http, sent } = yield* wire.make(wire.ok, options)
      yield* http.status(id)
      expect(sent[0]?.headers["x-more"]).toBe("1")
      expect(seen).toEqual(["red"])
    }))

  it.effect("a transformClient that fails for statuses changes no error", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => wire.json({ detail: "Task not found" }, 404), {
        transformClient: PlatformClient.filterStatusOk
      })
      expect(yield* wire.failure(http.status(id))).toMatchObject({ _tag: "TaskNotFoundError", taskId: id })
    }))

  it.effect("a transformClient that fails for other reasons is a broken connection", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(wire.ok, {
        transformClient: PlatformClient.transformResponse(Effect.flatMap((response) =>
          Effect.fail(new HttpClientError.ResponseError({ request: response.request, response, reason: "Decode" }))
        ))
      })
      expect(yield* wire.failure(http.status(id))).toMatchObject({ _tag: "RWKVConnectionError", isTransient: true })
    }))
})

const badIds = [
  "",
  ".",
  "..",
  "../models",
  "a/b",
  "a\\b",
  "a?force=true",
  "a#b",
  "%2e%2e",
  "a b",
  "a\r\nb",
  "\u0000",
  "\ud800",
  "ä",
  "x".repeat(100_000),
  null,
  undefined,
  5,
  {},
  []
]

describe("ids", () => {
  it.effect.each(badIds)("F69 %# is no id: refused everywhere, and nothing is sent", (bad) =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(wire.ok)
      const taskId = wire.untyped(bad)
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        http.continue(taskId, { prompt }),
        Stream.runDrain(http.continueStream(taskId, { prompt })),
        http.fork(taskId, { prompt }),
        Stream.runDrain(http.forkStream(taskId, { prompt })),
        Stream.runDrain(http.stream(taskId)),
        http.result(taskId),
        http.status(taskId),
        http.stop(taskId),
        http.delete(taskId),
        http.asTemplate(taskId)
      ]
      for (const call of calls) {
        const error = yield* wire.failure(call)
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client", issues: [{ path: "taskId" }] })
        expect(String(error).length).toBeLessThan(1024)
      }
      expect(sent).toEqual([])
    }))

  it.effect.each(["~", "-", "...", "a.b", "TMP_1-~.x"])("%s stays one path segment", (good) =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(wire.ok)
      yield* http.status(good)
      expect(sent.map(({ path }) => path)).toEqual([`/v1/tasks/${good}/status`])
    }))

  it.effect.each([Number.NaN, Infinity, 1.5, 2 ** 60, "5", null, {}])(
    "fromToken %j is refused",
    (fromToken) =>
      Effect.gen(function*() {
        const { http, sent } = yield* wire.make(wire.ok)
        const options = fromToken === null ? wire.untyped({ fromToken: "" }) : wire.untyped({ fromToken })
        expect(yield* wire.failure(Stream.runDrain(http.stream(id, options))))
          .toMatchObject({
            _tag: "RWKVValidationError",
            issues: [{ path: "fromToken", message: "must be an integer" }]
          })
        expect(sent).toEqual([])
      })
  )

  it.effect("H2 a stream of nothing is refused: the server would never end it", () =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make(wire.ok)
      expect(yield* wire.failure(Stream.runDrain(http.createStream({ prompt, maxTokens: 0 }))))
        .toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "maxTokens" }] })
      expect(sent).toEqual([])
      yield* http.create({ prompt, maxTokens: 0 })
      expect(sent).toHaveLength(1)
    }))
})

describe("answers", () => {
  it.effect("each endpoint's answer is decoded", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(wire.ok)
      expect(yield* http.create({ prompt })).toMatchObject({ taskId: id, prefillTime: Duration.millis(500) })
      expect(yield* http.status(id)).toEqual({ taskId: id, status: "Finished", generatedTokens: 5 })
      expect(yield* http.stop(id)).toEqual(Option.some({ taskId: id, status: "Finished", generatedTokens: 5 }))
      expect(yield* http.list()).toMatchObject({ totalCount: 3 })
      expect(yield* http.models()).toEqual([{ id: "rwkv-7", created: 1795392104, ownedBy: "rwkv" }])
    }))

  it.effect.each(["", "null", "{}", "<html>", "{\"ok\":true}"])(
    "F21 stop and delete accept any 2xx body: %j",
    (body) =>
      Effect.gen(function*() {
        const { http } = yield* wire.make(() => wire.text(body, body === "" ? 204 : 200))
        expect(yield* http.stop(id)).toEqual(Option.none())
        expect(yield* http.delete(id, { force: true })).toEqual(Option.none())
      })
  )
})
