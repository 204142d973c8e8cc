/** Operations that fail before they ask anything have the same span as all others. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { StreamService, TaskService, Telemetry } from "effect-rwkv"
import { over } from "../support/silence.js"
import * as Tracing from "../support/tracing.js"
import { id, respond } from "../support/verbs.js"
import * as wire from "../support/wire.js"

type Verbs = Readonly<Record<string, Effect.Effect<unknown, unknown, Scope.Scope>>>

interface Given {
  readonly taskId: string
  readonly maxTokens: number
  readonly options: object
}

const right: Given = { taskId: id, maxTokens: 5, options: {} }

const verbsOf = (
  services: Context.Context<TaskService.TaskService | StreamService.StreamService>,
  given: Given
): Verbs => {
  const tasks = Context.get(services, TaskService.TaskService)
  const streams = Context.get(services, StreamService.StreamService)
  const { maxTokens, options, taskId } = given
  const request = { prompt: "a", maxTokens }
  const gap = { prefix: "a", maxTokens }
  const all = Stream.runDrain
  return {
    "TaskService.create": tasks.create(request),
    "TaskService.createTemporary": tasks.createTemporary(request),
    "TaskService.createPersistent": tasks.createPersistent(request),
    "TaskService.fim": tasks.fim(gap),
    "TaskService.run": tasks.run(request, options),
    "TaskService.runAll": all(tasks.runAll([], options)),
    "TaskService.wait": tasks.wait(taskId, options),
    "TaskService.result": tasks.result(taskId),
    "TaskService.status": tasks.status(taskId),
    "TaskService.stop": tasks.stop(taskId, options),
    "TaskService.delete": tasks.delete(taskId, options),
    "TaskService.continue": tasks.continue(taskId, request, options),
    "TaskService.fork": tasks.fork(taskId, request, options),
    "TaskService.asTemplate": tasks.asTemplate(taskId),
    "StreamService.create": all(streams.create(request, options)),
    "StreamService.createEvents": all(streams.createEvents(request, options)),
    "StreamService.fim": all(streams.fim(gap, options)),
    "StreamService.fimEvents": all(streams.fimEvents(gap, options)),
    "StreamService.subscribe": all(streams.subscribe(taskId, options)),
    "StreamService.subscribeEvents": all(streams.subscribeEvents(taskId, options)),
    "StreamService.continue": all(streams.continue(taskId, request, options)),
    "StreamService.continueEvents": all(streams.continueEvents(taskId, request, options)),
    "StreamService.fork": all(streams.fork(taskId, request, options)),
    "StreamService.forkEvents": all(streams.forkEvents(taskId, request, options)),
    "StreamService.open": streams.open(request, options),
    "StreamService.openContinue": streams.openContinue(taskId, request, options),
    "StreamService.openFork": streams.openFork(taskId, request, options)
  }
}

const asksOnly = (services: Context.Context<TaskService.TaskService>): Verbs => {
  const { list, models } = Context.get(services, TaskService.TaskService)
  return { "TaskService.list": list, "TaskService.models": models }
}

const ofHandle = (services: Context.Context<TaskService.TaskService>, given: Given): Effect.Effect<Verbs> =>
  Effect.map(Effect.orDie(Context.get(services, TaskService.TaskService).task(id)), (task) => ({
    "TaskService.continue": task.continue({ prompt: "a", maxTokens: given.maxTokens }, given.options),
    "TaskService.fork": task.fork({ prompt: "a", maxTokens: given.maxTokens }, given.options),
    "StreamService.subscribe": Stream.runDrain(task.stream(given.options)),
    "StreamService.subscribeEvents": Stream.runDrain(task.streamEvents(given.options))
  }))

const starts = /create|fim|run$|continue|fork|open/i

/** Each fails, with one span that says how. */
const refused = (verbs: Verbs, tag: string, records: boolean) =>
  Effect.forEach(Object.entries(verbs), ([operation, verb]) =>
    Effect.gen(function*() {
      const { own, traced } = Tracing.make()
      const asked = traced(Effect.scoped(Effect.flip(verb)))
      const error = yield* records ? Effect.provide(asked, Telemetry.layer({ model: "m" })) : asked
      expect([operation, error]).toMatchObject([operation, { _tag: tag, operation }])
      const spans = own().map((span) => ({
        name: span.name,
        verb: span.attributes.get(Telemetry.names.verb),
        error: span.attributes.get(Telemetry.names.errorType),
        failure: Tracing.failureOf(span)
      }))
      const name = records && starts.test(operation) ? "text_completion m" : operation
      expect(spans, operation).toEqual([{
        name,
        verb: records ? operation : undefined,
        error: records ? tag : undefined,
        failure: expect.objectContaining({ name: tag, message: operation })
      }])
    }), { discard: true })

const built = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const { client, sent } = wire.platform(({ body, path }) => respond(path, body))
  const services = yield* Layer.buildWithScope(over(client), scope)
  return { services, sent, close: Scope.close(scope, Exit.void) }
})

describe("an operation that asks nothing is one span as well", () => {
  for (const records of [true, false]) {
    const how = records ? "with records" : "by the name of its verb"

    it.live(`where its service was closed, ${how}`, () =>
      Effect.gen(function*() {
        const { close, sent, services } = yield* built
        yield* close
        yield* refused(verbsOf(services, right), "RWKVConnectionError", records)
        yield* refused(asksOnly(services), "RWKVConnectionError", records)
        yield* refused(yield* ofHandle(services, right), "RWKVConnectionError", records)
        expect(sent).toEqual([])
      }))

    it.live(`where what it was given is wrong, ${how}`, () =>
      Effect.gen(function*() {
        const { close, sent, services } = yield* built
        for (
          const wrong of [{ taskId: "", maxTokens: -1 }, {
            options: { cleanup: 5, concurrency: "a", by: 1, within: -1, force: 1 }
          }]
        ) {
          const given = { ...right, ...wrong }
          const takesOptions = Object.entries(verbsOf(services, given)).filter(([name]) =>
            "taskId" in wrong
              ? name !== "TaskService.runAll"
              : !/^TaskService\.(create|fim|result|status|asTemplate)/.test(name)
          )
          yield* refused(Object.fromEntries(takesOptions), "RWKVValidationError", records)
        }
        yield* refused(
          yield* ofHandle(services, { ...right, options: { idleTimeout: "a", allowPastStop: 5 } }),
          "RWKVValidationError",
          records
        )
        expect(sent).toEqual([])
        yield* close
      }))
  }
})
