import { HttpClient as PlatformClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Context, Duration, Effect, Exit, Layer, Redacted } from "effect"
import { Polling, RWKV, RWKVConfig, RWKVError } from "effect-rwkv"
import { inspect } from "node:util"
import * as wire from "./support/wire.js"

const refused = (options: unknown) =>
  Effect.gen(function*() {
    const error = yield* wire.failure(RWKVConfig.make(wire.untyped(options)))
    expect(error).toBeInstanceOf(RWKVError.RWKVValidationError)
    expect(error).toMatchObject({ operation: "RWKVConfig.make", source: "client", isTransient: false })
    expect(error.message).not.toContain("\n")
    return error
  })

describe("defaults", () => {
  it.effect("everything has one", () =>
    Effect.gen(function*() {
      const config = yield* RWKVConfig.make()
      expect(config.baseUrl).toBe("http://localhost:8000")
      expect(Redacted.value(config.headers)).toEqual({})
      expect(Duration.toSeconds(config.requestTimeout)).toBe(120)
      expect(config.defaults).toEqual({})
      expect(config.retry).toBe(Polling.retrySchedule)
      expect(config.maxResponseSize).toBe(32 * 1024 * 1024)
      expect(config.maxFrameSize).toBe(8 * 1024 * 1024)
      const { client } = wire.platform(wire.ok)
      expect(config.transformClient(client)).toBe(client)
      expect(yield* RWKVConfig.make({ baseUrl: undefined, headers: undefined, retry: undefined }))
        .toMatchObject({ baseUrl: config.baseUrl, retry: config.retry })
    }))

  it.effect("generation defaults are checked by the rules of a create", () =>
    Effect.gen(function*() {
      expect((yield* RWKVConfig.make({ defaults: { maxTokens: 0, topK: -1 } })).defaults)
        .toEqual({ maxTokens: 0, topK: -1 })
      const { issues } = yield* refused({ defaults: { maxTokens: -1, topP: "1", prompt: "secret" } })
      expect(issues.map(({ path }) => path).sort()).toEqual(["defaults.maxTokens", "defaults.prompt", "defaults.topP"])
      expect((yield* refused({ defaults: { max_token: 5, seeds: 1 } })).issues).toEqual([
        { path: "defaults.max_token", message: "is an unknown option: did you mean maxTokens?" },
        { path: "defaults.seeds", message: "is an unknown option: did you mean seed?" }
      ])
      expect((yield* refused({ defaults: throwing("topK") })).issues)
        .toEqual([{ path: "defaults.topK", message: "cannot be read" }])
      expect((yield* refused({ defaults: 5 })).issues).toEqual([{
        path: "defaults",
        message: "must be an object of options"
      }])
    }))

  it.effect.each([null, 5, "http://localhost:8000", true])(
    "options %j are refused",
    (options) =>
      Effect.map(
        refused(options),
        ({ issues }) => expect(issues).toEqual([{ path: "", message: "must be an object of options" }])
      )
  )

  it.effect("limits are positive", () =>
    Effect.gen(function*() {
      for (const limit of [0, -1, Number.NaN, "5", {}]) {
        expect((yield* refused({ maxResponseSize: limit })).issues[0]?.path).toBe("maxResponseSize")
        expect((yield* refused({ maxFrameSize: limit })).issues[0]?.path).toBe("maxFrameSize")
      }
      const config = yield* RWKVConfig.make({ maxResponseSize: Infinity, maxFrameSize: 1 })
      expect([config.maxResponseSize, config.maxFrameSize]).toEqual([Infinity, 1])
    }))

  it.effect("the request timeout is a time longer than nothing", () =>
    Effect.gen(function*() {
      for (const timeout of ["soon", "5", 0, -1, Number.NaN, "0 seconds", "-1 seconds", {}, true]) {
        expect((yield* refused({ requestTimeout: timeout })).issues[0]?.path).toBe("requestTimeout")
      }
      expect((yield* RWKVConfig.make({ requestTimeout: Infinity })).requestTimeout).toEqual(Duration.infinity)
      expect((yield* RWKVConfig.make({ requestTimeout: "1 minute" })).requestTimeout).toEqual(Duration.minutes(1))
    }))
})

describe("baseUrl", () => {
  it.effect.each([
    ["http://localhost:8000/", "http://localhost:8000"],
    ["https://inference.example", "https://inference.example"],
    ["https://inference.example/rwkv", "https://inference.example/rwkv"],
    ["https://inference.example/a/b//", "https://inference.example/a/b"],
    ["http://localhost:8000/v1", "http://localhost:8000"],
    ["http://localhost:8000/v1/", "http://localhost:8000"],
    ["http://localhost:8000//v1//tasks//", "http://localhost:8000"],
    ["http://localhost:8000/rwkv/v1/tasks", "http://localhost:8000/rwkv"],
    ["http://localhost:8000/v1/rwkv", "http://localhost:8000/v1/rwkv"],
    ["http://localhost:8000/v10", "http://localhost:8000/v10"],
    ["HTTP://LOCALHOST:80", "http://localhost"],
    ["http://[::1]:8000", "http://[::1]:8000"],
    ["http://münchen.example", "http://xn--mnchen-3ya.example"]
  ])(
    "%s is %s",
    ([given, used]) => Effect.map(RWKVConfig.make({ baseUrl: given }), ({ baseUrl }) => expect(baseUrl).toBe(used))
  )

  it.effect.each([
    ["", "must be an absolute URL, as in http://localhost:8000"],
    ["localhost", "must be an absolute URL, as in http://localhost:8000"],
    ["/v1", "must be an absolute URL, as in http://localhost:8000"],
    ["http://", "must be an absolute URL, as in http://localhost:8000"],
    ["http://a b", "must be an absolute URL, as in http://localhost:8000"],
    [5, "must be an absolute URL, as in http://localhost:8000"],
    [{ href: "http://localhost" }, "must be an absolute URL, as in http://localhost:8000"],
    ["localhost:8000", "must begin with http:// or https://"],
    ["ftp://localhost", "must begin with http:// or https://"],
    ["file:///etc/passwd", "must begin with http:// or https://"],
    ["javascript:alert(1)", "must begin with http:// or https://"],
    [" http://localhost", "must not contain spaces"],
    ["http://localhost/a b", "must not contain spaces"],
    ["http://local\nhost", "must not contain spaces"],
    ["http://user:secret@localhost", "must not contain a user or a password: use headers"],
    ["http://secret@localhost", "must not contain a user or a password: use headers"],
    ["http://localhost?key=secret", "must not contain a query or a fragment"],
    ["http://localhost/#secret", "must not contain a query or a fragment"],
    ["http://localhost/?", "must not contain a query or a fragment"],
    ["http://localhost/#", "must not contain a query or a fragment"]
  ])("F08 %j fails the layer: %s", ([baseUrl, message]) =>
    Effect.gen(function*() {
      const error = yield* refused({ baseUrl })
      expect(error.issues).toEqual([{ path: "baseUrl", message }])
      expect(JSON.stringify(error)).not.toContain("secret")
      const { client, sent } = wire.platform(wire.ok)
      const layer = RWKV.layer({ baseUrl: wire.untyped(baseUrl) }).pipe(
        Layer.provide(Layer.succeed(PlatformClient.HttpClient, client))
      )
      expect(yield* wire.failure(Effect.scoped(Layer.build(layer)))).toMatchObject({ _tag: "RWKVValidationError" })
      expect(sent).toEqual([])
    }))
})

const key = "sk-1234567890"

describe("headers", () => {
  it.effect("names are lower case, secrets revealed only to the request, and the key goes before a header of its name", () =>
    Effect.gen(function*() {
      const config = yield* RWKVConfig.make({
        apiKey: Redacted.make(key),
        headers: { "X-Api-Key": Redacted.make("a secret"), "X-Team": "r\u00e9d", Authorization: "Basic abcd" }
      })
      expect(Redacted.value(config.headers))
        .toEqual({ "x-api-key": "a secret", "x-team": "r\u00e9d", authorization: `Bearer ${key}` })
      for (const printed of [JSON.stringify(config), inspect(config, { depth: 9 }), String(config.headers)]) {
        expect(printed).not.toContain(key)
        expect(printed).not.toContain("a secret")
      }
    }))

  const lineBreaks = "must not contain line breaks or characters beyond Latin-1"
  const notText = "must be a string, Redacted or not"
  const badName = "must have a header name made of token characters"

  it.effect.each([
    [{ headers: { "x-key": `${key}\r\nx-evil: 1` } }, "headers", lineBreaks],
    [{ headers: { "x-key": `${key}\n` } }, "headers", lineBreaks],
    [{ headers: { "x-key": `${key}\r` } }, "headers", lineBreaks],
    [{ headers: { "x-key": `${key}\u0000` } }, "headers", lineBreaks],
    [{ headers: { "x-key": `${key}\u007f` } }, "headers", lineBreaks],
    [{ headers: { "x-key": `${key}\u4e2d` } }, "headers", lineBreaks],
    [{ headers: { "x-key": Redacted.make(`${key}\nb`) } }, "headers", lineBreaks],
    [{ apiKey: Redacted.make(`${key}\nb`) }, "apiKey", lineBreaks],
    [{ apiKey: `${key}\nb` }, "apiKey", lineBreaks],
    [{ apiKey: Redacted.make(5) }, "apiKey", notText],
    [{ apiKey: null }, "apiKey", notText],
    [{ headers: { "x-key": [key] } }, "headers", notText],
    [{ headers: { "x-key": undefined } }, "headers", notText],
    [{ headers: { [`${key}\r\nx`]: "a" } }, "headers", badName],
    [{ headers: { [`${key} x`]: "a" } }, "headers", badName],
    [{ headers: { [`${key}:`]: "a" } }, "headers", badName],
    [{ headers: { "": "a" } }, "headers", badName],
    [{ headers: { schön: "a" } }, "headers", badName],
    ...[
      "transfer-encoding",
      "connection",
      "keep-alive",
      "upgrade",
      "expect",
      "trailer",
      "te",
      "content-length",
      "host",
      "__proto__",
      "proxy-connection"
    ].flatMap((name) =>
      [name, name.toUpperCase()].map((given): readonly [unknown, string, string] => [
        { headers: Object.fromEntries([[given, key]]) },
        "headers",
        `must not have ${name}, which the HTTP client sets`
      ])
    ),
    [{ headers: key }, "headers", "must be an object of names and values"],
    [{ headers: [["x-key", key]] }, "headers", "must be an object of names and values"],
    [{ headers: new Headers({ "x-key": key }) }, "headers", "must be an object of names and values"]
  ])(
    "F70 F75 %j is refused when the layer is built, without its value",
    ([options, path, message]) =>
      Effect.gen(function*() {
        const error = yield* refused(options)
        expect(error.issues).toEqual([{ path, message }])
        const exit = yield* Effect.exit(Effect.fail(error))
        const pretty = Exit.match(exit, { onFailure: Cause.pretty, onSuccess: () => "" })
        for (const printed of [error.message, JSON.stringify(error), inspect(error), pretty]) {
          expect(printed).not.toContain(key)
        }
      })
  )
})

const read = (env: Readonly<Record<string, string>>, options?: RWKVConfig.ConfigOptions) =>
  Layer.build(RWKVConfig.layerConfig(options)).pipe(
    Effect.map(Context.get(RWKVConfig.RWKVConfig)),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
    Effect.scoped
  )

const throwing = (name: string) =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get: () => {
      throw new Error("mine")
    }
  })

describe("what no types let through", () => {
  const wiped = Redacted.make(key)
  Redacted.unsafeWipe(wiped)

  it.effect.each([
    ["a retry that is no Schedule", { retry: 5 }, "retry", "must be a Schedule"],
    ["a client that is no function", { transformClient: 5 }, "transformClient", "must be a function"],
    ["a header that throws", { headers: throwing("x-key") }, "headers", "cannot be read"],
    ["a wiped header", { headers: { "x-key": wiped } }, "headers", "cannot be read"],
    ["a wiped key", { apiKey: wiped }, "apiKey", "cannot be read"],
    ["an option that throws", throwing("baseUrl"), "baseUrl", "cannot be read"],
    [
      "a misspelt name",
      { baseURL: "http://gpu" },
      "baseURL",
      "is an unknown option: did you mean baseUrl?"
    ],
    ["a misspelt name that throws", throwing("baseURL"), "baseURL", "cannot be read"],
    ["a list", [], "", "must be an object of options"]
  ])("%s fails the layer with the name of its field", ([, options, path, message]) =>
    Effect.gen(function*() {
      expect((yield* refused(options)).issues).toEqual([{ path, message }])
      for (const layer of [RWKVConfig.layer(wire.untyped(options)), RWKVConfig.layerConfig(wire.untyped(options))]) {
        const error = yield* wire.failure(Effect.scoped(Layer.build(layer)))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path }] })
      }
    }))

  it.effect("layerConfig takes an object of Configs", () =>
    Effect.gen(function*() {
      for (const [options, path] of [[null, ""], [5, ""], [{ baseUrl: "http://gpu" }, "baseUrl"]] as const) {
        const error = yield* wire.failure(read({}, wire.untyped(options)))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path }] })
      }
    }))
})

describe("layerConfig", () => {
  it.effect.each(["", " ", "\t\n"])("F107 variables that are %j are as if unset", (blank) =>
    Effect.gen(function*() {
      const names = ["RWKV_BASE_URL", "RWKV_API_KEY", "RWKV_REQUEST_TIMEOUT", "URL", "KEY", "TIMEOUT"]
      const env = Object.fromEntries(names.map((name) => [name, blank]))
      const own: RWKVConfig.ConfigOptions = {
        baseUrl: Config.string("URL").pipe(Config.withDefault("http://localhost:8000")),
        apiKey: Config.redacted("KEY"),
        requestTimeout: Config.duration("TIMEOUT")
      }
      for (const options of [{}, own]) {
        const config = yield* read(env, { ...options, headers: { Authorization: "Basic abcd" } })
        expect(config.baseUrl).toBe("http://localhost:8000")
        expect(Duration.toSeconds(config.requestTimeout)).toBe(120)
        expect(Redacted.value(config.headers)).toEqual({ authorization: "Basic abcd" })
      }
    }))

  it.effect("reads RWKV_BASE_URL, RWKV_API_KEY and RWKV_REQUEST_TIMEOUT", () =>
    Effect.gen(function*() {
      const config = yield* read({
        RWKV_BASE_URL: "http://gpu:9000/api/",
        RWKV_API_KEY: key,
        RWKV_REQUEST_TIMEOUT: "30 seconds"
      })
      expect(config.baseUrl).toBe("http://gpu:9000/api")
      expect(Redacted.value(config.headers)).toEqual({ authorization: `Bearer ${key}` })
      expect(Duration.toSeconds(config.requestTimeout)).toBe(30)
    }))

  it.effect("what is not set has its usual default, and other options are kept", () =>
    Effect.gen(function*() {
      const config = yield* read({}, { defaults: { maxTokens: 5 }, maxFrameSize: 10 })
      expect(config.baseUrl).toBe("http://localhost:8000")
      expect(Redacted.value(config.headers)).toEqual({})
      expect(Duration.toSeconds(config.requestTimeout)).toBe(120)
      expect(config.defaults).toEqual({ maxTokens: 5 })
      expect(config.maxFrameSize).toBe(10)
    }))

  it.effect("reads other names where it is told to", () =>
    Effect.gen(function*() {
      const config = yield* read({ URL: "http://gpu", KEY: key, TIMEOUT: "2 seconds" }, {
        baseUrl: Config.string("URL"),
        apiKey: Config.redacted("KEY"),
        requestTimeout: Config.duration("TIMEOUT")
      })
      expect(config.baseUrl).toBe("http://gpu")
      expect(Redacted.value(config.headers)).toEqual({ authorization: `Bearer ${key}` })
      expect(Duration.toSeconds(config.requestTimeout)).toBe(2)
    }))

  it.effect("F08 what is set wrongly fails, a key unseen", () =>
    Effect.gen(function*() {
      expect(yield* wire.failure(read({ RWKV_BASE_URL: "gpu:9000" })))
        .toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "baseUrl" }] })
      const error = yield* wire.failure(read({ RWKV_API_KEY: `${key}\nb` }))
      expect(error).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "apiKey" }] })
      expect(inspect(error)).not.toContain(key)
      expect(yield* wire.failure(read({ RWKV_REQUEST_TIMEOUT: "soon" }))).toMatchObject({ _op: "InvalidData" })
    }))

  it.effect("layer provides what make makes", () =>
    Effect.gen(function*() {
      const config = yield* RWKVConfig.RWKVConfig
      expect(config.baseUrl).toBe("http://gpu")
    }).pipe(Effect.provide(RWKVConfig.layer({ baseUrl: "http://gpu" }))))
})
