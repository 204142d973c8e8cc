/** Runs as responses of a web server: over Node's, and over the handler that edge runtimes call. */
import { HttpApp, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Layer, Option, Schedule, Schema, type Scope, Stream } from "effect"
import { Protocol, RWKV, RWKVError, StreamService } from "effect-rwkv"
import * as EventResponse from "effect-rwkv/EventResponse"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

type Handler = HttpApp.Default<never, StreamService.StreamService | Scope.Scope>

interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: Effect.Effect<string>
  /** Reads until the text is long enough. */
  readonly read: (units: number) => Effect.Effect<string>
  readonly leave: Effect.Effect<void>
}

type Call = (handler: Handler) => Effect.Effect<Reply, never, StreamService.StreamService | Scope.Scope>

const asReply = (response: Response, leave: Effect.Effect<void>): Reply => {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let seen = ""
  const readTo = (units: number): Effect.Effect<string> =>
    Effect.suspend(() =>
      seen.length >= units || reader === undefined ? Effect.succeed(seen) : Effect.flatMap(
        Effect.promise(() => reader.read()),
        ({ done, value }) => {
          seen += decoder.decode(value)
          return done ? Effect.succeed(seen) : readTo(units)
        }
      )
    )
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text: readTo(Infinity),
    read: readTo,
    leave: Effect.zipRight(leave, Effect.promise(async () => reader?.cancel().catch(() => undefined)))
  }
}

const overNode: Call = (handler) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    const url = yield* HttpServer.addressWith((address) =>
      Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}/` : "")
    ).pipe(Effect.provide(context))
    yield* HttpServer.serveEffect(handler).pipe(Effect.provide(context))
    const abort = new AbortController()
    const response = yield* Effect.promise(() => fetch(url, { signal: abort.signal }))
    return asReply(response, Effect.sync(() => abort.abort()))
  }).pipe(Effect.orDie)

const overWeb: Call = (handler) =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<StreamService.StreamService>()
    const abort = new AbortController()
    const handle = HttpApp.toWebHandlerRuntime(runtime)(handler)
    const response = yield* Effect.promise(() => handle(new Request("http://test/", { signal: abort.signal })))
    return asReply(response, Effect.sync(() => abort.abort()))
  })

/** A run whose first event is there: its status is known before the body. */
const opened = (request: Parameters<StreamService.Service["createEvents"]>[0]) =>
  Effect.gen(function*() {
    const { createEvents } = yield* StreamService.StreamService
    const pull = yield* Stream.toPull(createEvents(request, { cleanup: "delete" }))
    const first = yield* Effect.mapError(pull, Option.getOrThrow)
    return { events: Stream.concat(Stream.fromChunk(first), Stream.repeatEffectChunkOption(pull)) }
  })

const story = { prompt: "Tell me a story", maxTokens: 40 }
const endless = { prompt: "endless", maxTokens: 40_000 }

const reply: Emulator.Options["reply"] = ({ text }) =>
  text === "endless" ? { tokens: ["x"], end: "loop" } : "Once upon\na time.\u2028\n\nEnd\u0085"

const live = (options: Emulator.Options = {}) =>
  Layer.provideMerge(RWKV.layer(), Emulator.layer({ reply, pulse: "10 millis", pollInterval: 0, ...options }))

const answer = (request: typeof story, options?: EventResponse.Options): Handler =>
  EventResponse.make(opened(request), options).pipe(
    Effect.catchAll((error) => HttpServerResponse.text(error._tag, { status: 502 }))
  )

interface Sent {
  readonly event: string
  readonly data: string
}

const sent = (text: string): ReadonlyArray<Sent> =>
  text.split("\n\n").flatMap((block) => {
    const [, event, data] = /^event: ([^\n]*)\ndata: ([^\n]*)$/.exec(block) ?? []
    return event === undefined || data === undefined ? [] : [{ event, data }]
  })

const decodeEvent = Schema.decode(Schema.parseJson(Protocol.StreamEvent))
const decodeError = Schema.decode(Schema.parseJson(RWKVError.RWKVError))

/** Nothing runs any more and nothing temporary is left. */
const ended = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const [running, tasks] = yield* Effect.all([emulator.running, emulator.tasks])
  return running === 0 && tasks.length === 0
}).pipe(
  Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("10 millis") }),
  Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => "the run goes on" })
)

describe.each([["Node's server", overNode], ["the web handler", overWeb]] as const)("over %s", (_, call) => {
  it.live("a run is sent as events that no proxy holds back, and decoded to what it was", () =>
    Effect.gen(function*() {
      const { headers, status, text } = yield* call(answer(story))
      expect(status).toBe(200)
      expect(headers["content-type"]).toBe("text/event-stream")
      expect(headers["cache-control"]).toBe("no-cache, no-transform")
      expect(headers["x-accel-buffering"]).toBe("no")
      expect(headers["content-length"]).toBe(undefined)
      const all = sent(yield* text)
      const events = yield* Effect.forEach(all, ({ data }) => decodeEvent(data))
      expect(events.map(({ _tag }) => _tag)).toEqual(all.map(({ event }) => event))
      expect([events[0]?._tag, events.at(-1)?._tag]).toEqual(["Started", "Finished"])
      const texts = events.flatMap((event) => event._tag === "Text" ? [event.text] : []).join("")
      expect(texts).toBe("Once upon\na time.\u2028\n\nEnd\u0085")
      expect(events.at(-1)).toMatchObject({ result: { text: texts, finished: true } })
      yield* ended
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.live("a run that fails before its body chooses the status", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* emulator.inject({
        on: { method: "POST", path: "/v1/tasks/tmp" },
        kind: Emulator.FaultKind.Status({ status: 401 })
      })
      const { headers, status, text } = yield* call(answer(story))
      expect([status, yield* text]).toEqual([502, "RWKVStatusError"])
      expect(headers["content-type"]).not.toContain("event-stream")
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.live("a failure in mid-stream is the last event, encoded", () =>
    Effect.gen(function*() {
      const failure = new RWKVError.StreamTruncatedError({
        operation: "StreamService.create",
        text: "One\ntwo",
        description: "cut",
        cause: new Error("reset")
      })
      const events = Stream.make(Protocol.StreamEvent.Text({ text: "One\ntwo" })).pipe(
        Stream.concat(Stream.fail(failure))
      )
      const { status, text } = yield* call(Effect.orDie(EventResponse.make(Effect.succeed({ events }))))
      expect(status).toBe(200)
      const all = sent(yield* text)
      expect(all.map(({ event }) => event)).toEqual(["Text", "error"])
      const error = yield* decodeError(all[1]?.data ?? "")
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", text: "One\ntwo", description: "cut" })
      expect(error.message).toBe(failure.message)
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.live("comments are sent while the run is silent, the first at once", () =>
    Effect.gen(function*() {
      const silent = Effect.succeed({ events: Stream.never })
      const { leave, read } = yield* call(
        Effect.orDie(EventResponse.make(silent, { heartbeat: "20 millis" }))
      )
      expect(yield* read(12)).toBe(": \n\n: \n\n: \n\n")
      yield* leave
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.live("a client that leaves in mid-stream stops the run", () =>
    Effect.gen(function*() {
      const { leave, read } = yield* call(answer(endless))
      expect(yield* read(200)).toContain("event: Text")
      yield* leave
      yield* ended
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.live("a client that leaves before it has read anything stops the run", () =>
    Effect.gen(function*() {
      const { leave } = yield* call(answer(endless))
      yield* leave
      yield* ended
    }).pipe(Effect.scoped, Effect.provide(live())))
})

describe("make", () => {
  it.live("a HEAD request has the headers, and starts no run", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const runtime = yield* Effect.runtime<StreamService.StreamService>()
      const handle = HttpApp.toWebHandlerRuntime(runtime)(answer(endless))
      const response = yield* Effect.promise(() => handle(new Request("http://test/", { method: "HEAD" })))
      expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"])
      expect(yield* emulator.requests).toEqual([])
    }).pipe(Effect.provide(live())))

  it.live("the Scope that a run was opened in lives as long as the body", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const opening = Effect.as(
        Effect.addFinalizer(() => Deferred.succeed(closed, undefined)),
        { events: Stream.fromEffect(Effect.as(Deferred.isDone(closed), Protocol.StreamEvent.Text({ text: "open" }))) }
      )
      const { text } = yield* overWeb(Effect.orDie(EventResponse.make(opening)))
      expect(yield* Deferred.isDone(closed)).toBe(false)
      expect(sent(yield* text)).toHaveLength(1)
      yield* Deferred.await(closed)
    }).pipe(Effect.scoped, Effect.provide(live())))

  it.effect("a heartbeat that is none is refused, and nothing is opened", () =>
    Effect.gen(function*() {
      for (const heartbeat of [0, -1, NaN, Duration.zero]) {
        const refused = yield* Effect.either(EventResponse.make(Effect.die("opened"), { heartbeat }))
        expect(Either.getLeft(refused).pipe(Option.getOrThrow)).toMatchObject({
          _tag: "RWKVValidationError",
          issues: [{ path: "heartbeat" }]
        })
      }
    }))

  it.live("never sends a comment if told so", () =>
    Effect.gen(function*() {
      const events = Stream.make(Protocol.StreamEvent.Text({ text: "a" }))
      const { text } = yield* overWeb(
        Effect.orDie(EventResponse.make(Effect.succeed({ events }), { heartbeat: Duration.infinity }))
      )
      expect((yield* text).replace(/^: \n\n/, "")).toBe(`event: Text\ndata: {"_tag":"Text","text":"a"}\n\n`)
    }).pipe(Effect.scoped, Effect.provide(live())))
})
