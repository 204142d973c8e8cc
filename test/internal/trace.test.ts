import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream, Tracer } from "effect"
import { RWKV, type RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { isTraced, traced, tracedScoped } from "../../src/internal/trace.js"
import * as Clock from "../faults/support/clock.js"
import * as wire from "../wire.js"

interface Told {
  readonly name: string
  readonly parent: string | undefined
  ended: boolean
}

const makeTracer = () => {
  const spans: Array<Told> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const told: Told = { name, parent: Option.getOrUndefined(Option.map(parent, nameOf)), ended: false }
      spans.push(told)
      return {
        _tag: "Span",
        name,
        spanId: "0123456789abcdef",
        traceId: "0123456789abcdef0123456789abcdef",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes: new Map(),
        links,
        kind,
        sampled: true,
        end: () => {
          told.ended = true
        },
        attribute: () => {},
        event: () => {},
        addLinks: () => {}
      }
    },
    context: (run) => run()
  })
  return { spans, tracer }
}

const nameOf = (span: Tracer.AnySpan) => span._tag === "Span" ? span.name : "external"

const id = "TMP_1"

/** A server with one finished task. */
const answer = (path: string) =>
  path.includes("/stream")
    ? wire.events("{\"data\": \"text\"}", "[DONE]")
    : path.includes("/get_result")
    ? wire.json({ ...wire.created, result: "text", gen_time: 1, finished: true })
    : wire.json(wire.info)

type Program = Effect.Effect<unknown, unknown, RWKV.RWKV>

/** What was sent, and in which span each request was answered. */
const run = (program: Program, tracer?: Tracer.Tracer, config?: RWKVConfig.Options) => {
  const within: Array<string | undefined> = []
  const { client, sent } = wire.platform(({ path }) =>
    Effect.map(Effect.option(Effect.currentSpan), (span) => {
      within.push(Option.getOrUndefined(Option.map(span, nameOf)))
      return answer(path)
    })
  )
  const layer = RWKV.layer(config).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
    Layer.provideMerge(tracer === undefined ? Layer.empty : Layer.setTracer(tracer))
  )
  return Effect.as(Effect.provide(program, layer), { sent, within }).pipe(Clock.run())
}

/** The operations that are spans, and the requests that each of them sends. */
const operations: ReadonlyArray<readonly [what: string, name: string, program: Program, requests: number]> = [
  ["status", "TaskService.status", TaskService.status(id), 1],
  ["wait by polling", "TaskService.wait", TaskService.wait(id, { by: "polling" }), 2],
  ["wait by subscription", "TaskService.wait", TaskService.wait(id, { by: "subscription" }), 2],
  ["subscribe", "StreamService.subscribe", Stream.runDrain(StreamService.subscribe(id)), 2]
]

const traceHeaders = ({ headers }: wire.Sent) => Object.keys(headers).filter((name) => /^(b3|traceparent)$/i.test(name))

describe("tracing", () => {
  for (const [what, name, program, requests] of operations) {
    it.effect(`${what} makes no span for the tracer that nobody chose`, () =>
      Effect.gen(function*() {
        const { within } = yield* run(program)
        expect(within).toEqual(Array.from({ length: requests }, () => undefined))
        const inside = yield* run(Effect.withSpan(program, "outer"))
        expect(inside.within).toEqual(Array.from({ length: requests }, () => "outer"))
      }))

    it.effect(`${what} is a span of a tracer that was chosen, and the parent of its requests`, () =>
      Effect.gen(function*() {
        const { spans, tracer } = makeTracer()
        const { sent, within } = yield* run(Effect.withSpan(program, "outer"), tracer)
        expect(spans.slice(0, 2)).toEqual([
          { name: "outer", parent: undefined, ended: true },
          { name, parent: "outer", ended: true }
        ])
        expect(new Set(spans.map(({ name }) => name))).toEqual(new Set(["outer", name, "http.client GET"]))
        const http = spans.filter(({ name }) => name === "http.client GET")
        expect(http).toEqual(
          Array.from({ length: requests }, () => ({ name: "http.client GET", parent: name, ended: true }))
        )
        expect(within).toEqual(http.map(({ name }) => name))
        // What a program traces is its own affair, until it says otherwise.
        expect(sent.flatMap(traceHeaders)).toEqual([])
      }))

    it.effect(`${what} makes no span where tracing is switched off`, () =>
      Effect.gen(function*() {
        const { spans, tracer } = makeTracer()
        yield* run(Effect.withTracerEnabled(program, false), tracer)
        expect(spans).toEqual([])
      }))

    it.effect(`${what} sends trace headers if the client is told to`, () =>
      Effect.gen(function*() {
        const { tracer } = makeTracer()
        const { sent } = yield* run(program, tracer, { transformClient: HttpClient.withTracerPropagation(true) })
        expect(sent.map((one) => traceHeaders(one).sort())).toEqual(
          Array.from({ length: requests }, () => ["b3", "traceparent"])
        )
      }))
  }

  it.effect("a span ends with what it is about, also when that fails or is left", () =>
    Effect.gen(function*() {
      const { spans, tracer } = makeTracer()
      yield* run(Effect.exit(TaskService.status("..")), tracer)
      yield* run(Stream.runHead(StreamService.subscribe(id)), tracer)
      yield* run(Effect.timeoutOption(traced("never", Effect.never), 10), tracer)
      expect(spans.map(({ ended, name }) => [name, ended])).toContainEqual(["StreamService.subscribe", true])
      expect(spans.map(({ ended, name }) => [name, ended])).toContainEqual(["never", true])
      expect(spans.every(({ ended }) => ended)).toBe(true)
    }))

  it.effect("a scoped span ends with the scope, and not with what opened it", () =>
    Effect.gen(function*() {
      const { spans, tracer } = makeTracer()
      yield* Effect.gen(function*() {
        const within = yield* tracedScoped("opening", Effect.map(Effect.currentSpan, nameOf))
        expect(within).toBe("opening")
        expect(spans).toEqual([{ name: "opening", parent: undefined, ended: false }])
      }).pipe(Effect.scoped, Effect.withTracer(tracer))
      expect(spans).toEqual([{ name: "opening", parent: undefined, ended: true }])
    }))

  it.effect("without a tracer what is traced is the effect itself", () =>
    Effect.gen(function*() {
      expect(yield* Effect.withFiberRuntime((fiber) => Effect.succeed(isTraced(fiber)))).toBe(false)
      expect(yield* Effect.option(traced("none", Effect.currentSpan))).toEqual(Option.none())
      expect(yield* Effect.scoped(Effect.option(tracedScoped("none", Effect.currentSpan)))).toEqual(Option.none())
    }))
})
