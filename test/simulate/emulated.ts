/**
 * The same client with the SDK and emulators behind it, on virtual time: what the model is compared with. Each token of an
 * emulator is one byte, and so is each unit of a prompt.
 */
import { HttpClient } from "@effect/platform"
import { Clock as Time, Context, Deferred, Duration, Effect, FiberSet, Layer, type Scope, Stream } from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import * as InProcess from "../../src/testing/http/client.js"
import { Exchange } from "../../src/testing/http/exchange.js"
import * as Machine from "../../src/testing/server/machine.js"
import * as Clock from "../support/clock.js"
import { Client } from "./client.js"
import type { Model } from "./server.js"
import type { Task } from "./tasks.js"

export interface Options {
  readonly seed: number
  readonly model: Model
  readonly speeds: ReadonlyArray<number>
  readonly capacity: number
  readonly tasks: ReadonlyArray<Task>
}

export interface Outcome {
  readonly seconds: number
  readonly requests: number
  /** Entries that a cache held at most. */
  readonly entries: number
}

const now = Effect.map(Time.currentTimeMillis, (millis) => millis / 1000)

/** The number of the task, as long as its prompt. */
const promptOf = (task: Task) => `${task.id}`.padStart(task.prompt, "0")

const server = (options: Options, speed: number, onDeleted: (task: Task) => void) =>
  Effect.gen(function*() {
    const { model, tasks } = options
    const started = new Map<string, Task>()
    const machine = yield* Machine.make({
      pulse: 1000 * model.pulse / speed,
      tokensPerPulse: model.tokensPerPulse,
      pollInterval: 1000 * model.poll,
      maxBatchSize: model.slots,
      cacheCapacity: model.cache,
      prefillPerToken: 1000 * model.perUnit / speed,
      reply: ({ taskId, text }) => {
        const task = tasks[Number(text)]
        if (task !== undefined) started.set(taskId, task)
        return "x".repeat(task?.tokens ?? 0)
      }
    })
    const { batch } = machine.scheduler
    const start = batch.start.bind(batch)
    batch.start = (task, place, seconds) => {
      const known = started.get(task.ownId)
      if (known !== undefined) known.started = seconds
      start(task, place, seconds)
    }
    let entries = 0
    const { store } = machine
    const put = store.put.bind(store)
    store.put = (id, task) => {
      put(id, task)
      entries = Math.max(entries, store.cache.size)
    }
    const remove = store.remove.bind(store)
    store.remove = (id) => {
      remove(id)
      const known = started.get(id)
      if (known !== undefined) onDeleted(known)
    }
    const exchange = new Exchange(machine)
    const services = yield* Layer.build(
      Layer.provide(RWKV.layer(), Layer.succeed(HttpClient.HttpClient, InProcess.make(exchange)))
    )
    return { services, requests: () => exchange.requests.length, entries: () => entries }
  })

const drive = (options: Options): Effect.Effect<Outcome, RWKVError.RWKVError, Scope.Scope> =>
  Effect.gen(function*() {
    const { capacity, model, seed, speeds, tasks } = options
    const gone = new Set<Task>()
    /** What is deleted behind a stream may be so before that is seen to have ended. */
    const onDeleted = (task: Task) => {
      if (Number.isNaN(task.ended)) gone.add(task)
      else client.onDeleted(task)
    }
    const servers = yield* Effect.forEach(speeds, (speed) => server(options, speed, onDeleted))
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    const done = yield* Deferred.make<void, RWKVError.RWKVError>()
    let ended = 0
    const client: Client = new Client({
      seed,
      way: "pool",
      servers: speeds.map(() => ({ weight: undefined, capacity, keeps: model.cache })),
      send: (task, at) => {
        fork(Effect.catchAll(run(task, at), (error) => Effect.asVoid(Deferred.fail(done, error))))
      }
    })
    const run = (task: Task, at: number) =>
      Effect.gen(function*() {
        const { services } = servers[at] ?? (yield* Effect.dieMessage("no such server"))
        let id = ""
        const request = { prompt: promptOf(task), maxTokens: task.maxTokens }
        const keep = task.keptFor > 0 ? { cleanup: "keep" } as const : {}
        const events = Context.get(services, StreamService.StreamService).createEvents(request, keep)
        let seconds = 0
        yield* Stream.runForEach(events, (event) =>
          Effect.sync(() => {
            if (event._tag === "Started") {
              id = event.taskId
              client.onRead(task)
            }
            if (event._tag === "Text") client.onTokens(task, event.text.length)
            if (event._tag === "Finished") seconds = Duration.toSeconds(event.result.generationTime)
          }))
        task.ended = yield* now
        client.onEnded(task, seconds)
        if (gone.has(task)) client.onDeleted(task)
        if (++ended === tasks.length) yield* Deferred.succeed(done, undefined)
        if (task.keptFor === 0) return
        yield* Effect.sleep(1000 * task.keptFor)
        yield* Context.get(services, TaskService.TaskService).delete(id)
      })
    for (const task of tasks) {
      const wait = task.submitted - (yield* now)
      if (wait > 0) yield* Effect.sleep(1000 * wait)
      client.submit(task)
    }
    yield* Deferred.await(done)
    const seconds = yield* now
    yield* Effect.sleep("1 minute")
    return {
      seconds,
      requests: servers.reduce((sum, server) => sum + server.requests(), 0),
      entries: Math.max(...servers.map((server) => server.entries()))
    }
  })

/** Runs all tasks, and writes into them when they began and ended. */
export const run = (options: Options): Promise<Outcome> =>
  Effect.runPromise(Effect.scoped(drive(options)).pipe(Clock.run("10 hours")))
