/** What spans, metrics and hooks are told where something goes wrong. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { StreamService, TaskService, Telemetry } from "effect-rwkv"
import { against, endless, FaultKind, inject, long, onCreate, onStream, request, says } from "../support/program.js"
import { over } from "../support/silence.js"
import * as Tracing from "../support/tracing.js"
import { respond } from "../support/verbs.js"
import * as wire from "../support/wire.js"

const { names } = Telemetry

/** Metrics are those of the process: a model that no other test names tells them apart. */
const metrics = (model: string) => Tracing.metricsOf(names.model, model)
const under = (model: string, more: Telemetry.Settings = {}) => Effect.provide(Telemetry.layer({ model, ...more }))

const story = says(long)
const text = Stream.mkString(StreamService.create({ ...request, maxTokens: 320 }))
const events = Stream.runDrain(StreamService.createEvents({ ...request, maxTokens: 320 }))

describe("metrics", () => {
  it.effect("of a stream are those of one run", () =>
    Effect.gen(function*() {
      yield* events.pipe(under("m-one"))
      yield* Effect.sleep("5 seconds")
      const all = yield* metrics("m-one")
      expect(Array.from(all.keys()).sort()).toEqual([
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.operation.output_tokens",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.usage.output_tokens",
        "rwkv.client.tasks.running"
      ])
      expect(all.get("rwkv.client.tasks.running")).toMatchObject({ count: 0 })
      expect(all.get("gen_ai.client.inference.duration")).toMatchObject({ count: 1 })
      expect(all.get("gen_ai.client.inference.time_to_first_chunk")).toMatchObject({ count: 1 })
    }).pipe(against(story)))

  it.effect("count the tokens of a text stream too, which the answer to its deletion tells", () =>
    Effect.gen(function*() {
      yield* text.pipe(under("m-text"))
      yield* events.pipe(under("m-events"))
      yield* TaskService.run({ ...request, maxTokens: 320 }, { by: "polling" }).pipe(under("m-polled"))
      yield* Effect.sleep("5 seconds")
      const tokens = (model: string) =>
        Effect.map(metrics(model), (all) => all.get("gen_ai.client.inference.usage.output_tokens"))
      const told = yield* tokens("m-events")
      expect(told).toMatchObject({ count: expect.any(Number) })
      expect(yield* tokens("m-text")).toMatchObject({ count: told && "count" in told ? told.count : NaN })
      expect(yield* tokens("m-polled")).toMatchObject({ count: told && "count" in told ? told.count : NaN })
    }).pipe(against(story)))

  it.effect("of a create that is waited for while it runs are those of its run, once", () =>
    Effect.gen(function*() {
      for (const [model, options] of [["m-waited", {}], ["m-looked", { by: "polling" }]] as const) {
        yield* Effect.gen(function*() {
          const task = yield* TaskService.create({ ...request, maxTokens: 320 })
          yield* Effect.sleep("100 millis")
          const { usage } = yield* task.wait(options)
          yield* task.wait(options)
          const all = yield* metrics(model)
          expect(all.get("gen_ai.client.inference.duration"), model).toMatchObject({ count: 1 })
          expect(all.get("gen_ai.client.inference.usage.output_tokens"), model).toMatchObject({
            count: usage.outputTokens
          })
          expect(all.get("gen_ai.client.inference.operation.output_tokens"), model).toMatchObject({ count: 1 })
          expect(all.has("gen_ai.client.inference.time_to_first_chunk")).toBe(false)
        }).pipe(under(model))
      }
    }).pipe(against(story)))

  it.effect("of a create that is subscribed to are as well", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create({ ...request, maxTokens: 320 })
      yield* Stream.runDrain(task.streamEvents())
      expect((yield* metrics("m-subscribed")).get("gen_ai.client.inference.duration")).toMatchObject({ count: 1 })
    }).pipe(under("m-subscribed"), against(story)))

  it.effect("guess no duration of a create that was not followed to its end, nor of a task of others", () =>
    Effect.gen(function*() {
      const late = Effect.gen(function*() {
        const task = yield* TaskService.create({ ...request, maxTokens: 320 })
        yield* Effect.sleep("1 hour")
        return yield* task.wait()
      })
      const { usage } = yield* late.pipe(under("m-late"))
      const all = yield* metrics("m-late")
      expect(all.has("gen_ai.client.inference.duration")).toBe(false)
      expect(all.get("gen_ai.client.inference.usage.output_tokens")).toMatchObject({ count: usage.outputTokens })
      const others = yield* TaskService.create({ ...request, maxTokens: 320 })
      yield* others.wait().pipe(under("m-others"))
      expect((yield* metrics("m-others")).size).toBe(0)
    }).pipe(against(story)))

  it.effect("are none where no layer turns them on", () =>
    Effect.gen(function*() {
      yield* text.pipe(Effect.provideService(Telemetry.Telemetry, { model: "m-off" }))
      yield* Effect.sleep("5 seconds")
      expect((yield* metrics("m-off")).size).toBe(0)
    }).pipe(against(story)))

  it.effect("tell how many tasks run now", () =>
    Effect.gen(function*() {
      const running = Effect.map(metrics("m-running"), (all) => all.get("rwkv.client.tasks.running"))
      const fiber = yield* Effect.fork(under("m-running")(Stream.runDrain(StreamService.create(request))))
      yield* Effect.sleep("1 second")
      expect(yield* running).toMatchObject({ count: 1 })
      yield* Fiber.interrupt(fiber)
      expect(yield* running).toMatchObject({ count: 0 })
    }).pipe(against(endless)))
})

describe("what goes wrong", () => {
  it.effect("is told by the tag of the error, in span and metric", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      yield* inject({ on: onCreate, kind: FaultKind.Status({ status: 401 }) })
      const error = yield* text.pipe(under("m-401"), traced, Effect.flip)
      const span = one("text_completion m-401")
      expect(span.attributes.get("error.type")).toBe(error._tag)
      expect(Tracing.failureOf(span)).toMatchObject({ name: error._tag, message: "StreamService.create: 401" })
      const duration = (yield* metrics("m-401")).get("gen_ai.client.inference.duration")
      expect(duration?.tags).toContainEqual(expect.objectContaining({ key: "error.type", value: error._tag }))
    }).pipe(against(story)))

  it.effect("is told of a stream that breaks after its beginning, and not what consumers fail with", () =>
    Effect.gen(function*() {
      const broken = Tracing.make()
      yield* inject({
        on: { path: /stream|get_result|status/ },
        times: Infinity,
        kind: FaultKind.Status({ status: 410 })
      })
      const error = yield* text.pipe(under("m-broken"), broken.traced, Effect.flip)
      const span = broken.one("text_completion m-broken")
      expect(span.attributes.get("error.type")).toBe(error._tag)
      expect(Tracing.failureOf(span)).toMatchObject({ name: error._tag })
      const plain = Tracing.make()
      yield* text.pipe(plain.traced, Effect.flip)
      expect(Tracing.failureOf(plain.one("StreamService.create"))).toMatchObject({ name: error._tag })
    }).pipe(against(story)))

  it.effect("in the consumer of a stream is no failure of it", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      const failing = Stream.mapEffect(StreamService.create(request), () => Effect.fail("a secret of the consumer"))
      yield* traced(under("m-consumer")(Effect.ignore(Stream.runDrain(failing))))
      expect(one("text_completion m-consumer").exit).toMatchObject({ _tag: "Success" })
      expect(one("text_completion m-consumer").attributes.has("error.type")).toBe(false)
      yield* traced(Effect.ignore(Stream.runDrain(failing)))
      expect(one("StreamService.create").exit).toMatchObject({ _tag: "Success" })
    }).pipe(against(story)))

  it.effect("and is repeated is an event, a metric and a hook, in this order before the pause", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      const told: Array<Telemetry.Retry> = []
      yield* inject({ on: onCreate, times: 2, kind: FaultKind.Refuse() })
      yield* text.pipe(
        under("m-retry", { onRetry: (retry) => Effect.sync(() => void told.push(retry)) }),
        traced
      )
      expect(told.map(({ error, operation }) => [operation, error._tag])).toEqual([
        ["StreamService.create", "RWKVConnectionError"],
        ["StreamService.create", "RWKVConnectionError"]
      ])
      expect(Tracing.eventsOf(one("text_completion m-retry"))).toEqual([
        "rwkv.retry",
        "rwkv.retry",
        "rwkv.first_text",
        "rwkv.reconcile"
      ])
      expect((yield* metrics("m-retry")).get("rwkv.client.retries")).toMatchObject({ count: 2 })
    }).pipe(against(story)))

  it.effect("with a connection is a reconnect", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      const told: Array<Telemetry.Reconnect> = []
      yield* inject({ on: onStream, times: 2, kind: FaultKind.Cut({ afterBytes: 120, clean: false }) })
      const all = yield* text.pipe(
        under("m-cut", { onReconnect: (reconnect) => Effect.sync(() => void told.push(reconnect)) }),
        traced
      )
      expect(all).toBe(long)
      const span = one("text_completion m-cut")
      expect(told.map(({ error }) => error?._tag)).toEqual(told.map(() => "RWKVConnectionError"))
      expect(told.length).toBeGreaterThanOrEqual(2)
      expect(span.attributes.get("rwkv.reconnects")).toBe(told.length)
      expect(Tracing.eventsOf(span).filter((name) => name === "rwkv.reconnect")).toHaveLength(told.length)
      expect((yield* metrics("m-cut")).get("rwkv.client.reconnects")).toMatchObject({ count: told.length })
    }).pipe(against(story)))

  it.live("with the end of a text is healed, and told", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      const { client } = wire.platform(({ body, path }) =>
        path.includes("/stream") ? wire.events(`{"data": "te"}`, "[DONE]") : respond(path, body)
      )
      const whole = Stream.mkString(StreamService.create({ prompt: "a" }))
      expect(yield* whole.pipe(Effect.provide(over(client)), under("m-healed"), traced)).toBe("text")
      const span = one("text_completion m-healed")
      expect(span.attributes.get("rwkv.healed_characters")).toBe(2)
      expect((yield* metrics("m-healed")).get("rwkv.client.healed_characters")).toMatchObject({ count: 2 })
      expect(span.events).toContainEqual({ name: "rwkv.reconcile", attributes: { "rwkv.healed_characters": 2 } })
    }))

  it.effect("in a hook changes nothing", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, times: 1, kind: FaultKind.Refuse() })
      yield* inject({ on: onStream, times: 1, kind: FaultKind.Cut({ afterBytes: 120, clean: false }) })
      const hooks = {
        onRetry: () => {
          throw new Error("thrown")
        },
        onReconnect: () => Effect.die("a defect")
      }
      expect(yield* text.pipe(Effect.provide(Telemetry.layer(hooks)))).toBe(long)
    }).pipe(against(story)))

  it.effect("with two stops is told: they missed, and the task runs on", () =>
    Effect.gen(function*() {
      const { one, traced } = Tracing.make()
      yield* inject({ on: { path: "/stop" }, times: Infinity, kind: FaultKind.Status({ status: 200, body: "{}" }) })
      yield* traced(under("m-missed")(Stream.runDrain(Stream.take(StreamService.create(request), 1))))
      yield* Effect.sleep("10 seconds")
      const span = one("rwkv.release")
      expect(Tracing.eventsOf(span).filter((name) => name.startsWith("rwkv."))).toEqual([
        "rwkv.stop",
        "rwkv.stop_missed",
        "rwkv.stop",
        "rwkv.stop_missed"
      ])
      expect((yield* metrics("m-missed")).get("rwkv.client.tasks.running_on")).toMatchObject({ count: 1 })
      expect(one("text_completion m-missed").exit).toMatchObject({ _tag: "Success" })
    }).pipe(against(endless)))
})
