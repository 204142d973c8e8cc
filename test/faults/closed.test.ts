/** F113: what is asked of services after their layer was closed. */
import type { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, LogLevel, Schedule, Scope, Stream } from "effect"
import { HttpClient, RWKV, RWKVConfig, StreamService, type Task, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../support/clock.js"

type Verb = Effect.Effect<unknown, unknown>
type Verbs = Readonly<Record<string, Verb>>
type NamedVerbs = ReadonlyArray<readonly [string, Verb]>

const id = "TMP_1"
const request = { prompt: "a", maxTokens: 5 }
const gap = { prefix: "a", maxTokens: 5 }

const ofTasks = (tasks: TaskService.Service): Verbs => ({
  "TaskService.create": tasks.create(request),
  "TaskService.createTemporary": tasks.createTemporary(request),
  "TaskService.createPersistent": tasks.createPersistent(request),
  "TaskService.fim": tasks.fim(gap),
  "TaskService.run": tasks.run(request),
  "TaskService.runAll": Stream.runDrain(tasks.runAll([request, gap])),
  "TaskService.wait": tasks.wait(id),
  "TaskService.result": tasks.result(id),
  "TaskService.status": tasks.status(id),
  "TaskService.stop": tasks.stop(id),
  "TaskService.delete": tasks.delete(id),
  "TaskService.continue": tasks.continue(id, request),
  "TaskService.fork": tasks.fork(id, request),
  "TaskService.asTemplate": tasks.asTemplate(id),
  "TaskService.list": tasks.list,
  "TaskService.models": tasks.models
})

/** With other options than the usual ones, and for what can be refused without asking the server. */
const ofTasksOtherwise = (tasks: TaskService.Service): NamedVerbs => [
  ["TaskService.run", tasks.run(gap, { timeout: "1 minute", by: "polling" })],
  ["TaskService.runAll", Stream.runDrain(tasks.runAll([]))],
  ["TaskService.runAll", Stream.runDrain(tasks.runAll(Stream.repeatEffect(Effect.succeed(request))))],
  ["TaskService.runAll", Stream.runDrain(tasks.runAll([request], { failures: "fail" }))],
  ["TaskService.wait", tasks.wait(id, { by: "polling" })],
  ["TaskService.wait", tasks.wait(id, { by: "subscription", timeout: 0 })],
  ["TaskService.stop", tasks.stop(id, { within: 0 })],
  ["TaskService.delete", tasks.delete("_TEMPLATE_1", { force: true })],
  ["TaskService.delete", tasks.delete("_TEMPLATE_1")],
  ["TaskService.asTemplate", tasks.asTemplate("_TEMPLATE_1")],
  ["TaskService.status", tasks.status("")],
  ["TaskService.create", tasks.create({ ...request, maxTokens: -1 })]
]

const ofStreams = (streams: StreamService.Service): Verbs => ({
  "StreamService.create": Stream.runDrain(streams.create(request)),
  "StreamService.createEvents": Stream.runDrain(streams.createEvents(request)),
  "StreamService.fim": Stream.runDrain(streams.fim(gap)),
  "StreamService.fimEvents": Stream.runDrain(streams.fimEvents(gap)),
  "StreamService.subscribe": Stream.runDrain(streams.subscribe(id)),
  "StreamService.subscribeEvents": Stream.runDrain(streams.subscribeEvents(id)),
  "StreamService.continue": Stream.runDrain(streams.continue(id, request)),
  "StreamService.continueEvents": Stream.runDrain(streams.continueEvents(id, request)),
  "StreamService.fork": Stream.runDrain(streams.fork(id, request)),
  "StreamService.forkEvents": Stream.runDrain(streams.forkEvents(id, request))
})

const ofStreamsOtherwise = (streams: StreamService.Service): NamedVerbs => [
  ["StreamService.create", Stream.runDrain(streams.create(request, { transport: "direct" }))],
  ["StreamService.createEvents", Stream.runDrain(streams.createEvents(request, { transport: "direct" }))],
  ["StreamService.fim", Stream.runDrain(streams.fim(gap, { transport: "direct" }))],
  ["StreamService.continue", Stream.runDrain(streams.continue(id, request, { transport: "direct" }))],
  ["StreamService.fork", Stream.runDrain(streams.fork(id, request, { transport: "subscribe" }))],
  ["StreamService.subscribe", Stream.runDrain(streams.subscribe(id, { fromToken: -3 }))],
  ["StreamService.subscribe", Stream.runDrain(streams.subscribe("", { idleTimeout: 0 }))]
]

const ofHandle = (task: Task.Task): Verbs => ({
  "TaskService.wait": task.wait(),
  "TaskService.result": task.result,
  "TaskService.status": task.status,
  "TaskService.stop": task.stop(),
  "TaskService.delete": task.delete(),
  "TaskService.continue": task.continue(request),
  "TaskService.fork": task.fork(request),
  "TaskService.asTemplate": task.asTemplate,
  "StreamService.subscribe": Stream.runDrain(task.stream()),
  "StreamService.subscribeEvents": Stream.runDrain(task.streamEvents())
})

const ofHttp = (http: HttpClient.Service): Verbs => ({
  "HttpClient.create": http.create(request),
  "HttpClient.createStream": Stream.runDrain(http.createStream(request)),
  "HttpClient.fim": http.fim(gap),
  "HttpClient.fimStream": Stream.runDrain(http.fimStream(gap)),
  "HttpClient.continue": http.continue(id, request),
  "HttpClient.continueStream": Stream.runDrain(http.continueStream(id, request)),
  "HttpClient.fork": http.fork(id, request),
  "HttpClient.forkStream": Stream.runDrain(http.forkStream(id, request)),
  "HttpClient.stream": Stream.runDrain(http.stream(id)),
  "HttpClient.result": http.result(id),
  "HttpClient.status": http.status(id),
  "HttpClient.stop": http.stop(id),
  "HttpClient.delete": http.delete(id),
  "HttpClient.asTemplate": http.asTemplate(id),
  "HttpClient.list": http.list(),
  "HttpClient.models": http.models()
})

/** Each fails as promised: by the same type, at once, with nothing sent and nothing but debug messages logged. */
const refused = (verbs: Verbs | NamedVerbs) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    yield* emulator.clearRequests
    const lines: Array<string> = []
    const log = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => {
        if (LogLevel.greaterThan(logLevel, LogLevel.Debug)) lines.push(String(message))
      })
    )
    for (const [operation, verb] of Symbol.iterator in verbs ? verbs : Object.entries(verbs)) {
      const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const error = yield* Effect.flip(verb).pipe(Effect.orElseSucceed(() => "succeeded"), Effect.provide(log))
      expect([operation, error]).toMatchObject([operation, {
        _tag: "RWKVConnectionError",
        operation,
        requestSent: false,
        isTransient: false,
        message: expect.stringContaining("nothing was sent")
      }])
      expect([operation, (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - begun]).toEqual([operation, 0])
    }
    yield* Effect.sleep("1 minute")
    expect(yield* emulator.requests).toEqual([])
    expect(lines).toEqual([])
  })

type Server = Emulator.Emulator | Platform.HttpClient

/** A layer that was built, and closed after `use`. */
const closing = <A, E, B, E2>(
  layer: Layer.Layer<A, E, Platform.HttpClient>,
  use: (services: Context.Context<A>) => Effect.Effect<B, E2, Server>
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const used = yield* Effect.flatMap(Layer.buildWithScope(layer, scope), use)
    yield* Scope.close(scope, Exit.void)
    return used
  })

const served = (options: Emulator.Options = {}) => <A, E>(program: Effect.Effect<A, E, Server>) =>
  program.pipe(Effect.provide(Emulator.layer({ reply: () => "text", ...options })), Clock.run())

const everyVerb = (services: Context.Context<RWKV.RWKV>) =>
  Effect.gen(function*() {
    const tasks = Context.get(services, TaskService.TaskService)
    const streams = Context.get(services, StreamService.StreamService)
    yield* refused(ofTasks(tasks))
    yield* refused(ofTasksOtherwise(tasks))
    yield* refused(ofStreams(streams))
    yield* refused(ofStreamsOtherwise(streams))
    yield* refused(ofHttp(Context.get(services, HttpClient.RWKVHttpClient)))
    const handle = yield* tasks.task(id)
    expect(handle.id).toBe(id)
    yield* refused(ofHandle(handle))
  })

class Program extends Context.Tag("Program")<Program, TaskService.Service>() {}

const compositions: Readonly<Record<string, Layer.Layer<RWKV.RWKV, unknown, Platform.HttpClient>>> = {
  "RWKV.layer": RWKV.layer(),
  "RWKV.layerConfig": RWKV.layerConfig(),
  "RWKV.layerWithoutConfig": Layer.provideMerge(RWKV.layerWithoutConfig, RWKVConfig.layer()),
  "the layers one by one": TaskService.layer.pipe(
    Layer.provideMerge(StreamService.layer),
    Layer.provideMerge(HttpClient.layer),
    Layer.provideMerge(RWKVConfig.layer())
  ),
  "layers of a program around it": Layer.effect(Program, TaskService.TaskService).pipe(
    Layer.provideMerge(RWKV.layer({ retry: Schedule.spaced("1 second") })),
    Layer.tap((services) => Context.get(services, TaskService.TaskService).list)
  )
}

/** Builds layers one on the other, each in a scope of its own. */
const apart = Effect.gen(function*() {
  const scopes = { http: yield* Scope.make(), streams: yield* Scope.make(), tasks: yield* Scope.make() }
  const config = yield* Layer.build(RWKVConfig.layer())
  const http = yield* Layer.buildWithScope(HttpClient.layer, scopes.http).pipe(Effect.provide(config))
  const below = Context.merge(config, http)
  const streams = yield* Layer.buildWithScope(StreamService.layer, scopes.streams).pipe(Effect.provide(below))
  const both = Context.merge(below, streams)
  const tasks = yield* Layer.buildWithScope(TaskService.layer, scopes.tasks).pipe(Effect.provide(both))
  return { services: Context.merge(both, tasks), scopes }
})

const close = (scope: Scope.CloseableScope) => Scope.close(scope, Exit.void)

describe("F113 after the layer was closed", () => {
  for (const [name, layer] of Object.entries(compositions)) {
    it.effect(`F113 every verb of every service fails unsent: ${name}`, () =>
      Effect.flatMap(closing(layer, Effect.succeed), everyVerb).pipe(served()))

    it.effect(`F113 and after its services were used: ${name}`, () =>
      Effect.gen(function*() {
        const [services, task] = yield* closing(layer, (services) =>
          Effect.gen(function*() {
            const tasks = Context.get(services, TaskService.TaskService)
            yield* tasks.run(request)
            yield* Stream.runDrain(Context.get(services, StreamService.StreamService).create(request))
            return [services, yield* tasks.create(request)] as const
          }))
        yield* everyVerb(services)
        yield* refused(ofHandle(task))
      }).pipe(served()))
  }

  it.effect("F113 what a fork left to be remembered is refused as well", () =>
    Effect.gen(function*() {
      const { fork, services, source } = yield* closing(RWKV.layer(), (services) =>
        Effect.gen(function*() {
          const source = yield* TaskService.createPersistent(request)
          yield* source.wait()
          const fork = yield* source.fork(request)
          expect((yield* fork.wait()).text).toBe("text")
          expect((yield* fork.result).text).toBe("text")
          expect((yield* source.result).text).toBe("text")
          return { fork, services, source }
        }).pipe(Effect.provide(services)))
      const tasks = Context.get(services, TaskService.TaskService)
      const streams = Context.get(services, StreamService.StreamService)
      for (const task of [source, fork]) {
        yield* refused(ofHandle(task))
        yield* refused({
          "TaskService.result": tasks.result(task.id),
          "TaskService.wait": tasks.wait(task.id),
          "TaskService.continue": tasks.continue(task.id, request),
          "StreamService.subscribe": Stream.runDrain(streams.subscribe(task.id)),
          "StreamService.subscribeEvents": Stream.runDrain(streams.subscribeEvents(task.id)),
          "StreamService.continue": Stream.runDrain(streams.continue(task.id, request)),
          "StreamService.fork": Stream.runDrain(streams.fork(task.id, request))
        })
      }
    }).pipe(served()))

  it.effect("F113 effects and streams that were made before run into it", () =>
    Effect.gen(function*() {
      const verbs = yield* closing(RWKV.layer(), (services) =>
        Effect.map(TaskService.task(id), (task) => [
          ...Object.entries(ofTasks(Context.get(services, TaskService.TaskService))),
          ...Object.entries(ofStreams(Context.get(services, StreamService.StreamService))),
          ...Object.entries(ofHttp(Context.get(services, HttpClient.RWKVHttpClient))),
          ...Object.entries(ofHandle(task))
        ]).pipe(Effect.provide(services)))
      yield* refused(verbs)
    }).pipe(served()))

  it.effect("F113 tasks closed alone: streams and endpoints go on", () =>
    Effect.gen(function*() {
      const { scopes, services } = yield* apart
      const tasks = Context.get(services, TaskService.TaskService)
      const task = yield* tasks.create(request)
      yield* close(scopes.tasks)
      yield* refused(ofTasks(tasks))
      yield* refused(ofTasksOtherwise(tasks))
      yield* refused(ofHandle(task))
      yield* refused(ofHandle(yield* tasks.task(task.id)))
      const streams = Context.get(services, StreamService.StreamService)
      expect(yield* Stream.mkString(streams.create(request))).toBe("text")
      // Its deletion comes behind it.
      yield* Effect.sleep("1 second")
      expect(yield* Context.get(services, HttpClient.RWKVHttpClient).list()).toMatchObject({ totalCount: 1 })
    }).pipe(Effect.scoped, served()))

  it.effect("F113 streams closed alone: endpoints go on, and the tasks above are closed as well", () =>
    Effect.gen(function*() {
      const { scopes, services } = yield* apart
      yield* close(scopes.streams)
      const streams = Context.get(services, StreamService.StreamService)
      yield* refused(ofStreams(streams))
      yield* refused(ofStreamsOtherwise(streams))
      yield* refused(ofTasks(Context.get(services, TaskService.TaskService)))
      expect(yield* Context.get(services, HttpClient.RWKVHttpClient).list()).toMatchObject({ totalCount: 0 })
    }).pipe(Effect.scoped, served()))

  it.effect("F113 endpoints closed alone: nothing above sends anything", () =>
    Effect.gen(function*() {
      const { scopes, services } = yield* apart
      yield* close(scopes.http)
      yield* refused(ofHttp(Context.get(services, HttpClient.RWKVHttpClient)))
      const tasks = Context.get(services, TaskService.TaskService)
      yield* refused({
        ...ofTasks(tasks),
        // What its own layer is not closed for delivers failures as results.
        "TaskService.runAll": Stream.runDrain(tasks.runAll([request], { failures: "fail" }))
      })
      yield* refused(ofStreams(Context.get(services, StreamService.StreamService)))
    }).pipe(Effect.scoped, served()))

  it.effect("F113 one of two that share what is below them: the other goes on", () =>
    Effect.gen(function*() {
      const { services } = yield* apart
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      const build = (scope: Scope.Scope) =>
        Layer.buildWithScope(StreamService.layer, scope).pipe(Effect.provide(services))
      const one = Context.get(yield* build(first), StreamService.StreamService)
      const other = Context.get(yield* build(second), StreamService.StreamService)
      yield* close(first)
      yield* refused(ofStreams(one))
      expect(yield* Stream.mkString(other.create(request))).toBe("text")
      // What they share has still to delete its task.
      yield* Effect.sleep("1 second")
      yield* close(second)
      yield* refused(ofStreams(other))
      const { create } = Context.get(services, StreamService.StreamService)
      expect(yield* Stream.mkString(create(request))).toBe("text")
    }).pipe(Effect.scoped, served()))
})
