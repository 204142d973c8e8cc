import { HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, LogLevel, Redacted, Stream } from "effect"
import { type HttpClient, RWKVConfig } from "effect-rwkv"
import { inspect } from "node:util"
import { reach } from "../support/reach.js"
import * as Tracing from "../support/tracing.js"
import * as wire from "../support/wire.js"

const key = "sk-\"9f3a\\77c1\"-end"
const header = "  hush hush\t9f3a "
const long = `${key}-and-more`
const prompt = "a private prompt"

const pretty = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.match(exit, { onFailure: (cause) => Cause.pretty(cause, { renderErrorCause: true }), onSuccess: () => "" })

/** What tracers export: names, attributes, events, and failures as text; and all that can be found in how a span ends. */
const exported = ({ spans, told }: ReturnType<typeof Tracing.make>): ReadonlyArray<unknown> => [
  ...told,
  ...spans.flatMap(({ exit }) => exit === undefined ? [] : [pretty(exit), ...reach(exit)])
]

const moved = (location: string) => new Response(null, { status: 307, headers: { location } })

/** The answers of a proxy that repeats what it was sent, and of the server's own failures. */
const answers: ReadonlyArray<readonly [name: string, respond: wire.Respond]> = [
  ["all is well", wire.ok],
  ["401 repeats the headers", ({ headers }) => wire.json({ detail: `bad ${headers["authorization"]}` }, 401)],
  ["401 repeats them as JSON", ({ headers }) => wire.json({ detail: headers }, 401)],
  ["401 repeats them as text", ({ headers }) => wire.text(`${headers["x-key"]}|${headers["x-long"]}`, 401)],
  [
    "401 repeats them in its own headers",
    ({ headers }) =>
      wire.json({}, 401, { "x-echo": headers["authorization"] ?? "", "x-other": headers["x-long"] ?? "" })
  ],
  [
    "422 repeats them",
    ({ headers }) =>
      wire.json({
        detail: [{ loc: ["body", headers["x-long"]], msg: `no ${headers["authorization"]}`, input: prompt }]
      }, 422)
  ],
  ["422 repeats the body", ({ body, headers }) => wire.text(headers["x-long"] + body, 422)],
  ["500 repeats them", ({ headers }) => wire.text(JSON.stringify(headers), 500)],
  [
    "302 repeats them",
    ({ headers }) =>
      new Response(null, { status: 302, headers: { location: `/?key=${encodeURIComponent(headers["x-long"] ?? "")}` } })
  ],
  [
    "200 is of another shape",
    ({ headers }) => wire.json({ ...wire.created, task_id: headers["x-long"], status: key, generated_buf: key })
  ],
  ["200 is no JSON", ({ headers }) => wire.text(`{${headers["x-long"]}`)],
  [
    "a frame repeats them",
    ({ headers }) => wire.events(JSON.stringify({ error: `bad\n${headers["x-long"]} ${headers["authorization"]}` }))
  ],
  ["a frame is no JSON", ({ headers }) => wire.events(headers["x-long"] ?? "")],
  [
    "307 repeats the key in a query",
    ({ headers }) => moved(`/v1/other?key=${encodeURIComponent(headers["x-long"] ?? "")}`)
  ],
  [
    "308 repeats a header in a path, as a form would",
    ({ headers }) =>
      moved(`/${(headers["x-long"] ?? "").replace(/[^a-z0-9-]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`)
  ],
  ["307 repeats the body in a query", ({ body }) => moved(`/v1/other?${new URLSearchParams({ q: body }).toString()}`)],
  ["307 leads to a path that is no escape", () => moved("/%E0%A4%A?private")],
  ["the connection breaks", (_, request) => wire.broken(request, "ECONNRESET")],
  ["the connection quotes them", ({ headers }, request) =>
    Effect.fail(
      new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: new TypeError(`Headers.append: "${headers["x-long"]}" is an invalid header value.`)
      })
    )]
]

const calls: ReadonlyArray<(http: HttpClient.Service) => Effect.Effect<unknown, unknown>> = [
  (http) => http.create({ prompt }),
  (http) => http.status("TMP_1"),
  (http) => Stream.runCollect(http.createStream({ prompt }))
]

const headers = { "X-Key": header, "X-Long": Redacted.make(long) }

/** By the configuration, or by an override around the call. */
const given = [
  ["for all calls", { apiKey: Redacted.make(key), headers }, {}],
  ["for one call", {}, { headers: { ...headers, authorization: Redacted.make(`Bearer ${key}`) } }]
] as const

const hostile = answers.flatMap(([name, respond]) =>
  given.map(([when, config, override]) => [when, config, override, name, respond] as const)
)

describe("secrets", () => {
  it.effect.each(hostile)(
    "F71 F112 neither a key that is given %s nor the prompt is in errors, logs, spans or causes: $3",
    ([, config, override, , respond]) =>
      Effect.gen(function*() {
        const tracing = Tracing.make()
        const logged: Array<string> = []
        const logger = Logger.make((options) => {
          logged.push(Logger.logfmtLogger.log(options), Logger.jsonLogger.log(options))
        })
        const { http, sent } = yield* wire.make(respond, config)
        for (const call of calls) {
          const exit = yield* call(http).pipe(
            RWKVConfig.withConfigOverride(override),
            Effect.tapErrorCause((cause) => Effect.logError("failed", cause)),
            Effect.withSpan("call"),
            Effect.exit,
            tracing.traced,
            Effect.withTracerEnabled(true),
            Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
            Logger.withMinimumLogLevel(LogLevel.All)
          )
          const error: unknown = Exit.match(exit, { onFailure: Cause.squash, onSuccess: (value) => value })
          const printed = [
            String(error),
            JSON.stringify(error),
            inspect(error, { depth: 9, showHidden: true }),
            String(exit),
            JSON.stringify(exit),
            inspect(exit, { depth: 9 }),
            Exit.match(exit, { onFailure: Cause.pretty, onSuccess: String }),
            ...logged,
            ...exported(tracing).map((one) => inspect(one, { depth: 9 }))
          ].join("\n")
          for (const secret of ["9f3a", "77c1", "hush", "-and-more", "private"]) expect(printed).not.toContain(secret)
          if (error instanceof Error) expect(error.message).not.toContain("\n")
        }
        expect(sent[0]?.headers).toMatchObject({ authorization: `Bearer ${key}`, "x-key": header, "x-long": long })
        expect(tracing.told.length).toBeGreaterThan(10)
      })
  )

  it.effect("F112 the platform's spans end as they did, in words", () =>
    Effect.gen(function*() {
      const { spans, traced } = Tracing.make()
      for (
        const respond of [
          wire.ok,
          answers.find(([name]) => name === "the connection quotes them")?.[1] ?? wire.ok
        ]
      ) {
        const { http } = yield* wire.make(respond, { apiKey: Redacted.make(key) })
        yield* Effect.exit(http.status("TMP_1")).pipe(traced, Effect.withTracerEnabled(true))
      }
      expect(spans.map(({ exit }) => exit)).toEqual([Exit.void, Exit.fail("RequestError: Transport")])
    }))

  it.effect("spans keep the headers that tell nothing of anyone", () =>
    Effect.gen(function*() {
      const tracing = Tracing.make()
      const { http } = yield* wire.make(() => wire.json(wire.info, 200, { "x-other": "other" }), {
        headers: { accept: "a secret" }
      })
      yield* http.status("TMP_1").pipe(tracing.traced, Effect.withTracerEnabled(true))
      yield* http.status("TMP_1").pipe(
        RWKVConfig.withConfigOverride({ headers: { accept: "another secret", Allow: "a third secret" } }),
        tracing.traced,
        Effect.withTracerEnabled(true)
      )
      const told = exported(tracing)
      expect(told).toContain("application/json")
      expect(told).not.toContain("other")
      for (const secret of ["a secret", "another secret", "a third secret"]) expect(told).not.toContain(secret)
    }))
})
