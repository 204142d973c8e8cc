import { FetchHttpClient, HttpClient, HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema, Stream } from "effect"
import { RWKV, type RWKVConfig, RWKVError, StreamService, TaskService } from "effect-rwkv"
import { inspect } from "node:util"
import {
  against,
  byBoth,
  count,
  FaultKind,
  inject,
  long,
  onText,
  openStreams,
  request,
  says,
  textOf
} from "../support/program.js"
import { maybeMade, neverMade, thrown } from "../support/causes.js"
import * as Tcp from "../support/tcp.js"

const status = TaskService.status(Tcp.id)
const on = (path: string, kind: Parameters<typeof inject>[0]["kind"], times = 1) =>
  inject({ on: { path }, times, kind })

describe("connecting", () => {
  it.effect("F01 connection refused: read", () =>
    Effect.gen(function*() {
      yield* on("/list", FaultKind.Refuse(), 3)
      expect(yield* TaskService.list).toBeDefined()
      yield* on("/list", FaultKind.Refuse(), Infinity)
      const error = yield* Effect.flip(TaskService.list)
      expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false, code: "ECONNREFUSED" })
    }).pipe(against()))

  byBoth("F01 connection refused: create", (transport) =>
    Effect.gen(function*() {
      yield* on("/tmp", FaultKind.Refuse(), Infinity)
      expect(yield* Effect.flip(textOf(transport))).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
      expect(yield* Effect.flip(TaskService.create(request))).toMatchObject({ _tag: "RWKVConnectionError" })
      expect(yield* count("POST tmp")).toBe(0)
    }).pipe(against(says(long))))

  Tcp.overBoth("F01 nobody listens", (http) =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(Tcp.serve(Tcp.task("")))
      for (const effect of [status, TaskService.run(request), Stream.mkString(StreamService.create(request))]) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect)).pipe(
          Tcp.client(gone, http)
        )
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false, code: "ECONNREFUSED" })
      }
    }))

  Tcp.overBoth("F02 host does not resolve", (http) =>
    Effect.gen(function*() {
      const nowhere = { ...(yield* Tcp.serve(Tcp.task(""))), baseUrl: "http://no-such-host.invalid:8123" }
      const error = yield* Effect.flip(status).pipe(Tcp.client(nowhere, http))
      expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
      expect(error.message).toContain("no-such-host.invalid:8123")
    }))

  it.effect("F02 is asked for once", () =>
    Effect.gen(function*() {
      let attempts = 0
      const http = HttpClient.make((request) => {
        attempts++
        const cause = Object.assign(new Error("getaddrinfo"), { code: "ENOTFOUND" })
        return Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause }))
      })
      const layer = RWKV.layer().pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))
      expect(yield* Effect.flip(Effect.provide(status, layer))).toMatchObject({ code: "ENOTFOUND" })
      expect(attempts).toBe(1)
    }))

  const through = (fetch: () => Promise<Response>, options: RWKVConfig.Options = {}) =>
    Effect.provide(
      RWKV.layer({ retry: Tcp.quickly, ...options }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch))
      )
    )

  for (
    const [made, told, description] of [
      ["never made", neverMade, /^cannot connect to localhost:8000: /],
      ["not known to be made", maybeMade, /^no answer from localhost:8000, and the server may have started the task: /]
    ] as const
  ) {
    for (const [what, cause, words, isTransient] of told) {
      it.live(`F94 a connection ${made}: ${what}`, () =>
        Effect.gen(function*() {
          let attempts = 0
          const fetch = () => {
            attempts++
            return Promise.reject(cause)
          }
          for (const effect of [TaskService.create(request), TaskService.run(request), textOf("direct")]) {
            attempts = 0
            const error = yield* Effect.flip(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(effect))
              .pipe(through(fetch))
            const requestSent = made !== "never made"
            expect(error).toMatchObject({
              _tag: "RWKVConnectionError",
              requestSent,
              isTransient,
              isSafeToRepeat: !requestSent,
              description: expect.stringMatching(description),
              cause: { message: expect.stringContaining(words) }
            })
            expect(error.message).toContain(words)
            expect(error.message).not.toMatch(/\n|verbose: true|error sending request/)
            expect(attempts).toBe(isTransient && !requestSent ? 4 : 1)
          }
        }))
    }
  }

  for (
    const [what, cause, requestSent] of [
      ["that is missing", thrown("ReferenceError", "AbortController is not defined"), false],
      ["that is unlike others", thrown("TypeError", "Cannot read properties of undefined (reading 'body')"), true]
    ] as const
  ) {
    for (
      const [how, client] of [
        [
          "throws",
          HttpClient.make(() => {
            throw cause
          })
        ],
        ["dies", HttpClient.make(() => Effect.die(cause))]
      ] as const
    ) {
      it.live(`F94 a layer ${how} for want of something ${what}`, () =>
        Effect.gen(function*() {
          for (const effect of [TaskService.create(request), TaskService.status(Tcp.id), textOf("direct")]) {
            const error = yield* Effect.flip(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(effect)).pipe(
              Effect.provide(RWKV.layer().pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client))))
            )
            expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent, isTransient: false })
            expect(error.message).toContain(cause.message)
          }
        }))
    }
  }

  it.live("F94 the words of a cause show no secret, no prompt and no credentials, and its getters may throw", () =>
    Effect.gen(function*() {
      const hidden = Object.defineProperty(new Error("unseen"), "code", {
        get: () => {
          throw new Error("mine")
        }
      })
      const words = `via http://me:word@proxy with sk-12345 and ${request.prompt} this story\nat length`
      for (
        const cause of [
          new Error(words, { cause: hidden }),
          thrown("a name\n", words, { code: "SK_12345", cause: 5, errors: [null, undefined] }),
          thrown("Error", words, { headers: { authorization: "Bearer sk-12345" }, body: request.prompt })
        ]
      ) {
        const error = yield* Effect.flip(TaskService.create({ ...request, prompt: "Tell me this story" })).pipe(
          through(() => Promise.reject(cause), {
            headers: { "x-key": Redacted.make("sk-12345"), "x-code": "SK_12345" }
          })
        )
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true })
        for (const printed of [error.message, JSON.stringify(error), inspect(error, { depth: 9 })]) {
          expect(printed).not.toMatch(/12345|word@|this story/)
        }
        const again = yield* Effect.flatMap(
          Schema.encode(RWKVError.RWKVError)(error),
          (json) => Schema.decodeUnknown(RWKVError.RWKVError)(JSON.parse(JSON.stringify(json)))
        )
        expect(again.message).toBe(error.message)
      }
    }))

  Tcp.overBoth("F03 accepted, then reset before any response byte", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("text", {
        status: (_, index) => index < 2 ? [Tcp.reset] : Tcp.json(Tcp.infoOf(3)),
        tmp: () => [Tcp.reset]
      }))
      expect((yield* status.pipe(Tcp.client(server, http))).status).toBe("Finished")
      for (const transport of ["direct", "subscribe"] as const) {
        const before = server.requests.length
        const stream = Stream.mkString(StreamService.create(request, { transport }))
        const error = yield* Effect.flip(stream).pipe(Tcp.client(server, http))
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true })
        expect(server.requests.slice(before).map(({ path }) => path)).toEqual(["/v1/tasks/tmp"])
      }
    }))

  it.effect("F04 accepted, never answers", () =>
    Effect.gen(function*() {
      yield* on("/", FaultKind.Hang({ executed: false }), Infinity)
      for (
        const effect of [
          status,
          TaskService.create(request),
          textOf("direct"),
          Stream.mkString(StreamService.subscribe(Tcp.id))
        ]
      ) {
        const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
        expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "request" })
        // A subscription asks for 5 seconds more whether its task is queued or moves.
        expect((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun).toBeLessThanOrEqual(25_000)
      }
    }).pipe(against({}, { requestTimeout: "20 seconds" })))

  for (
    const [row, steps] of [
      ["F04 the socket is closed", [Tcp.hang]],
      ["F05 headers, then a body that never ends", [
        Tcp.write(Tcp.head("200 OK", { "content-type": "application/json", "content-length": 100 })),
        Tcp.write("{"),
        Tcp.hang
      ]]
    ] as const
  ) {
    Tcp.overBoth(row, (http) =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(() => steps)
        const error = yield* Effect.flip(status).pipe(Tcp.client(server, http, { requestTimeout: "50 millis" }))
        expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "request" })
        expect(yield* Tcp.eventually(() => server.sockets() === 0)).toBe(true)
      }))
  }

  byBoth("F05 a stream whose headers alone came obeys the idle timeout", (transport) =>
    Effect.gen(function*() {
      yield* inject({ on: onText(transport), kind: FaultKind.Stall({ afterBytes: 0 }) })
      const either = yield* Effect.either(textOf(transport))
      // Without the head of a direct stream nobody knows the task.
      expect(either).toMatchObject(
        transport === "direct" ? { left: { _tag: "RWKVTimeoutError", kind: "request" } } : { right: long }
      )
      expect(yield* openStreams).toBe(0)
    }).pipe(against(says(long))))

  Tcp.overBoth("F06 pooled socket closed by the server just before reuse", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("", {
        status: (_, index) => [...Tcp.json(Tcp.infoOf(3)), ...(index % 2 === 0 ? [Tcp.wait(15), Tcp.end] : [])],
        tmp: () => Tcp.json(Tcp.resultOf("", false))
      }))
      yield* Effect.gen(function*() {
        for (let i = 0; i < 30; i++) {
          expect((yield* status).status).toBe("Finished")
          yield* Effect.sleep(13 + i % 5)
        }
        yield* status
        yield* Effect.sleep(15)
        const before = server.requests.length
        const created = yield* Effect.either(TaskService.create(request))
        const creates = server.requests.slice(before).length
        expect(creates).toBeLessThanOrEqual(1)
        if (created._tag === "Left") expect(created.left._tag).toBe("RWKVConnectionError")
      }).pipe(Tcp.client(server, http))
    }))

  for (
    const [what, bytes] of [
      ["TLS", new Uint8Array([0x15, 3, 1, 0, 2, 2, 70])],
      ["garbage", "220 mail.example ESMTP\r\n"],
      ["a bad status line", "HTTP/1.1 abc\r\n\r\n"]
    ] as const
  ) {
    Tcp.overBoth(`F07 ${what} instead of HTTP`, (http) =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(() => [Tcp.write(bytes), Tcp.end])
        for (const effect of [status, TaskService.create(request)]) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect)).pipe(
            Tcp.client(server, http)
          )
          expect(error).toMatchObject({ _tag: "RWKVConnectionError" })
        }
        expect(server.requests.filter(({ method }) => method === "POST")).toHaveLength(1)
      }))
  }

  const bad = ["localhost:8000", "my host", "http://a b", "ftp://host", "", "http://", "//host", "http://host:99999"]
  for (const baseUrl of bad) {
    it.effect(`F08 bad baseUrl ${JSON.stringify(baseUrl)}`, () =>
      Effect.gen(function*() {
        const options: RWKVConfig.Options = { baseUrl }
        const error = yield* Effect.flip(Layer.build(RWKV.layerFetch(options)).pipe(Effect.scoped))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client", issues: [{ path: "baseUrl" }] })
      }))
  }

  for (const code of ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"]) {
    Tcp.overBoth(`F09 ${code} to another origin`, (http) =>
      Effect.gen(function*() {
        const other = yield* Tcp.serve(() => Tcp.json({}))
        const server = yield* Tcp.serve(() => Tcp.answer(code, "", { location: `${other.baseUrl}/v1/tasks/list` }))
        const headers = { "x-api-key": "a secret" }
        for (const effect of [status, TaskService.create(request), textOf("direct"), textOf("subscribe")]) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect)).pipe(
            Tcp.client(server, http, { headers })
          )
          expect(error).toMatchObject({ _tag: "RWKVStatusError" })
        }
        expect([other.requests.length, server.requests.length]).toEqual([0, 4])
      }))
  }

  Tcp.overBoth("F10 307 to the slash-less path of the same origin", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve((request, index) =>
        request.path.endsWith("/elsewhere")
          ? Tcp.task("moved", {})({ ...request, path: "/v1/tasks/tmp" }, index)
          : request.path.endsWith("/tmp")
          ? Tcp.answer("307 Temporary Redirect", "", { location: "/elsewhere" })
          : Tcp.task("moved")(request, index)
      )
      for (const transport of ["direct", "subscribe"] as const) {
        expect(yield* textOf(transport).pipe(Tcp.client(server, http))).toBe("moved")
      }
      expect(server.requests.filter(({ path }) => path === "/elsewhere")).toHaveLength(2)
    }))
})
