import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, LogLevel, ManagedRuntime, Redacted, Stream, Tracer } from "effect"
import { RWKV, type RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import type { Generation } from "effect-rwkv"
import { inspect } from "node:util"
import { against, FaultKind, inject, long, request, says, verbs } from "../support/program.js"
import * as Tcp from "../support/tcp.js"

/** What a program without types may pass. */
const anything = (value: unknown) => value as Generation.CreateRequest

const asked = (value: unknown) => [
  TaskService.create(anything(value)),
  TaskService.run(anything(value)),
  Stream.runDrain(StreamService.create(anything(value))),
  Stream.runDrain(StreamService.create(anything(value), { transport: "direct" }))
]

const refused = (value: unknown, path: string) =>
  Effect.gen(function*() {
    for (const effect of asked(value)) {
      const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
      expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
      expect(error).toMatchObject({ issues: [{ path: expect.stringMatching(new RegExp(`^${path}`)) }] })
    }
    expect(yield* verbs).toEqual([])
  })

describe("input from the caller", () => {
  const numbers = ["maxTokens", "temperature", "topK", "topP", "presencePenalty", "repetitionPenalty", "penaltyDecay"]
  for (const key of numbers) {
    it.effect(`F66 ${key}`, () =>
      Effect.gen(function*() {
        for (const value of [NaN, Infinity, -Infinity, "5", null, 1e9, -1e9, [], {}, true]) {
          yield* refused({ prompt: "a", [key]: value }, key)
        }
        if (/max|topK/.test(key)) yield* refused({ prompt: "a", [key]: 1.5 }, key)
      }).pipe(against()))
  }

  it.effect("F66 -0, unknown keys, no object", () =>
    Effect.gen(function*() {
      yield* refused({ prompt: "a", max_tokens: 5 }, "max_tokens")
      for (const value of [null, undefined, 5, "prompt", []]) yield* refused(value, "")
      for (const key of numbers) yield* refused({ prompt: "a", [key]: -0 }, key)
    }).pipe(against()))

  for (
    const [what, prompt] of [
      ["empty prompt", ""],
      ["empty token list", []],
      ["token id 65530", [1, 65530]],
      ["token id -1", [-1]],
      ["token id 1.5", [1.5]],
      ["half a character", "a\ud800b"],
      ["another half", "\udc00"],
      ["none", undefined]
    ] as const
  ) {
    it.effect(`F67 ${what}`, () => refused({ prompt }, "prompt").pipe(against()))
  }

  it.effect("F67 half a character in a FIM, a continue and a fork", () =>
    Effect.gen(function*() {
      for (
        const effect of [
          TaskService.fim({ prefix: "\ud800" }),
          TaskService.fim({ prefix: "a", suffix: "\ud800" }),
          TaskService.continue("TASK_1", { prompt: "\ud800" }),
          TaskService.continue("TASK_1", { prompt: "" }),
          TaskService.fork("TASK_1", { prompt: [] })
        ]
      ) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
      }
      expect(yield* verbs).toEqual([])
    }).pipe(against()))

  it.effect("F68 a 10 MB prompt", () =>
    Effect.gen(function*() {
      const prompt = "x".repeat(10 * 1024 * 1024)
      expect((yield* TaskService.run({ prompt, maxTokens: 1 })).text).toBe("a")
      for (const bad of [{ prompt: `${prompt}\ud800` }, { prompt, maxTokens: -1 }, { prompt: [prompt] }]) {
        const exit = yield* Effect.exit(TaskService.create(anything(bad)))
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause).length).toBeLessThan(4096)
        expect(JSON.stringify(exit).length).toBeLessThan(1024)
      }
    }).pipe(against(says(long))))

  const ids = ["a/b", "..", ".", "a?b", "a#b", "a%2Fb", "a b", "a\u0000b", "a\nb", "", "x".repeat(1e5), "漢", "\ud800"]
  for (const id of ids) {
    it.effect(`F69 id ${JSON.stringify(id).slice(0, 20)}`, () =>
      Effect.gen(function*() {
        for (
          const effect of [
            TaskService.status(id),
            TaskService.result(id),
            TaskService.wait(id),
            TaskService.stop(id),
            TaskService.delete(id),
            TaskService.continue(id, { prompt: "a" }),
            TaskService.fork(id, { prompt: "a" }),
            TaskService.asTemplate(id),
            TaskService.task(id),
            Stream.runDrain(StreamService.subscribe(id)),
            Stream.runDrain(StreamService.continue(id, { prompt: "a" })),
            Stream.runDrain(StreamService.fork(id, { prompt: "a" }))
          ]
        ) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
          expect(error).toMatchObject({ _tag: "RWKVValidationError", source: "client" })
          expect(String(error).length).toBeLessThan(1024)
        }
        expect(yield* verbs).toEqual([])
      }).pipe(against()))
  }

  const build = (options: RWKVConfig.Options) => Layer.build(RWKV.layerFetch(options)).pipe(Effect.scoped, Effect.exit)
  for (
    const [name, value] of [["x-a", "b\r\nc: d"], ["x-a", "b\nc"], ["x-a", "b\0"], ["x a", "b"], ["x\r\nb", "c"], [
      "",
      "b"
    ]] as const
  ) {
    it.effect(`F70 header ${JSON.stringify([name, value])}`, () =>
      Effect.gen(function*() {
        for (const given of [value, Redacted.make(value)]) {
          const exit = yield* build({ headers: { [name]: given } })
          expect(Exit.isFailure(exit) && Cause.failureOption(exit.cause)).toMatchObject({
            value: { _tag: "RWKVValidationError", source: "client" }
          })
        }
      }))
  }

  it.effect("F71 user and password in the URL are refused without being repeated", () =>
    Effect.gen(function*() {
      const exit = yield* build({ baseUrl: "http://user:hunter2@host" })
      expect(Exit.isFailure(exit)).toBe(true)
      expect(inspect(exit, { depth: 20 }) + JSON.stringify(exit)).not.toContain("hunter2")
    }))

  const key = "sk-very-secret-1234567890"
  const faults = [
    FaultKind.Refuse(),
    FaultKind.Reset({ executed: false }),
    FaultKind.Status({ status: 401, body: `who is Bearer ${key}?` }),
    FaultKind.Status({ status: 500, body: `who is ${key}?` }),
    FaultKind.Status({ status: 422, body: JSON.stringify({ detail: `${key} ${key}` }) }),
    FaultKind.Respond({ status: 200, headers: { "content-type": "application/json" }, body: "{" }),
    FaultKind.Hang({ executed: false })
  ]
  for (const kind of faults) {
    it.effect(`F71 secrets after ${kind._tag} ${kind._tag === "Status" ? kind.status : ""}`, () => {
      const said: Array<string> = []
      const show = (value: unknown) =>
        said.push(inspect(value, { depth: 30, showHidden: true }), JSON.stringify(value) ?? "")
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ annotations, cause, message, spans }) => {
          show([message, cause, Array.from(annotations), Array.from(spans)])
        })
      )
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (name, _parent, context, links, startTime, kind) => ({
          _tag: "Span",
          name,
          spanId: "1",
          traceId: "2",
          sampled: true,
          parent: _parent,
          context,
          links,
          kind,
          attributes: new Map(),
          status: { _tag: "Started", startTime },
          end: () => {},
          event: () => {},
          addLinks: () => {},
          attribute: (name, value) => show([name, value])
        })
      })
      return Effect.gen(function*() {
        yield* inject({ times: Infinity, kind })
        for (
          const effect of [
            TaskService.list,
            TaskService.run(request),
            Stream.runDrain(StreamService.create(request)),
            Stream.runDrain(StreamService.create(request, { transport: "direct" }))
          ]
        ) {
          const exit = yield* Effect.exit(Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect))
          show(exit)
          said.push(String(exit))
          if (Exit.isFailure(exit)) {
            said.push(Cause.pretty(exit.cause, { renderErrorCause: true }))
            yield* Effect.logError("failed", exit.cause)
          }
        }
        expect(said.length).toBeGreaterThan(10)
        expect(said.join("\n")).not.toContain(key)
      }).pipe(
        against({}, { apiKey: Redacted.make(key), headers: { "x-api-key": key, "x-other": Redacted.make(key) } }),
        Effect.withTracer(tracer),
        Logger.withMinimumLogLevel(LogLevel.All),
        Effect.provide(logger)
      )
    })
  }

  Tcp.overBoth("F71 secrets over a real socket, outside a fiber", (http) =>
    Effect.gen(function*() {
      const runtime = ManagedRuntime.make(Layer.empty)
      const server = yield* Tcp.serve((_, index) =>
        index % 2 === 0 ? [Tcp.reset] : [Tcp.write("HTTP/1.1 what\r\n\r\n")]
      )
      const program = TaskService.create(request).pipe(Tcp.client(server, http, { apiKey: Redacted.make(key) }))
      const outside = () => runtime.runPromise(program).catch((error: unknown) => error)
      for (let i = 0; i < 2; i++) {
        const thrown: unknown = yield* Effect.promise(outside)
        const said = `${inspect(thrown, { depth: 30, showHidden: true })}${JSON.stringify(thrown)}${String(thrown)}`
        expect(said).not.toContain(key)
        expect(said).toContain("RWKVConnectionError")
      }
      expect(server.requests[0]?.headers["authorization"]).toBe(`Bearer ${key}`)
    }))
})
