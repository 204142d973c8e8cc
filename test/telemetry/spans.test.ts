/** The tree of spans that each verb makes. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { StreamService, TaskService, Telemetry } from "effect-rwkv"
import { over } from "../support/silence.js"
import * as Tracing from "../support/tracing.js"
import { id, reads, request, respond, tidy, type Verb, works } from "../support/verbs.js"
import * as wire from "../support/wire.js"

const { names } = Telemetry

const served = (verb: Verb, settings: Telemetry.Settings = {}) =>
  Effect.gen(function*() {
    const { own, traced, tree } = Tracing.make()
    const { client, sent } = wire.platform(({ body, path }) => respond(path, body))
    yield* traced(Effect.provide(verb, over(client))).pipe(Effect.provide(Telemetry.layer(settings)))
    return { tree: tree(), own: own(), sent }
  })

const opened = Effect.scoped(Effect.flatMap(StreamService.open(request), ({ finished }) => finished))

const verbs = { ...reads, ...works, ...tidy, open: opened }

/** Every request is inside of a span of ours, and no span is there twice. */
const trees: Readonly<Record<string, string>> = {
  status: "TaskService.status(GET status)",
  result: "TaskService.result(GET get_result)",
  list: "TaskService.list(GET list)",
  models: "TaskService.models(GET models)",
  "wait by polling": "TaskService.wait(GET status, GET get_result, GET status)",
  "wait by subscription": "TaskService.wait(GET stream, GET get_result, GET status)",
  "wait with a limit": "TaskService.wait(GET status, GET get_result, GET status)",
  subscribe: "StreamService.subscribe(GET stream, GET get_result)",
  subscribeEvents: "StreamService.subscribeEvents(GET stream, GET get_result, GET status)",
  stop: "TaskService.stop(GET status)",
  delete: "TaskService.delete(POST delete)",
  asTemplate: "TaskService.asTemplate(POST as_template, GET get_result)",
  continue: "text_completion(GET status, POST continue)",
  fork: "text_completion(GET status, GET get_result, POST fork, GET get_result)",
  create: "text_completion(POST tmp)",
  createPersistent: "text_completion(POST create)",
  fim: "text_completion(POST fim)",
  "create, subscribed": "text_completion(POST tmp, GET stream, GET get_result, rwkv.release(POST delete))",
  "create, direct": "text_completion(POST tmp, GET get_result, rwkv.release(POST delete))",
  "continue, subscribed": "text_completion(GET status, POST continue, GET stream, GET get_result)",
  "continue, direct": "text_completion(GET status, POST continue, GET get_result)",
  "fork, direct": "text_completion(GET status, GET get_result, POST fork, GET get_result, rwkv.release(POST delete))",
  open: "text_completion(POST tmp, GET stream, GET get_result, rwkv.release(POST delete))",
  run: "text_completion(POST tmp, GET stream, GET get_result, rwkv.release(POST delete))",
  "create as text": "text_completion(POST tmp, GET stream, GET get_result, rwkv.release(POST delete))",
  runAll: "TaskService.runAll(text_completion(POST tmp, GET stream, GET get_result, rwkv.release(POST delete)))"
}

describe("the spans of a verb", () => {
  for (const [name, verb] of Object.entries(verbs)) {
    it.live(`are one tree with all of its requests: ${name}`, () =>
      Effect.gen(function*() {
        const { own, tree } = yield* served(verb)
        expect(tree).toBe(trees[name])
        for (const { attributes, exit, kind, name } of own) {
          // A fork that goes on ends with the service.
          if (verb !== works["fork"]) expect(exit).toMatchObject({ _tag: "Success" })
          expect(attributes.get(names.verb)).toMatch(/Service\./)
          expect(kind).toBe(/release|runAll/.test(name) ? "internal" : "client")
        }
      }))
  }

  it.live("of many runs have one parent, which lasts as long as their stream", () =>
    Effect.gen(function*() {
      const { own, tree } = yield* served(Stream.runDrain(TaskService.runAll([request, request, request])))
      expect(tree).toBe(trees["runAll"])
      const [parent, ...children] = own.filter(({ name }) => name !== names.release)
      expect(children.map(({ parent }) => parent)).toMatchObject(
        children.map(() => ({ value: { spanId: parent?.spanId } }))
      )
      expect(children).toHaveLength(3)
    }))

  it.live("are named after the model where a program names one, and have what requests give", () =>
    Effect.gen(function*() {
      const verb = Stream.runDrain(
        StreamService.createEvents({ ...request, temperature: 0.5, topK: 3, topP: 0.1, presencePenalty: 1, seed: 7 }, {
          stop: ["\nUser:"]
        })
      )
      const { own } = yield* served(verb, { model: "rwkv-7" })
      const [span] = own
      expect(span?.name).toBe("text_completion rwkv-7")
      expect(Object.fromEntries(span?.attributes ?? [])).toMatchObject({
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "rwkv",
        "gen_ai.request.model": "rwkv-7",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_k": 3,
        "gen_ai.request.top_p": 0.1,
        "gen_ai.request.presence_penalty": 1,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["\nUser:"],
        "gen_ai.request.stream": true,
        "gen_ai.response.id": id,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.response.time_to_first_chunk": expect.any(Number),
        "gen_ai.usage.output_tokens": 5,
        "server.address": "localhost",
        "server.port": 8000,
        "rwkv.operation": "StreamService.createEvents",
        "rwkv.task.id": id,
        "rwkv.prefill_time": expect.any(Number)
      })
    }))

  it.live("say which task was forked", () =>
    Effect.gen(function*() {
      const { own } = yield* served(Stream.runDrain(StreamService.fork("TASK_9", request)))
      expect(own[0]?.attributes.get("rwkv.fork.source")).toBe("TASK_9")
    }))

  it.live("have prompts and texts only when asked for", () =>
    Effect.gen(function*() {
      const messages = ({ attributes }: Tracing.Kept) => [attributes.get(names.input), attributes.get(names.output)]
      const stream = Stream.runDrain(StreamService.create(request))
      expect((yield* served(stream)).own.flatMap(messages)).toEqual([undefined, undefined, undefined, undefined])
      expect((yield* served(stream, { content: true })).own.map(messages)[0]).toEqual([
        `[{"role":"user","parts":[{"type":"text","content":"a"}]}]`,
        `[{"role":"assistant","parts":[{"type":"text","content":"text"}]}]`
      ])
    }))

  it.live("go on to the server only when asked for", () =>
    Effect.gen(function*() {
      const traceparents = (settings: Telemetry.Settings) =>
        Effect.map(served(works["create"] ?? TaskService.models, settings), ({ sent }) =>
          sent.map(({ headers }) => headers["traceparent"] !== undefined))
      expect(yield* traceparents({})).toEqual([false])
      expect(yield* traceparents({ propagation: true })).toEqual([true])
    }))

  it.live("are none where the program has turned tracing off, and all works", () =>
    Effect.gen(function*() {
      for (const verb of Object.values(verbs)) {
        const { own } = yield* served(Effect.withTracerEnabled(verb, false))
        expect(own).toEqual([])
      }
    }))
})
