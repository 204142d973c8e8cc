/** Settings for a part of a program: which requests they reach, at once and later. */
import { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope, Stream, TestClock } from "effect"
import { Polling, RWKV, RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import type { Opened } from "effect-rwkv/Task"
import { Emulator } from "effect-rwkv/testing"
import { against, endless, FaultKind, inject, onStream, request, says } from "./support/program.js"
import { respond, tidy, type Verb, verbs } from "./support/verbs.js"
import * as wire from "./support/wire.js"

const tenant = (name: string) => RWKVConfig.withConfigOverride({ headers: { "X-Tenant": Redacted.make(name) } })

const served = (config: RWKVConfig.Options = {}, answer: wire.Respond = ({ body, path }) => respond(path, body)) => {
  const { client, sent } = wire.platform(answer)
  const layer = RWKV.layer({ retry: Polling.noRetry, ...config }).pipe(
    Layer.provide(Layer.succeed(Platform.HttpClient, client))
  )
  return { layer, sent, tenants: () => sent.map(({ headers }) => headers["x-tenant"]) }
}

/** Which tenant each request to the emulator was of. */
const tenants = Effect.flatMap(
  Emulator.Emulator,
  (self) =>
    Effect.map(
      self.requests,
      (all) =>
        all.map(({ headers, method, path }) =>
          `${method} ${path.split("/").at(-1)?.replace(/\?.*/, "")} ${headers["x-tenant"]}`
        )
    )
)

describe("every request of a verb", () => {
  it.effect.each(Object.entries({ ...verbs, ...tidy }))(
    "carries the header of its start: %s",
    ([, verb]) =>
      Effect.gen(function*() {
        const { layer, sent, tenants } = served()
        // The services end outside: what they do in the background is theirs by then.
        yield* tenant("a")(verb).pipe(Effect.provide(layer))
        expect(sent.length).toBeGreaterThan(0)
        expect(new Set(tenants())).toEqual(new Set(["a"]))
      })
  )

  it.effect("carries what is overridden, and nothing of it before, after and beside", () =>
    Effect.gen(function*() {
      const { layer, tenants } = served({ headers: { "x-tenant": "usual" } })
      const status = TaskService.status("TMP_1")
      yield* Effect.gen(function*() {
        yield* status
        yield* tenant("a")(Effect.all([status, tenant("b")(status), Effect.flatMap(Effect.fork(status), Fiber.join)]))
        yield* Effect.flatMap(Effect.fork(tenant("c")(status)), Fiber.join)
        yield* Effect.flatMap(Effect.fork(tenant("d")(status)), Fiber.inheritAll)
        yield* status
      }).pipe(Effect.provide(layer))
      expect(tenants().filter((name) => name !== "d")).toEqual(["usual", "a", "b", "a", "c", "usual"])
    }))
})

describe("what is done later", () => {
  const scoped = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pull = yield* Scope.extend(Stream.toPull(stream), scope)
      return { pull, close: Scope.close(scope, Exit.void) }
    })

  it.effect.each(["subscribe", "direct"] as const)(
    "a stream that is left outside of its override is stopped and deleted with the header of its start (%s)",
    (transport) =>
      Effect.gen(function*() {
        const stream = tenant("a")(StreamService.create(request, { transport }))
        const { close, pull } = yield* scoped(stream)
        yield* pull
        yield* tenant("b")(close)
        yield* Effect.sleep("5 seconds")
        const all = yield* tenants
        expect(all).toContain("POST stop a")
        expect(all).toContain("POST delete a")
        expect(all.filter((one) => !one.endsWith(" a"))).toEqual([])
      }).pipe(against(endless))
  )

  it.effect("a subscription to a recorded fork, and the fork itself, stop it by their own header", () =>
    Effect.gen(function*() {
      const source = yield* TaskService.createPersistent({ prompt: "source", maxTokens: 5 })
      yield* source.wait()
      const fork = yield* tenant("a")(source.fork({ prompt: "fork", maxTokens: 2000 }))
      const subscription = tenant("b")(StreamService.subscribe(fork.id, { onInterrupt: "stop" }))
      const { close, pull } = yield* scoped(subscription)
      yield* pull
      yield* close
      yield* Effect.sleep("5 seconds")
      const all = yield* tenants
      expect(all).toContain("POST fork a")
      expect(all).toContain("POST stop b")
      expect(all.filter((one) => one.includes("stop"))).toEqual(["POST stop b"])
    }).pipe(against(endless)))

  it.effect("a create that is abandoned before its answer is cleaned up with the header of its start", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const { layer, sent, tenants } = served({}, ({ body, path }) =>
        path.endsWith("/tmp")
          ? Deferred.succeed(asked, undefined).pipe(
            Effect.zipRight(Deferred.await(answer)),
            Effect.map(() => respond(path, body))
          )
          : respond(path, body))
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(tenant("a")(TaskService.create(request)))
        yield* Deferred.await(asked)
        yield* Fiber.interruptFork(fiber)
        yield* tenant("b")(Deferred.succeed(answer, undefined))
        yield* Effect.yieldNow()
        yield* TestClock.adjust("5 seconds")
      }).pipe(Effect.provide(layer))
      expect(sent.map(({ path }) => path.split("/").at(-1)?.replace(/\?.*/, ""))).toEqual(["tmp", "stop", "delete"])
      expect(tenants()).toEqual(["a", "a", "a"])
    }))

  it.effect("a stream that is cut connects again with the header of its start", () =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: 400, clean: false }) })
      const texts = yield* Stream.runCollect(tenant("a")(StreamService.create(request)))
      expect(Chunk.join(texts, "")).toHaveLength(2000)
      const all = yield* tenants
      expect(all.slice(0, 3)).toEqual(["POST tmp a", "GET stream a", "GET stream a"])
      expect(all.filter((one) => !one.endsWith(" a"))).toEqual([])
    }).pipe(against(says("0123456789".repeat(200)))))
})

describe("a run that is open", () => {
  it.effect.each(
    [
      ["text", (run: Opened) => Stream.runDrain(run.text)],
      ["events", (run: Opened) => Stream.runDrain(run.events)],
      ["end", (run: Opened) => run.finished]
    ] as const
  )("keeps the header of its start, whoever asks for its %s", ([, read]) =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: 400, clean: false }) })
      yield* Effect.scoped(Effect.flatMap(tenant("a")(StreamService.open(request)), (run) => tenant("b")(read(run))))
      yield* Effect.sleep("5 seconds")
      const all = yield* tenants
      expect(all.slice(0, 3)).toEqual(["POST tmp a", "GET stream a", "GET stream a"])
      expect(all.filter((one) => !one.endsWith(" a"))).toEqual([])
    }).pipe(against(says("0123456789".repeat(200)))))
})

describe("a stream", () => {
  it.effect("keeps its override to itself: what is downstream, zipped or made from it has its own", () =>
    Effect.gen(function*() {
      const { layer, sent } = served({ headers: { "x-tenant": "usual" } })
      const events = tenant("a")(StreamService.createEvents(request))
      const down = Stream.mapEffect(events, () => TaskService.models).pipe(
        Stream.zipLeft(tenant("b")(Stream.repeatEffect(TaskService.list)))
      )
      yield* Stream.runDrain(down).pipe(Effect.provide(layer))
      const of = (path: string) =>
        new Set(sent.filter((one) => one.path.endsWith(path)).map(({ headers }) => headers["x-tenant"]))
      expect([of("/models"), of("/list"), of("/stream"), of("/tmp")]).toEqual(
        ["usual", "b", "a", "a"].map((name) => new Set([name]))
      )
    }))

  it.effect("that is made elsewhere has the override of where it is run", () =>
    Effect.gen(function*() {
      const { layer, tenants } = served()
      const stream = StreamService.createEvents(request)
      yield* tenant("a")(Stream.runDrain(stream)).pipe(Effect.provide(layer))
      expect(new Set(tenants())).toEqual(new Set(["a"]))
    }))
})

describe("the settings", () => {
  it.effect("headers are merged by name whatever their case, defaults by key, and the inner one wins", () =>
    Effect.gen(function*() {
      const { layer, sent } = served({
        apiKey: Redacted.make("usual"),
        headers: { "x-one": "1", "x-two": "2" },
        defaults: { maxTokens: 1, topK: 2, seed: 3 }
      })
      yield* TaskService.create({ prompt: "Hello", topK: 9 }).pipe(
        RWKVConfig.withConfigOverride({ headers: { "X-Two": "4" }, defaults: { seed: 6, maxTokens: undefined } }),
        RWKVConfig.withConfigOverride({
          headers: { Authorization: "Bearer mine", "X-TWO": "3" },
          defaults: { seed: 5, temperature: 0.5 }
        }),
        Effect.provide(layer)
      )
      expect(sent[0]?.headers).toMatchObject({ authorization: "Bearer mine", "x-one": "1", "x-two": "4" })
      expect(JSON.parse(sent[0]?.body ?? "")).toMatchObject({
        max_tokens: 1,
        seed: 6,
        temperature: 0.5,
        top_k: 9
      })
    }))

  const timed: ReadonlyArray<readonly [name: string, call: Verb]> = [
    ["create", TaskService.create(request)],
    ["direct stream", Stream.runDrain(StreamService.create(request, { transport: "direct" }))],
    ["status", TaskService.status("TMP_1")]
  ]

  it.effect.each(timed)("requestTimeout holds for a %s", ([, call]) =>
    Effect.gen(function*() {
      const { layer } = served({}, () => Effect.never)
      const fiber = yield* call.pipe(
        RWKVConfig.withConfigOverride({ requestTimeout: "3 seconds" }),
        Effect.flip,
        Effect.provide(layer),
        Effect.fork
      )
      yield* TestClock.adjust("3 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "request" })
    }))

  it.effect("retry holds for reads and creates, and an option of the verb wins over it", () =>
    Effect.gen(function*() {
      const { layer, sent } = served({ retry: Schedule.recurs(1) }, () => wire.json({}, 429))
      const count = <A, E>(call: Effect.Effect<A, E, TaskService.TaskService | StreamService.StreamService>) =>
        Effect.gen(function*() {
          const before = sent.length
          yield* Effect.exit(call)
          return sent.length - before
        })
      const often = RWKVConfig.withConfigOverride({ retry: Schedule.recurs(3) })
      const subscribed = (retry?: Polling.RetrySchedule) => Stream.runDrain(StreamService.subscribe("TMP_1", { retry }))
      const counts = yield* Effect.all([
        count(TaskService.status("TMP_1")),
        count(often(TaskService.status("TMP_1"))),
        count(often(TaskService.create(request))),
        count(often(Stream.runDrain(StreamService.create(request)))),
        count(TaskService.create(request))
      ]).pipe(Effect.provide(layer))
      expect(counts).toEqual([2, 4, 4, 4, 2])
      const [own, overridden] = yield* Effect.all([
        count(subscribed(Schedule.recurs(5))),
        count(often(subscribed(Schedule.recurs(5))))
      ]).pipe(Effect.provide(layer))
      expect(overridden).toBe(own)
    }))

  it.effect.each([
    ["requestTimeout", { requestTimeout: 0 }],
    ["requestTimeout", { requestTimeout: -1 }],
    ["headers", { headers: { "x-a": "line\nbreak" } }],
    ["headers", { headers: { host: "secret" } }],
    ["headers", { headers: ["secret"] }],
    ["retry", { retry: "secret" }],
    ["defaults.maxTokens", { defaults: { maxTokens: -1 } }],
    ["defaults.prompt", { defaults: { prompt: "secret" } }],
    ["baseUrl", { baseUrl: "http://secret" }],
    ["", null]
  ])(
    "are checked by the rules of the configuration before anything is sent: %s",
    ([path, options]) =>
      Effect.gen(function*() {
        const { layer, sent } = served()
        const override = RWKVConfig.withConfigOverride(wire.untyped(options))
        const failures = yield* Effect.all([
          wire.failure(override(TaskService.create(request))),
          wire.failure(Stream.runDrain(override(StreamService.create(request))))
        ]).pipe(Effect.provide(layer))
        for (const error of failures) {
          expect(error).toMatchObject({
            _tag: "RWKVValidationError",
            operation: "RWKVConfig.withConfigOverride",
            issues: [{ path }]
          })
          expect(String(error)).not.toContain("secret")
        }
        expect(sent).toEqual([])
      })
  )
})
