/** What an answer, an error or a caller holds may be anything: it is a typed failure, soon, and never a defect. */
import * as Http from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Stream } from "effect"
import { type Generation, type HttpClient, Polling, RWKV, RWKVError, StreamService, TaskService } from "effect-rwkv"
import { against, request, says, verbs } from "../support/program.js"
import * as wire from "../support/wire.js"

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
const unprintable: Readonly<Record<string, string>> = {
  "an object whose toString is data": `{"toString": 5, "valueOf": null}`,
  "20,000 nested arrays": nested(20_000),
  "20,000 nested objects": `${"{\"a\":".repeat(20_000)}1${"}".repeat(20_000)}`,
  "a key like a prototype's": `{"__proto__": {"length": -1}, "constructor": 5, "toJSON": "x", "Symbol(a)": 1}`,
  "an array with holes and halves": `[null, "\\ud800", -0, 1e999]`
}

/** Answers that hold a value where a word or a number is due. */
const answers: Readonly<Record<string, (value: string) => Response>> = {
  "as loc": (value) => wire.text(`{"detail": [{"loc": ${value}, "msg": "bad"}]}`, 422),
  "inside loc": (value) => wire.text(`{"detail": [{"loc": ["body", ${value}, "prompt", 0], "msg": "bad"}]}`, 422),
  "as msg": (value) => wire.text(`{"detail": [{"loc": ["body"], "msg": ${value}}]}`, 422),
  "as an issue": (value) => wire.text(`{"detail": [${value}]}`, 422),
  "as the detail of a 422": (value) => wire.text(`{"detail": ${value}}`, 422),
  "as the detail of a 404": (value) => wire.text(`{"detail": ${value}}`, 404),
  "as a 500": (value) => wire.text(value, 500),
  "as a 200": (value) => wire.text(value),
  "as every field of a 200": (value) =>
    wire.text(
      `{${
        ["task_id", "result", "prefill_time", "gen_time", "speed", "finished", "status", "generated_buf", "data"].map(
          (key) => `"${key}": ${value}`
        ).join()
      }}`
    ),
  "as a frame": (value) => wire.events(value),
  "as the error of a frame": (value) => wire.events(`{"error": ${value}}`),
  "as the data of a frame": (value) => wire.events(`{"data": ${value}}`),
  "as the head of a stream": (value) => wire.events(`{"task_id": ${value}, "prefill_time": ${value}}`)
}

const calls: ReadonlyArray<(http: HttpClient.Service) => Effect.Effect<unknown, RWKVError.RWKVError>> = [
  (http) => http.create({ prompt: "private words" }),
  (http) => http.status("TMP_1"),
  (http) => http.result("TMP_1"),
  (http) => http.delete("TMP_1"),
  (http) => http.models(),
  (http) => Stream.runDrain(http.stream("TMP_1")),
  (http) => Stream.runDrain(http.createStream({ prompt: "private words" }))
]

/** Whether it succeeded, or failed by type with a message that can be read. */
const isTyped = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.match(exit, {
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => false,
        onSome: (error) => RWKVError.isRWKVError(error) && error.message.length < 2048 && !error.message.includes("\n")
      }),
    onSuccess: () => true
  })

describe("what an answer holds", () => {
  for (const [what, value] of Object.entries(unprintable)) {
    it.effect(`F95 ${what}, wherever it is: typed, never a defect`, () =>
      Effect.gen(function*() {
        for (const answer of Object.values(answers)) {
          const { http } = yield* wire.make(() => answer(value))
          for (const call of calls) expect(isTyped(yield* Effect.exit(call(http)))).toBe(true)
        }
      }))

    it.effect(`F95 ${what}, wherever it is: runs and streams fail by type`, () =>
      Effect.gen(function*() {
        for (const answer of Object.values(answers)) {
          const { client } = wire.platform((one, request) => {
            const usual = wire.ok(one, request)
            return one.method === "POST" && one.body !== "" ? usual : answer(value)
          })
          const layer = RWKV.layer({ retry: Polling.noRetry }).pipe(
            Layer.provide(Layer.succeed(Http.HttpClient.HttpClient, client))
          )
          for (const by of ["polling", "subscription"] as const) {
            const exit = yield* Effect.exit(Effect.provide(TaskService.wait("TMP_1", { by }), layer))
            expect(isTyped(exit)).toBe(true)
          }
          expect(isTyped(
            yield* Effect.exit(
              Effect.provide(Stream.runDrain(StreamService.subscribe("TMP_1")), layer)
            )
          )).toBe(true)
        }
      }))
  }

  it.effect("F95 the issues of a 422 that can be read are told beside those that cannot", () =>
    Effect.gen(function*() {
      const body = `{"detail": [
        {"loc": ["body", {"toString": 5}, "max_tokens"], "msg": "one"},
        {"loc": {"toString": 5}, "msg": "two"},
        {"loc": ["body", "prompt", "list[int]", 3], "msg": "three"}
      ]}`
      const { http } = yield* wire.make(() => wire.text(body, 422))
      expect(yield* wire.failure(http.create({ prompt: "a" }))).toMatchObject({
        _tag: "RWKVValidationError",
        issues: [{ path: "maxTokens", message: "one" }, { path: "prompt.3", message: "three" }]
      })
    }))

  it.effect("F95 a prompt of nothing but backslashes does not make a failure slow", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => wire.text("\\".repeat(100), 500))
      const begun = process.cpuUsage()
      expect(yield* wire.failure(http.create({ prompt: "\\".repeat(500_000) }))).toMatchObject({
        _tag: "RWKVServerError"
      })
      expect(process.cpuUsage(begun).user).toBeLessThan(2_000_000)
    }))
})

const throws = (): never => {
  throw new Error("not to be read")
}

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** Causes that a client of the program's own may give to its errors. */
const causes: Readonly<Record<string, () => unknown>> = {
  "has a getter that throws": () => Object.defineProperty(new Error("a"), "cause", { get: throws }),
  "has a code that throws": () =>
    Object.defineProperties(new Error("a"), { code: { get: throws }, syscall: { get: throws } }),
  "has a code that cannot be printed": () => ({ code: { toString: 5 }, errors: { length: 1e9 } }),
  "is a cycle": () => {
    const cycle: { cause?: unknown; errors?: unknown } = {}
    return Object.assign(cycle, { cause: cycle, errors: [cycle, cycle] })
  },
  "never ends": () => {
    const endless = (): object => new Proxy({}, { get: () => endless() })
    return endless()
  },
  "has errors without end": () => ({ errors: new Proxy([], { get: (_, key) => key === "length" ? 2 ** 53 : {} }) }),
  "is a proxy that throws": () => new Proxy({}, { get: throws, has: throws, getPrototypeOf: throws, ownKeys: throws }),
  "is a revoked proxy": revoked,
  "holds a revoked proxy": () => ({ cause: revoked(), errors: [revoked()] }),
  "is a symbol": () => Symbol("a"),
  "is a function": () => throws
}

describe("errors of a client of the program's own", () => {
  for (const [what, make] of Object.entries(causes)) {
    it.effect(`F95 a cause that ${what}: typed, and not taken for a request that was never sent`, () =>
      Effect.gen(function*() {
        const cause = make()
        for (const isAnswered of [false, true]) {
          const client = Http.HttpClient.make((request) =>
            isAnswered
              ? new Http.HttpClientError.ResponseError({
                request,
                response: answerTo(request),
                reason: "Decode",
                cause
              })
              : new Http.HttpClientError.RequestError({ request, reason: "Transport", cause })
          )
          const { http } = yield* wire.over(client)
          for (const call of calls) {
            expect(yield* Effect.flip(call(http))).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true })
          }
        }
      }))

    it.effect(`F95 a body that breaks with a cause that ${what}: typed`, () =>
      Effect.gen(function*() {
        const cause = make()
        for (const broken of [Stream.fail, Stream.die]) {
          const client = Http.HttpClient.make((request) => {
            const response = answerTo(request, "text/event-stream")
            const error = new Http.HttpClientError.ResponseError({ request, response, reason: "Decode", cause })
            return Effect.succeed(Object.defineProperty(response, "stream", { value: broken(error) }))
          })
          const { http } = yield* wire.over(client)
          expect(isTyped(yield* Effect.exit(Stream.runDrain(http.stream("TMP_1"))))).toBe(true)
          expect(isTyped(yield* Effect.exit(http.result("TMP_1")))).toBe(true)
        }
      }))
  }
})

const answerTo = (request: Http.HttpClientRequest.HttpClientRequest, type = "application/json") =>
  Http.HttpClientResponse.fromWeb(request, new Response("data: {}\n\n", { headers: { "content-type": type } }))

/** Requests and options as a caller without types may give them. */
const untyped = (value: unknown) => value as Generation.CreateRequest

/** Nothing is made of the items that are not there. */
const sparse = (length: number) => Object.assign([1], { length })

const lying = (length: unknown) => new Proxy([1], { get: (_, key) => key === "length" ? length : 1 })

const prompts: Readonly<Record<string, () => unknown>> = {
  "a list of 10^8 items": () => sparse(100_000_000),
  "a sparse list": () => sparse(10_000_000),
  "a proxy that says a length of 2^53": () => lying(2 ** 53),
  "a proxy that says a length of NaN": () => lying(NaN),
  "a proxy whose length is no number": () => lying({ valueOf: () => 1 }),
  "a proxy whose length is a text": () => lying("5"),
  "a proxy whose length is half a number": () => lying(-1),
  "a proxy that says another length each time": () => {
    let length = 1
    return new Proxy([70_000], { get: (_, key) => key === "length" ? length *= 1000 : 70_000 })
  },
  "a proxy whose iterator never ends": () =>
    new Proxy([70_000], {
      get: (list, key) =>
        key === Symbol.iterator ? () => ({ next: () => ({ done: false, value: 1 }) }) : Reflect.get(list, key)
    }),
  "a proxy that throws": () => new Proxy([1], { get: throws }),
  "a list that throws": () => Object.defineProperty([1, 2], 1, { get: throws }),
  "a revoked list": () => {
    const { proxy, revoke } = Proxy.revocable([1], {})
    revoke()
    return proxy
  },
  "400 MB of text": () => "x".repeat(400 * 1024 * 1024),
  "an object that looks like a list": () => ({ length: 1, 0: 1 }),
  "20,000 nested lists": () => JSON.parse(nested(20_000))
}

const records: Readonly<Record<string, () => unknown>> = {
  "a record of 100,000 fields": () => Object.fromEntries(Array.from({ length: 100_000 }, (_, key) => [`k${key}`, key])),
  "a proxy that says 100,000 keys": () =>
    new Proxy({}, { ownKeys: () => Array.from({ length: 100_000 }, (_, key) => `k${key}`) }),
  "a proxy that throws": () => new Proxy({}, { ownKeys: throws, get: throws, has: throws }),
  "a revoked proxy": revoked,
  "a symbol among the keys": () => ({ prompt: "a", [Symbol("a")]: 1 }),
  "a key of 10 MB": () => ({ prompt: "a", ["x".repeat(10_000_000)]: 1 }),
  "an unprintable number": () => ({ prompt: "a", temperature: JSON.parse(nested(20_000)) }),
  "an object without a prototype": () => Object.assign(Object.create(null), { prompt: "a", other: 1 })
}

const refusedSoon = (value: unknown) =>
  Effect.gen(function*() {
    const given = untyped(value)
    const uses = [
      TaskService.create(given),
      TaskService.run(given),
      Stream.runDrain(StreamService.create(given)),
      TaskService.continue("TASK_1", given)
    ]
    const begun = process.cpuUsage()
    const memory = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
    for (const effect of uses) {
      const error = yield* Effect.flip(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(effect))
      expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
      expect(JSON.stringify(error).length).toBeLessThan(2048)
    }
    const { user } = process.cpuUsage(begun)
    expect(user / uses.length / 1000).toBeLessThan(150)
    expect(process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - memory).toBeLessThan(64 * 1024 * 1024)
    expect(yield* verbs).toEqual([])
  }).pipe(against())

describe("what a caller gives", () => {
  for (const [what, make] of Object.entries(prompts)) {
    it.effect(`F111 a prompt that is ${what} is refused soon, in bounded memory`, () => refusedSoon({ prompt: make() }))
  }

  it.effect("F111 a prefix and a suffix of 400 MB", () =>
    Effect.gen(function*() {
      const text = "x".repeat(400 * 1024 * 1024)
      for (const given of [{ prefix: text }, { prefix: "a", suffix: text }]) {
        expect(yield* Effect.flip(TaskService.fim(given))).toMatchObject({
          _tag: "RWKVValidationError",
          issues: [{ message: expect.stringContaining("UTF-16 units") }]
        })
      }
    }).pipe(against()))

  for (const [what, make] of Object.entries(records)) {
    it.effect(`F111 a request that is or has ${what} is refused soon, in bounded memory`, () => refusedSoon(make()))

    it.effect(`F111 options that are or have ${what} are refused, and nothing is sent`, () =>
      Effect.gen(function*() {
        const options = wire.untyped(make())
        for (
          const effect of [
            TaskService.wait("TMP_1", options),
            TaskService.run(request, options),
            TaskService.stop("TMP_1", options),
            TaskService.delete("TMP_1", options),
            Stream.runDrain(StreamService.create(request, options)),
            Stream.runDrain(StreamService.subscribe("TMP_1", options)),
            Stream.runDrain(TaskService.runAll([request], options))
          ]
        ) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(effect))
          expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
        }
        expect(yield* verbs).toEqual([])
      }).pipe(against(says("a"))))
  }

  const values: Readonly<Record<string, () => unknown>> = {
    "a revoked proxy": revoked,
    "a proxy that throws": () => new Proxy({}, { get: throws, has: throws, getPrototypeOf: throws }),
    "nested 20,000 deep": () => JSON.parse(nested(20_000))
  }
  for (const [what, make] of Object.entries(values)) {
    it.effect(`F111 an option that is ${what} is named`, () =>
      Effect.gen(function*() {
        const value = wire.untyped(make())
        const named: ReadonlyArray<readonly [string, Effect.Effect<unknown, RWKVError.RWKVError, RWKV.RWKV>]> = [
          ["timeout", TaskService.wait("TMP_1", { timeout: value })],
          ["schedule", TaskService.wait("TMP_1", { schedule: value })],
          ["onProgress", TaskService.wait("TMP_1", { onProgress: value })],
          ["by", TaskService.wait("TMP_1", { by: value })],
          ["within", TaskService.stop("TMP_1", { within: value })],
          ["force", TaskService.delete("TMP_1", { force: value })],
          ["idleTimeout", Stream.runDrain(StreamService.subscribe("TMP_1", { idleTimeout: value }))],
          ["retry", Stream.runDrain(StreamService.subscribe("TMP_1", { retry: value }))],
          ["fromToken", Stream.runDrain(StreamService.subscribe("TMP_1", { fromToken: value }))],
          ["concurrency", Stream.runDrain(TaskService.runAll([request], { concurrency: value }))],
          ["taskId", TaskService.status(value)],
          ["temperature", TaskService.create({ ...request, temperature: value })],
          ["prompt", TaskService.create({ prompt: value })]
        ]
        for (const [path, effect] of named) {
          const error = yield* Effect.flip(effect)
          expect(error).toMatchObject({
            _tag: "RWKVValidationError",
            issues: [{ path: expect.stringMatching(`^${path}`) }]
          })
        }
        expect(yield* verbs).toEqual([])
      }).pipe(against()))
  }
})
