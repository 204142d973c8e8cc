/** One generation in a workflow, on an engine without a storage. */
import * as Workflow from "@effect/workflow/Workflow"
import type { WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option, Schema } from "effect"
import { RWKVError } from "effect-rwkv"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import { Emulator } from "effect-rwkv/testing"
import { against, memory, type Needs, until } from "../support/durable.js"
import {
  count,
  endless,
  FaultKind,
  inject,
  onCreate,
  request,
  running,
  says,
  tasks,
  verbs
} from "../support/program.js"

const generation = { key: "a", request }

const byEcho: Emulator.Options = { reply: ({ text }) => `<${text}>` }

const Own = Workflow.make({
  name: "Own",
  payload: { key: Schema.String },
  idempotencyKey: ({ key }) => key,
  success: Schema.String,
  error: RWKVError.RWKVError
})

/** Runs a body as a workflow of the program's own. */
const run = (body: Effect.Effect<string, RWKVError.RWKVError, Needs | WorkflowInstance | Emulator.Emulator>) =>
  Effect.flatMap(Effect.context<Emulator.Emulator>(), (context) =>
    Own.execute({ key: "a" }).pipe(
      Effect.provide(memory(Own.toLayer(() => Effect.provide(body, context))))
    ))

const durable = (options: Emulator.Options = {}) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
  program.pipe(Effect.provide(memory(RWKVDurable.layer)), against(options))

const generate = (name: string, prompt = name, recreate?: number) =>
  Effect.map(
    RWKVDurable.generate({ name, request: { prompt, maxTokens: 100 }, recreate }),
    ({ text }) => text
  )

describe("a generation that is recorded", () => {
  it.live("has the text, what it cost and why it ended, and its task is deleted", () =>
    Effect.gen(function*() {
      expect(yield* RWKVDurable.Generation.execute(generation)).toEqual({
        text: "hello",
        usage: { outputTokens: 5 },
        finishReason: "stop"
      })
      expect(yield* tasks).toEqual([])
    }).pipe(durable(says("hello"))))

  it.live("is made once for a key, whoever starts it and however often", () =>
    Effect.gen(function*() {
      const ids = yield* Effect.all([RWKVDurable.start(generation), RWKVDurable.start(generation)], { concurrency: 2 })
      expect(ids[0]).toBe(ids[1])
      const end = yield* RWKVDurable.Generation.execute(generation)
      expect(yield* RWKVDurable.poll(ids[0])).toEqual(Option.some(Exit.succeed(end)))
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(durable(says("hello"))))

  it.live("fills in the middle where a prefix is given", () =>
    Effect.gen(function*() {
      const { text } = yield* RWKVDurable.Generation.execute({ key: "a", request: { prefix: "a", maxTokens: 9 } })
      expect([text, yield* verbs]).toEqual(["b", expect.arrayContaining(["POST fim"])])
    }).pipe(durable(says("b"))))

  it.live("is none as long as it has not ended, and of an id that nobody knows", () =>
    Effect.gen(function*() {
      const id = yield* RWKVDurable.start(generation)
      expect(yield* RWKVDurable.poll(id)).toEqual(Option.none())
      expect(yield* RWKVDurable.poll("of another")).toEqual(Option.none())
    }).pipe(durable(endless)))

  it.live("is not begun if its request is invalid, or has no bound", () =>
    Effect.gen(function*() {
      const unbounded = { prompt: "a" } as RWKVDurable.Request
      for (const request of [unbounded, { prompt: "", maxTokens: 5 }, { prompt: "a", maxTokens: 5, topK: 1000 }]) {
        const error = yield* Effect.flip(RWKVDurable.start({ key: "a", request }))
        expect(error).toMatchObject({ _tag: "RWKVValidationError", operation: "RWKVDurable.start" })
        expect(error.issues[0]?.path).toMatch(/^request\./)
      }
      expect(yield* verbs).toEqual([])
    }).pipe(durable()))

  it.live("fails in its workflow if its request or its options are invalid", () =>
    Effect.gen(function*() {
      expect(yield* Effect.flip(run(generate("a", "")))).toMatchObject({ _tag: "RWKVValidationError" })
      expect(yield* Effect.flip(run(generate("a", "b", -1)))).toMatchObject({ issues: [{ path: "recreate" }] })
    }).pipe(against()))
})

describe("generations of one workflow", () => {
  it.live("of two names have a result each", () =>
    Effect.gen(function*() {
      const both = Effect.zipWith(generate("one"), generate("two"), (a, b) => a + b, { concurrent: true })
      expect(yield* run(both)).toBe("<one><two>")
    }).pipe(against(byEcho)))

  it.live("of one name share the result of the first", () =>
    Effect.gen(function*() {
      const both = Effect.zipWith(generate("one", "a"), generate("one", "b"), (a, b) => a + b)
      expect(yield* run(both)).toBe("<a><a>")
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(against(byEcho)))

  it.live("leave no task if another one fails or wins", () =>
    Effect.gen(function*() {
      const failing = Effect.zipRight(
        until(Effect.map(running, (n) => n > 0)),
        generate("bad", "")
      )
      expect(yield* Effect.flip(run(Effect.zipRight(generate("long"), failing, { concurrent: true }))))
        .toMatchObject({ _tag: "RWKVValidationError" })
      expect([yield* running, yield* tasks]).toEqual([0, []])
      const winner = Effect.as(until(Effect.map(running, (n) => n > 0)), "first")
      expect(yield* run(Effect.raceFirst(generate("long"), winner))).toBe("first")
      expect([yield* running, yield* tasks]).toEqual([0, []])
    }).pipe(against({ reply: () => ({ tokens: ["a"], end: "loop" }), pulse: "1 second" })))
})

describe("a task that is gone", () => {
  const gone = { kind: FaultKind.Status({ status: 404, body: "{\"detail\":\"Task not found\"}" }) }
  const lose = (times: number) => inject({ ...gone, on: { method: "GET" }, times })

  it.live("is made anew", () =>
    Effect.gen(function*() {
      yield* lose(1)
      expect(yield* run(generate("a"))).toBe("<a>")
      expect(yield* count("POST tmp")).toBe(2)
    }).pipe(against(byEcho)))

  it.live("is made anew so often and no more", () =>
    Effect.gen(function*() {
      yield* lose(1000)
      expect(yield* Effect.flip(run(generate("a", "a", 2)))).toMatchObject({ _tag: "TaskNotFoundError" })
      expect(yield* count("POST tmp")).toBe(3)
    }).pipe(against(byEcho)))
})

describe("a server that is down", () => {
  it.live("is waited for, before the task is made and while it runs", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.shutdown
      const id = yield* RWKVDurable.start(generation)
      yield* Effect.sleep("5 minutes")
      yield* emulator.restart("kill")
      yield* until(Effect.map(running, (n) => n > 0))
      yield* emulator.shutdown
      yield* Effect.sleep("5 minutes")
      yield* emulator.restart("kill")
      yield* until(Effect.map(RWKVDurable.poll(id), Option.isSome))
      expect(yield* RWKVDurable.poll(id)).toMatchObject({ value: { value: { finishReason: "length" } } })
    }).pipe(durable(endless)))
})

describe("cancelling", () => {
  it.live("stops the task within seconds, and tells what there is of the text", () =>
    Effect.gen(function*() {
      const id = yield* RWKVDurable.start({ key: "a", request: { prompt: "a", maxTokens: 40_000 } })
      yield* until(Effect.map(running, (n) => n > 0))
      yield* RWKVDurable.cancel(id)
      yield* Effect.sleep("5 seconds")
      expect(yield* running).toBe(0)
      const error = yield* Effect.flip(
        RWKVDurable.Generation.execute({ key: "a", request: { prompt: "a", maxTokens: 40_000 } })
      )
      expect(error).toMatchObject({ _tag: "TaskCancelledError", text: expect.stringMatching(/^(ab)+/) })
      expect(yield* tasks).toEqual([])
    }).pipe(durable(endless)))

  it.live("ends it even if the server does not answer", () =>
    Effect.gen(function*() {
      const id = yield* RWKVDurable.start(generation)
      yield* until(Effect.map(running, (n) => n > 0))
      yield* Effect.flatMap(Emulator.Emulator, (self) => self.shutdown)
      yield* RWKVDurable.cancel(id)
      yield* Effect.sleep("20 seconds")
      expect(yield* RWKVDurable.poll(id)).toMatchObject({ _tag: "Some" })
    }).pipe(durable(endless)))

  it.live("does not wait for a task that is being made, which is stopped when it is there", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Delay({ duration: "100 seconds" }) })
      const id = yield* RWKVDurable.start({ key: "a", request: { prompt: "a", maxTokens: 40_000 } })
      yield* Effect.sleep("5 seconds")
      yield* RWKVDurable.cancel(id)
      yield* Effect.sleep("5 seconds")
      expect(yield* RWKVDurable.poll(id)).toMatchObject({ value: { cause: { error: { _tag: "TaskCancelledError" } } } })
      yield* Effect.sleep("2 minutes")
      expect(yield* tasks).toEqual([])
    }).pipe(durable(endless)))

  it.live("makes no task if it comes before", () =>
    Effect.gen(function*() {
      const id = yield* RWKVDurable.Generation.executionId(generation)
      yield* RWKVDurable.cancel(id)
      yield* until(Effect.map(RWKVDurable.Cancellation.executionId({ executionId: id }), (id) => id !== ""))
      yield* Effect.sleep("1 second")
      expect(yield* Effect.flip(RWKVDurable.Generation.execute(generation))).toMatchObject({
        _tag: "TaskCancelledError"
      })
      expect(yield* verbs).toEqual([])
    }).pipe(durable(endless)))
})
