/** The id that a proxy gave a request, as results tell it. */
import { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Option, Schema, Stream } from "effect"
import { Protocol, RWKV, StreamService, TaskService } from "effect-rwkv"
import { id, request, respond } from "../../support/verbs.js"
import * as wire from "../../support/wire.js"

/** Names each request after its endpoint: `tmp`, `stream`, `get_result` ... */
const proxied: wire.Respond = ({ body, path }) => {
  const response = respond(path, body)
  response.headers.set("x-request-id", path.split("/").at(-1)?.replace(/\?.*/, "") ?? "")
  response.headers.set("x-other", "private")
  return response
}

const live = (answer: wire.Respond) =>
  RWKV.layer().pipe(Layer.provide(Layer.succeed(Platform.HttpClient, wire.platform(answer).client)))

const finishedBy = <E, R>(events: Stream.Stream<Protocol.StreamEvent, E, R>) =>
  Effect.map(Stream.runCollect(events), (all) => {
    const last = Option.getOrThrow(Chunk.last(all))
    return last._tag === "Finished" ? last.result : undefined
  })

const kept = { cleanup: "keep" } as const

const started: ReadonlyArray<
  readonly [
    name: string,
    end: Effect.Effect<Protocol.TaskResult | undefined, unknown, TaskService.TaskService | StreamService.StreamService>,
    requestId: string
  ]
> = [
  ["run", TaskService.run(request), "tmp"],
  ["run by polling", TaskService.run(request, { by: "polling" }), "tmp"],
  ["run of a gap", TaskService.run({ prefix: "a" }), "fim"],
  [
    "runAll",
    Effect.flatMap(Stream.runCollect(TaskService.runAll([request])), (all) => Chunk.unsafeHead(all).result),
    "tmp"
  ],
  ["events", finishedBy(StreamService.createEvents(request, kept)), "tmp"],
  ["events, directly", finishedBy(StreamService.createEvents(request, { transport: "direct", ...kept })), "tmp"],
  [
    "events that a stop sequence ends",
    finishedBy(StreamService.createEvents(request, { stop: ["xt"], ...kept })),
    "tmp"
  ],
  ["events of a continue", finishedBy(StreamService.continueEvents(id, request)), "continue"],
  ["events of a fork", finishedBy(StreamService.forkEvents(id, request, kept)), "fork"],
  ["open", Effect.scoped(Effect.flatMap(StreamService.open(request, kept), ({ finished }) => finished)), "tmp"],
  ["a task of this program, waited for", Effect.flatMap(TaskService.create(request), (task) => task.wait()), "tmp"],
  [
    "a task of this program, polled",
    Effect.flatMap(TaskService.create(request), (task) => task.wait({ by: "polling" })),
    "tmp"
  ],
  ["a continue, waited for", Effect.flatMap(TaskService.continue(id, request), (task) => task.wait()), "continue"],
  ["a fork, waited for", Effect.flatMap(TaskService.fork(id, request), (task) => task.wait()), "fork"],
  ["a task of others, waited for", TaskService.wait(id), "get_result"],
  ["a task of others, polled", TaskService.wait(id, { by: "polling" }), "get_result"],
  ["events of a task of others", finishedBy(StreamService.subscribeEvents(id)), "get_result"],
  ["a result so far", TaskService.result(id), "get_result"]
]

describe("the id of a request, in results", () => {
  it.effect.each(started)(
    "%s: of what started the run if this program did, else of what read it",
    ([, end, named]) =>
      Effect.gen(function*() {
        const result = yield* end
        expect(result?.requestId).toBe(named)
        expect(JSON.stringify(result)).not.toContain("private")
        if (result === undefined) return
        const json = yield* Schema.encode(Schema.parseJson(Protocol.TaskReport))(result)
        expect(yield* Schema.decode(Schema.parseJson(Protocol.TaskReport))(json)).toEqual(result)
      }).pipe(Effect.provide(live(proxied)))
  )

  it.effect.each(started)("%s: no key where no header names one", ([, end]) =>
    Effect.gen(function*() {
      expect(Object.keys((yield* end) ?? {})).not.toContain("requestId")
    }).pipe(Effect.provide(live(({ body, path }) => respond(path, body)))))

  it.effect("is told by a run that is open, over either transport", () =>
    Effect.gen(function*() {
      for (const transport of ["subscribe", "direct"] as const) {
        expect((yield* StreamService.open(request, { transport })).requestId).toBe("tmp")
      }
      expect((yield* StreamService.openContinue(id, request)).requestId).toBe("continue")
      expect((yield* StreamService.openFork(id, request)).requestId).toBe("fork")
    }).pipe(Effect.scoped, Effect.provide(live(proxied))))

  it.effect("is undefined in a run that is open where no header names one", () =>
    Effect.gen(function*() {
      expect((yield* StreamService.open(request)).requestId).toBeUndefined()
    }).pipe(Effect.scoped, Effect.provide(live(({ body, path }) => respond(path, body)))))
})

describe("the id of a request, in answers of endpoints", () => {
  it.effect("is of the request itself, whether it is answered by a result or by frames", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(proxied)
      const answers = yield* Effect.all([
        http.create(request),
        http.fim({ prefix: "a" }),
        http.continue(id, request),
        http.fork(id, request),
        http.result(id),
        http.asTemplate(id)
      ])
      expect(answers.map(({ requestId }) => requestId)).toEqual([
        "tmp",
        "fim",
        "continue",
        "fork",
        "get_result",
        "as_template"
      ])
      const frames = yield* Stream.runCollect(http.createStream(request))
      expect(Chunk.unsafeHead(frames)).toMatchObject({ _tag: "Head", requestId: "tmp" })
    }))
})
