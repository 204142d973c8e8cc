import { HttpApp, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Predicate, Stream } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"
import { type Answer, standIn } from "../../support/emulator.js"

const { FaultKind } = Emulator

const served = (options: Emulator.Options = {}) =>
  Emulator.layerServer({ reply: standIn, pulse: 5, pollInterval: 5, ...options }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

const base = HttpServer.addressWith((address) =>
  Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "")
)

const codeOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "code")) return String(error.code)
  return Predicate.hasProperty(error, "cause") ? codeOf(error.cause) : String(error)
}

const call = (path: string, body?: unknown) =>
  Effect.flatMap(base, (base) =>
    Effect.tryPromise({
      try: (signal) =>
        fetch(base + path, {
          signal,
          ...(body === undefined ? {} : {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify(body)
          })
        }),
      catch: codeOf
    }))

const text = (response: Response) => Effect.tryPromise({ try: () => response.text(), catch: codeOf })

const json = (response: Response) => Effect.map(text(response), (text): Answer => JSON.parse(text))

describe("httpApp behind a web handler", () => {
  const handler = Effect.map(
    Emulator.make({ reply: standIn, pulse: 5 }),
    (emulator) => ({ emulator, handle: HttpApp.toWebHandler(emulator.httpApp) })
  )

  const result = (
    handle: (request: Request) => Promise<Response>,
    kind: Emulator.FaultKind,
    emulator: Emulator.Service
  ) =>
    Effect.gen(function*() {
      yield* emulator.inject({ kind })
      const request = new Request("http://localhost/v1/tasks/list")
      const response = yield* Effect.tryPromise({ try: () => handle(request), catch: codeOf })
      return yield* text(response)
    })

  it.live("answers, and faults fail the body", () =>
    Effect.scoped(Effect.gen(function*() {
      const { emulator, handle } = yield* handler
      const split = yield* result(handle, FaultKind.Split({ size: 7 }), emulator)
      expect(JSON.parse(split)).toMatchObject({ total_count: 0 })
      for (const kind of [FaultKind.Refuse(), FaultKind.Cut({ afterBytes: 3, clean: true })]) {
        expect(yield* Effect.flip(result(handle, kind, emulator))).toContain("ECONNRESET")
      }
    })))
})

describe("CORS", () => {
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    Effect.flatMap(
      base,
      (base) =>
        Effect.promise(() => fetch(base + path, { method, headers: { origin: "http://page.example", ...headers } }))
    )

  it.live("answers preflights without telling the server, and lets pages read answers, streams and errors", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const preflight = yield* ask("OPTIONS", "/v1/tasks/tmp", {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type"
      })
      expect(preflight.status).toBe(204)
      expect(preflight.headers.get("access-control-allow-origin")).toBe("*")
      expect(preflight.headers.get("access-control-allow-methods")).toContain("POST")
      expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization,content-type")
      expect(yield* emulator.requests).toEqual([])
      yield* emulator.inject({ on: { path: "/models" }, kind: FaultKind.Status({ status: 500 }) })
      const created = yield* call("/v1/tasks/tmp", { prompt: "Hi", max_tokens: 2 })
      const { task_id: id } = yield* json(created)
      for (const path of [`/v1/tasks/${id}/stream`, "/v1/tasks/list", "/v1/models", "/nowhere", "/v1/tasks/T/status"]) {
        const response = yield* ask("GET", path)
        yield* text(response)
        expect([path, response.headers.get("access-control-allow-origin")]).toEqual([path, "*"])
        expect(response.headers.get("access-control-expose-headers")).toContain("retry-after")
      }
    }).pipe(Effect.provide(served({ cors: true }))))

  it.live("is off by default, as on the real server", () =>
    Effect.gen(function*() {
      const preflight = yield* ask("OPTIONS", "/v1/tasks/tmp", { "access-control-request-method": "POST" })
      expect(preflight.status).toBe(405)
      const response = yield* ask("GET", "/v1/tasks/list")
      expect(response.headers.get("access-control-allow-origin")).toBeNull()
    }).pipe(Effect.provide(served())))
})

describe("layerServer on Node", () => {
  it.live("answers over a real socket with the headers of the real server", () =>
    Effect.gen(function*() {
      const response = yield* call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 70, stream: true })
      expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
      expect(response.headers.get("cache-control")).toBe("no-cache")
      expect(response.headers.get("x-accel-buffering")).toBe("no")
      const payload = yield* text(response)
      expect(payload.match(/"data":"[a-z]+"/g)).toHaveLength(3)
      expect(payload.endsWith("data: [DONE]\n\n")).toBe(true)
      const missing = yield* call("/v1/tasks/a%2Fb/status")
      expect([missing.status, yield* text(missing)]).toEqual([404, "{\"detail\":\"Not Found\"}"])
      const list = yield* call("/v1/tasks/list/")
      expect([list.status, list.redirected]).toEqual([200, true])
    }).pipe(Effect.provide(served())))

  it.live("H8 headers of a stream that has nothing to say yet come at once", () =>
    Effect.gen(function*() {
      const made = yield* Effect.flatMap(call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 70 }), json)
      const response = yield* call(`/v1/tasks/${made.task_id}/stream`)
      expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
      yield* Effect.promise(() => response.body?.cancel() ?? Promise.resolve())
    }).pipe(Effect.provide(served({ pulse: "1 hour" }))))

  it.live("a 500 is followed by the end of its connection", () =>
    Effect.gen(function*() {
      const response = yield* call("/v1/tasks/tmp", { prompt: "" })
      expect([response.status, yield* text(response)]).toEqual([500, "Internal Server Error"])
      expect(response.headers.get("connection")).not.toBe("close")
      yield* Effect.sleep(20)
      expect((yield* call("/v1/models")).status).toBe(200)
    }).pipe(Effect.provide(served())))

  it.live("Refuse and Reset reset the connection without an answer", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({ kind: FaultKind.Refuse() })
      expect(yield* Effect.flip(call("/v1/models"))).toBe("ECONNRESET")
      expect(yield* emulator.requests).toHaveLength(0)
      yield* emulator.inject({ kind: FaultKind.Reset({ executed: true }) })
      expect(yield* Effect.flip(call("/v1/tasks/tmp", { prompt: "a" }))).toBe("ECONNRESET")
      expect(yield* emulator.tasks).toHaveLength(1)
    }).pipe(Effect.provide(served())))

  it.live("Cut breaks streams and fixed bodies, a clean cut ends streams well", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const made = yield* Effect.flatMap(call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 70 }), json)
      yield* Effect.sleep(50)
      yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 40, clean: false }) })
      const cut = yield* call(`/v1/tasks/${made.task_id}/stream`)
      expect(yield* Effect.flip(text(cut))).toBe("UND_ERR_SOCKET")
      yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 40, clean: true }) })
      const clean = yield* call(`/v1/tasks/${made.task_id}/stream`)
      expect(yield* text(clean)).toHaveLength(40)
      for (const clean of [false, true]) {
        yield* emulator.inject({ kind: FaultKind.Cut({ afterBytes: 40, clean }) })
        const fixed = yield* call(`/v1/tasks/${made.task_id}/get_result`)
        expect(yield* Effect.flip(text(fixed))).toBe("UND_ERR_SOCKET")
      }
      expect(yield* emulator.openStreams).toBe(0)
    }).pipe(Effect.provide(served())))

  it.live("a client that goes away closes its stream, and the task runs on", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const response = yield* call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 2000, stream: true })
      const body = response.body
      if (body === null) return yield* Effect.dieMessage("no body")
      const first = yield* Stream.fromReadableStream(() => body, codeOf).pipe(Stream.take(1), Stream.runCollect)
      expect(Chunk.size(first)).toBe(1)
      yield* Effect.sleep(50)
      expect(yield* emulator.openStreams).toBe(0)
      expect(yield* emulator.running).toBe(1)
    }).pipe(Effect.provide(served())))

  it.live("a restart cuts open streams", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const response = yield* call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 40000, stream: true })
      yield* Effect.fork(Effect.delay(emulator.restart("kill"), 50))
      expect(yield* Effect.flip(text(response))).toBe("UND_ERR_SOCKET")
    }).pipe(Effect.provide(served())))

  it.live("F99 a shutdown serves a stream, refuses connections, and a restart takes them again", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const response = yield* call("/v1/tasks/tmp", { prompt: [60000, 50], max_tokens: 600, stream: true })
      const down = yield* Effect.fork(emulator.shutdown)
      yield* Effect.sleep(20)
      expect(yield* Effect.flip(call("/v1/models"))).toBe("ECONNREFUSED")
      expect((yield* text(response)).endsWith("data: [DONE]\n\n")).toBe(true)
      yield* down
      expect(yield* Effect.flip(call("/v1/models"))).toBe("ECONNREFUSED")
      yield* emulator.restart("graceful")
      expect((yield* call("/v1/models")).status).toBe(200)
    }).pipe(Effect.provide(served())))

  it.live("a prompt of 10 MB is read", () =>
    Effect.gen(function*() {
      const response = yield* call("/v1/tasks/tmp", { prompt: "x".repeat(11 * 1024 * 1024), max_tokens: 1 })
      expect(response.status).toBe(200)
      yield* text(response)
    }).pipe(Effect.provide(served())))
})
