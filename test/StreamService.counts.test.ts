/** How many tokens a run had, where the server's own figure may be of others, too early, or not there. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Stream } from "effect"
import { type Protocol, StreamService, TaskService } from "effect-rwkv"
import { against, count, tasks, transports } from "./support/program.js"

const endOf = <E, R>(events: Stream.Stream<Protocol.StreamEvent, E, R>) =>
  Effect.map(Stream.runCollect(events), (all) => {
    const last = Option.getOrThrow(Chunk.last(all))
    return last._tag === "Finished" ? last.result : undefined
  })

const unknown = { usage: { outputTokens: undefined }, finishReason: "unknown", tokensPerSecond: undefined }

describe("forks with running siblings (H15)", () => {
  const more = (prompt: string) => ({ prompt, maxTokens: 640 })
  const source = Effect.tap(TaskService.createPersistent({ prompt: "source", maxTokens: 64 }), (task) => task.wait())
  const reply = { reply: () => `${"x".repeat(200)}abc`.padEnd(700, "y") }

  it.effect("are not counted, as streams of events", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      const fork = (prompt: string) => endOf(StreamService.forkEvents(id, more(prompt)))
      for (const end of yield* Effect.all([fork("a"), fork("b")], { concurrency: 2 })) {
        expect(end).toMatchObject({ ...unknown, text: expect.stringMatching(/^.{640}$/) })
      }
      expect(yield* fork("alone")).toMatchObject({ usage: { outputTokens: 640 }, finishReason: "length" })
    }).pipe(against(reply)))

  it.effect("are not counted, as tasks, by either way of waiting", () =>
    Effect.gen(function*() {
      const task = yield* source
      const fork = (prompt: string) => task.fork(more(prompt))
      const both = yield* Effect.all([fork("a"), fork("b")], { concurrency: 2 })
      for (const by of ["subscription", "polling"] as const) {
        const ends = yield* Effect.forEach(both, (fork) => fork.wait({ by }), { concurrency: 2 })
        for (const end of ends) expect(end).toMatchObject(unknown)
      }
      expect(yield* task.wait()).toMatchObject({ usage: { outputTokens: undefined } })
    }).pipe(against(reply)))

  it.effect("end at a stop sequence without a count, and beside one that does", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      const [cut, whole] = yield* Effect.all([
        endOf(StreamService.forkEvents(id, more("a"), { stop: ["abc"] })),
        endOf(StreamService.forkEvents(id, more("b")))
      ], { concurrency: 2 })
      expect(cut).toMatchObject({ ...unknown, finishReason: "stop-sequence", text: "x".repeat(200) })
      expect(whole).toMatchObject(unknown)
    }).pipe(against(reply)))
})

describe("a run that the server calls finished before it stores the last tokens (H31)", () => {
  const request = { prompt: "Hello", maxTokens: 640 }
  const late = { reply: () => "x".repeat(400), lateTokens: "150 millis" } as const
  const whole = { text: "x".repeat(400), usage: { outputTokens: 400 }, finishReason: "stop" }
  const created = TaskService.create(request)
  const ways: ReadonlyArray<
    readonly [
      name: string,
      end: Effect.Effect<
        Protocol.TaskResult | undefined,
        unknown,
        TaskService.TaskService | StreamService.StreamService
      >
    ]
  > = [
    ["a run", TaskService.run(request)],
    ["a run that is kept", TaskService.run({ ...request, persistence: "persistent" })],
    ["a run by polling", TaskService.run(request, { by: "polling" })],
    ["a wait", Effect.flatMap(created, (task) => task.wait())],
    ["a wait by polling", Effect.flatMap(created, (task) => task.wait({ by: "polling" }))],
    ...transports.flatMap((transport) =>
      (["delete", "keep"] as const).map((cleanup) =>
        [
          `events (${transport}, ${cleanup})`,
          endOf(StreamService.createEvents(request, { transport, cleanup }))
        ] as const
      )
    )
  ]

  for (const lateTokens of ["150 millis", "1 second", "3 seconds"] as const) {
    it.effect.each(ways)(
      `is whole and counted when they are stored, after ${lateTokens}: %s`,
      ([, end]) =>
        Effect.gen(function*() {
          expect(yield* end).toMatchObject(whole)
        }).pipe(against({ ...late, lateTokens }))
    )
  }

  it.effect("is whole though none of its tokens was there", () =>
    Effect.gen(function*() {
      expect(yield* TaskService.run(request)).toMatchObject({ text: "short", usage: { outputTokens: 5 } })
      expect((yield* Effect.flatMap(created, (task) => task.wait({ by: "polling" }))).text).toBe("short")
    }).pipe(against({ reply: () => "short", lateTokens: "3 seconds" })))

  it.effect("is whole though nobody knows how many tokens it may have", () =>
    Effect.gen(function*() {
      for (const transport of transports) {
        const text = yield* Stream.mkString(StreamService.create({ prompt: "Hello" }, { transport }))
        expect(text).toBe(late.reply())
      }
    }).pipe(against({ ...late, lateTokens: "2 seconds" })))

  it.effect("is read again for that, and costs one question all the same", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(created, (task) => task.wait())
      expect(yield* count("GET get_result")).toBeGreaterThan(1)
      expect(yield* count("GET status")).toBe(1)
    }).pipe(against(late)))
})

describe("stops that miss, or hit another run (H29)", () => {
  const request = { prompt: "Hello", maxTokens: 3000 }
  const deaf = { reply: () => `${"x".repeat(100)}${"y".repeat(3000)}`, stopMisses: () => true }

  it.effect("a stop sequence that stops nothing ends the text: nobody waits for a count, and the task is deleted later", () =>
    Effect.gen(function*() {
      for (const transport of transports) {
        const end = yield* endOf(StreamService.createEvents(request, { transport, stop: ["xy"] }))
        expect(end).toMatchObject({ ...unknown, finishReason: "stop-sequence", text: "x".repeat(99) })
      }
      yield* Effect.sleep("1 minute")
      expect(yield* tasks).toEqual([])
    }).pipe(against(deaf)))

  it.effect("a task whose stop failed is none that this program stopped: its run ends as it would have", () =>
    Effect.gen(function*() {
      const task = yield* TaskService.create(request)
      const waiting = yield* Effect.fork(task.wait())
      yield* Effect.sleep("200 millis")
      expect(yield* Effect.flip(task.stop({ within: "2 seconds" }))).toMatchObject({ kind: "stop" })
      const end = yield* Fiber.join(waiting)
      expect(end).toMatchObject({ usage: { outputTokens: 3000 }, finishReason: "length" })
    }).pipe(against(deaf)))

  it.effect("a run that the stop of another hit is not called cancelled, and has the tokens that it made", () =>
    Effect.gen(function*() {
      const start = (maxTokens: number) => TaskService.create({ prompt: `${maxTokens}`, maxTokens })
      yield* start(5)
      const second = yield* start(3000)
      const third = yield* start(2999)
      yield* Effect.sleep("610 millis")
      // The first has ended, and the third has moved to its slot.
      const waits = yield* Effect.fork(Effect.all([second.wait(), third.wait()], { concurrency: 2 }))
      for (const task of [third, second]) {
        expect(yield* Effect.flip(task.stop({ within: "300 millis" }))).toMatchObject({ kind: "stop" })
      }
      const [missed, hit] = yield* Fiber.join(waits)
      expect(missed).toMatchObject({ usage: { outputTokens: 3000 }, finishReason: "length" })
      expect(hit.finishReason).toBe("stop")
      expect(hit.text.length).toBeLessThan(2999)
      expect(hit.usage.outputTokens).toBe(hit.text.length)
    }).pipe(against({ reply: () => "x".repeat(4000), idleDelay: 500 })))
})
