import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { Polling, type RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { against, FaultKind, inject, long, request } from "../support/program.js"

const { Cut, Delay, Hang, Refuse, Reset, Status } = FaultKind

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

describe("messages", () => {
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
