/** What stands on the services works over a pool as it does over one server. */
import { LanguageModel } from "@effect/ai"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Metric, Stream } from "effect"
import { RWKVConfig, TaskService, Telemetry } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import * as Tracing from "../support/tracing.js"
import { emulator, pool, start } from "./cluster.js"

const talk: Emulator.Options = {
  pulse: 0,
  reply: Emulator.chat(({ messages, turn }) => `message ${messages.length}: ${turn}`)
}

const servers = { a: { ...talk, seed: 1 }, b: { ...talk, seed: 2 } }

it.scopedLive("a chat goes on with its task on the server that has it, and leaves nothing there", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    yield* Effect.gen(function*() {
      const session = yield* RWKVChat.session({ strategy: "continue", generation: { maxTokens: 200 } })
      expect((yield* session.send("Hi")).reply.text).toBe("message 1: Hi")
      const second = yield* session.send("And?")
      expect([second.strategy, second.reply.text]).toEqual(["continue", "message 3: And?"])
    }).pipe(Effect.scoped, Effect.provide(pool(cluster)))
    for (const name of ["a", "b"]) expect(yield* emulator(cluster, name).tasks).toEqual([])
  }))

it.scopedLive("a language model answers", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    const model = Layer.provide(RWKVLanguageModel.layer({ maxTokens: 200 }), pool(cluster))
    const { text } = yield* Effect.provide(LanguageModel.generateText({ prompt: "Hi" }), model)
    expect(text).toContain("Hi")
  }))

it.scopedLive("runAll tells its own name in failures, and is one span that all runs are inside of", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    const { own, traced } = Tracing.make()
    yield* emulator(cluster, "a").inject({
      on: { path: "/tmp" },
      times: Infinity,
      kind: Emulator.FaultKind.Status({ status: 418 })
    })
    const results = yield* TaskService.runAll(Array.from({ length: 12 }, () => ({ prompt: "x", maxTokens: 5 }))).pipe(
      Stream.runCollect,
      Effect.provide(Layer.merge(pool(cluster), Telemetry.layer())),
      traced
    )
    const failures = Array.from(results).flatMap(({ result }) => result._tag === "Left" ? [result.left] : [])
    expect(failures.length).toBeGreaterThan(0)
    for (const failure of failures) expect(failure).toMatchObject({ operation: "TaskService.runAll" })
    const [parent, ...runs] = own().filter(({ name }) => name !== Telemetry.names.release)
    expect(parent).toMatchObject({ name: "TaskService.runAll", kind: "internal" })
    expect(parent?.attributes.has(Telemetry.names.address)).toBe(false)
    expect(runs).toHaveLength(12)
    for (const run of runs) {
      expect(run.parent).toMatchObject({ value: { spanId: parent?.spanId } })
      expect(run.name).toBe("text_completion")
      expect(run.attributes.get(Telemetry.names.verb)).toBe("TaskService.runAll")
      expect(["a", "b"]).toContain(run.attributes.get(Telemetry.names.address))
    }
  }))

it.scopedLive("work without maxTokens counts as the defaults say, those of overrides too", () =>
  Effect.gen(function*() {
    const cluster = yield* start({ a: {} })
    const outstanding = Effect.gen(function*() {
      yield* TaskService.create({ prompt: "Hi" })
      const [figures] = (yield* (yield* RWKVPool.RWKVPool).figures).servers
      return figures?.outstandingTokens
    })
    const over = Effect.provide(pool(cluster, { defaults: { maxTokens: 70 } }))
    const overriding = RWKVConfig.withConfigOverride({ defaults: { maxTokens: 30 } })
    expect(yield* over(outstanding)).toBe(70)
    expect(yield* over(overriding(outstanding))).toBe(30)
  }))

it.scopedLive("spans and metrics tell the server, once it is known", () =>
  Effect.gen(function*() {
    const cluster = yield* start(servers)
    const { own, traced } = Tracing.make()
    yield* Effect.gen(function*() {
      const { taskId } = yield* TaskService.run({ prompt: "x", maxTokens: 5 })
      const host = taskId.slice(taskId.lastIndexOf("~") + 1)
      const task = yield* TaskService.create({ prompt: "x", maxTokens: 5 })
      yield* task.wait()
      yield* Effect.flip(TaskService.status("TMP_1~c"))
      const told = own().map(({ attributes, name }) => [name, attributes.get(Telemetry.names.address)] as const)
      expect(told.find(([name]) => name === Telemetry.names.completion)).toEqual([Telemetry.names.completion, host])
      const made = task.id.slice(task.id.lastIndexOf("~") + 1)
      expect(told.find(([name]) => name === "TaskService.wait")).toEqual(["TaskService.wait", made])
      expect(told.find(([name]) => name === "TaskService.status")).toEqual(["TaskService.status", undefined])
      const durations = (yield* Metric.snapshot).filter(({ metricKey }) =>
        metricKey.name === "gen_ai.client.inference.duration" &&
        metricKey.tags.some(({ key, value }) => key === Telemetry.names.address && value === host)
      )
      expect(durations.length).toBeGreaterThan(0)
    }).pipe(Effect.provide(Layer.merge(pool(cluster), Telemetry.layer())), traced)
  }))
