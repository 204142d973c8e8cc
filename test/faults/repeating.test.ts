import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { Polling, type RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { against, count, endless, FaultKind, inject, long, request } from "../support/program.js"

const { Cut, Delay, Hang, Refuse, Reset, Respond, Stall, Status } = FaultKind

/** A prompt is read once for every task that is made, continued or forked. */
const counting = () => {
  let works = 0
  return {
    works: () => works,
    options: {
      reply: () => {
        works++
        return long
      }
    }
  }
}

describe("repeating by whileSafe", () => {
  const schedule = Polling.whileSafe(Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(5))))
  const one = { prompt: "once", maxTokens: 100 }
  const verbs: ReadonlyArray<readonly [string, Effect.Effect<unknown, RWKVError.RWKVError, RWKV.RWKV>]> = [
    ["create", TaskService.create(one)],
    ["run", TaskService.run(one)],
    ["a polling run", TaskService.run(one, { by: "polling" })],
    ["runAll", Stream.runDrain(TaskService.runAll([one], { failures: "fail" }))],
    ["fim", TaskService.fim({ prefix: "a", suffix: "b" })],
    ["a stream", Stream.runDrain(StreamService.create(one))],
    ["a direct stream", Stream.runDrain(StreamService.create(one, { transport: "direct" }))]
  ]
  const busy = { "retry-after": "1" }
  const safe = [
    Refuse(),
    Status({ status: 429 }),
    Status({ status: 429, headers: busy }),
    Status({ status: 503, headers: busy })
  ]
  const unsafe = [
    Reset({ executed: true }),
    Reset({ executed: false }),
    Status({ status: 500, executed: true }),
    Status({ status: 502, executed: true }),
    Status({ status: 503, executed: true }),
    Status({ status: 504, executed: true }),
    Status({ status: 408, executed: true }),
    Status({ status: 303, executed: true }),
    Cut({ afterBytes: 5, clean: false }),
    Cut({ afterBytes: 5, clean: true }),
    Hang({ executed: true }),
    Delay({ duration: "1 minute", executed: true })
  ]
  const post = { method: "POST", path: /\/(tmp|create|fim)$/ }
  const read = { method: "GET" }

  for (const [verb, effect] of verbs) {
    it.effect(`F114 ${verb}: what the server refused succeeds later, by one piece of work`, () =>
      Effect.gen(function*() {
        for (const kind of safe) {
          const { options, works } = counting()
          yield* Effect.zipRight(inject({ on: post, times: 3, kind }), Effect.retry(effect, schedule)).pipe(
            against(options, { retry: Polling.noRetry })
          )
          expect(works(), JSON.stringify(kind)).toBe(1)
        }
      }))

    for (const [where, on] of [["itself", post], ["and what it reads later", read]] as const) {
      it.effect(`F114 ${verb}: whatever may have been carried out is not repeated (${where})`, () =>
        Effect.gen(function*() {
          for (const kind of on === read ? [...safe, ...unsafe] : unsafe) {
            const { options, works } = counting()
            const either = yield* Effect.zipRight(
              inject({ on, times: Infinity, kind }),
              Effect.either(Effect.retry(effect, schedule))
            ).pipe(against(options, { retry: Polling.noRetry, requestTimeout: "20 seconds" }))
            expect(works(), JSON.stringify(kind)).toBeLessThanOrEqual(1)
            if (either._tag === "Left") {
              expect(either.left, JSON.stringify(kind)).toMatchObject({ isSafeToRepeat: false })
            }
          }
        }))
    }
  }

  for (
    const [verb, branch] of [
      ["continue", (id: string) => Stream.runDrain(StreamService.continue(id, one))],
      ["fork", (id: string) => Stream.runDrain(StreamService.fork(id, one))],
      ["continue of a handle", (id: string) => TaskService.continue(id, one)],
      ["fork of a handle", (id: string) => TaskService.fork(id, one)]
    ] as const
  ) {
    it.effect(`F114 ${verb} never works twice`, () =>
      Effect.gen(function*() {
        const path = new RegExp(`/${verb.split(" ")[0]}`)
        const cases = [
          ...safe.map((kind) => ({ on: { method: "POST", path }, times: 2, kind })),
          ...unsafe.map((kind) => ({ on: { method: "POST", path }, times: Infinity, kind })),
          ...[...safe, ...unsafe].map((kind) => ({ on: { path: "/stream" }, times: Infinity, kind }))
        ]
        for (const fault of cases) {
          const { options, works } = counting()
          const either = yield* Effect.gen(function*() {
            const source = yield* TaskService.create({ ...one, persistence: "persistent" })
            yield* source.wait()
            yield* inject(fault)
            return yield* Effect.either(
              Effect.retry(Effect.asVoid<unknown, RWKVError.RWKVError, RWKV.RWKV>(branch(source.id)), schedule)
            )
          }).pipe(against(options, { retry: Polling.noRetry, requestTimeout: "20 seconds" }))
          expect(works(), JSON.stringify(fault)).toBeLessThanOrEqual(2)
          if (fault.times === 2) expect(either._tag, JSON.stringify(fault)).toBe("Right")
        }
      }))
  }

  it.effect("F114 what the SDK refuses itself is safe and ends the schedule, as do errors of others", () =>
    Effect.gen(function*() {
      for (const effect of [TaskService.create({ prompt: "" }), Effect.fail("mine"), Effect.fail({ retryAfter: 5 })]) {
        let attempts = 0
        const counted = Effect.zipRight(
          Effect.sync(() => attempts++),
          Effect.asVoid<unknown, unknown, RWKV.RWKV>(effect)
        )
        yield* Effect.flip(Effect.retry(counted, schedule))
        expect(attempts).toBe(1)
      }
    }).pipe(against()))
})

describe("F114 F100 stop", () => {
  const failing = [Refuse(), Reset({ executed: false }), Status({ status: 429 }), Status({ status: 500 })]
  for (const [what, path, skip] of [["a look after", "/status", 1], ["the second", "/stop", 1]] as const) {
    for (const kind of failing) {
      it.effect(`${what} stop that fails makes it no safe repetition (${JSON.stringify(kind)})`, () =>
        Effect.gen(function*() {
          const task = yield* TaskService.create(request)
          let left: number = skip
          yield* inject({ on: { path, when: () => left-- <= 0 }, times: Infinity, kind })
          const schedule = Polling.whileSafe(Schedule.recurs(3))
          const error = yield* Effect.flip(Effect.retry(task.stop({ within: "1 minute" }), schedule))
          expect(error).toMatchObject({ isSafeToRepeat: false, workBegun: true })
          expect(yield* count("POST stop")).toBe(path === "/stop" && kind._tag !== "Refuse" ? 2 : 1)
        }).pipe(against({ ...endless, pulse: "10 hours" }, { retry: Polling.noRetry, closeTimeout: 0 })))
    }
  }

  for (const path of ["/status", "/stop"]) {
    it.effect(`what fails before a stop was sent is safe, and repeated (${path})`, () =>
      Effect.gen(function*() {
        const task = yield* TaskService.create(request)
        yield* inject({ on: { path }, times: 2, kind: Refuse() })
        const stopped = yield* Effect.retry(task.stop(), Polling.whileSafe(Schedule.recurs(3)))
        expect(stopped.status).toBe("Finished")
      }).pipe(against(endless, { retry: Polling.noRetry })))
  }
})

describe("a task whose end was read", () => {
  const unreadable = Status({ status: 500 })
  for (const transport of ["subscribe", "direct"] as const) {
    it.effect(`is deleted and not stopped if its result cannot be read (${transport})`, () =>
      Effect.gen(function*() {
        yield* inject({ on: { path: "/get_result" }, times: Infinity, kind: unreadable })
        const stream = StreamService.create(request, { transport })
        expect(yield* Effect.flip(Stream.runDrain(stream))).toMatchObject({ unconfirmed: true, text: long })
        yield* Effect.sleep("10 seconds")
        expect([yield* count("POST stop"), yield* count("POST delete")]).toEqual([0, 1])
      }).pipe(against({ reply: () => long }, { retry: Polling.noRetry })))
  }

  it.effect("by the status of a silent stream, too", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/stream" }, kind: Stall({ afterBytes: 0 }) })
      yield* inject({ on: { path: "/get_result" }, times: Infinity, kind: unreadable })
      expect(yield* Effect.flip(Stream.runDrain(StreamService.create(request)))).toMatchObject({ status: 500 })
      yield* Effect.sleep("10 seconds")
      expect([yield* count("POST stop"), yield* count("POST delete")]).toEqual([0, 1])
    }).pipe(against({ reply: () => long }, { retry: Polling.noRetry })))

  it.effect("is stopped if the result says that it goes on", () =>
    Effect.gen(function*() {
      const done = "data: {\"task_id\": \"TMP_1\", \"prefill_time\": 0.0}\n\ndata: [DONE]\n\n"
      const headers = { "content-type": "text/event-stream" }
      yield* inject({ on: { path: "/stream" }, times: Infinity, kind: Respond({ status: 200, headers, body: done }) })
      expect(yield* Effect.flip(Stream.runDrain(StreamService.create(request)))).toMatchObject({
        _tag: "StreamTruncatedError"
      })
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(against({ ...endless, pulse: "1 minute" }, { retry: Polling.noRetry, closeTimeout: 0 })))
})

describe("messages", () => {
  const kinds = [
    Refuse(),
    Reset({ executed: true }),
    Status({ status: 404, body: "{\"detail\":\"Task not found\"}" }),
    Status({ status: 400 }),
    Status({ status: 429 }),
    Status({ status: 500 }),
    Status({ status: 503, headers: { "retry-after": "1" } }),
    Cut({ afterBytes: 5, clean: false }),
    Cut({ afterBytes: 5, clean: true }),
    Hang({ executed: true }),
    Respond({ status: 200, headers: { "content-type": "text/html" }, body: "<html>" })
  ]
  const first = Cut({ afterBytes: 300, clean: false })
  for (const where of ["/stream", "/get_result", "/status"]) {
    for (const kind of kinds) {
      it.effect(`name operation and task once (${where}, ${JSON.stringify(kind)})`, () =>
        Effect.gen(function*() {
          if (where !== "/get_result") yield* inject({ on: { path: "/stream" }, kind: first })
          if (where === "/status") yield* inject({ on: { path: "/stream" }, kind: Stall({ afterBytes: 300 }) })
          yield* inject({ on: { path: where }, times: Infinity, kind })
          const outcome = yield* Effect.either(Stream.runDrain(StreamService.create(request)))
          if (outcome._tag === "Right") return
          const { message } = outcome.left
          expect(message.match(/StreamService\.create|TMP_\w+/g), message).toHaveLength(2)
        }).pipe(
          against({ reply: () => long }, { retry: Schedule.recurs(1), requestTimeout: "20 seconds", closeTimeout: 0 })
        ))
    }
  }

  it.effect("a stream that was cut names its operation and its task once", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/stream" }, kind: Cut({ afterBytes: 300, clean: false }) })
      const error = yield* Effect.flip(Stream.runDrain(StreamService.create(request)))
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", cause: { _tag: "RWKVConnectionError" } })
      expect(error.message).toMatch(
        /^StreamService\.create: truncated after \d+ UTF-16 units: the answer of localhost:8000 was cut off.* \(task \w+\)$/
      )
      expect(error.message.match(/StreamService|TMP_/g)).toEqual(["StreamService", "TMP_"])
    }).pipe(against({ reply: () => long }, { retry: Polling.noRetry })))
})
