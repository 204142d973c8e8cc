import { HttpClientError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Schedule, TestClock } from "effect"
import { Polling, RWKVError } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as retry from "../../../src/internal/wire/retry.js"
import { connection, operation, server, status } from "../../support/errors.js"
import * as wire from "../../support/wire.js"

const running: wire.Respond = () => wire.json(wire.info)

/** How often, and when, an effect is tried that always fails like this. */
const tries = (policy: typeof retry.reads, error: RWKVError.RWKVError) =>
  Effect.gen(function*() {
    const at: Array<number> = []
    const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      at.push(now)
      return Effect.fail(error)
    })
    const fiber = yield* Effect.fork(Effect.flip(policy(Schedule.recurs(2))(attempt)))
    yield* TestClock.adjust("1 hour")
    expect(yield* Fiber.join(fiber)).toBe(error)
    return at.length
  })

const timeout = (kind: RWKVError.RWKVTimeoutError["kind"]) =>
  new RWKVError.RWKVTimeoutError({ operation, kind, limit: Duration.seconds(1) })

const failures: ReadonlyArray<
  readonly [name: string, error: RWKVError.RWKVError, reads: number, polls: number, creates: number]
> = [
  ["refused", connection(false), 3, 3, 3],
  ["refused for good", connection(false, false), 1, 1, 1],
  ["reset", connection(true), 3, 3, 1],
  ["not HTTP", connection(true, false), 1, 1, 1],
  ["429", status(429), 3, 3, 3],
  ["429 with Retry-After", status(429, Duration.seconds(1)), 3, 3, 3],
  ["408", status(408), 3, 3, 1],
  ["401", status(401), 1, 1, 1],
  ["500", server(500), 3, 3, 1],
  ["500 with Retry-After", server(500, Duration.seconds(1)), 3, 3, 1],
  ["502", server(502), 3, 3, 1],
  ["503", server(503), 3, 3, 1],
  ["503 with Retry-After", server(503, Duration.seconds(1)), 3, 3, 3],
  ["504", server(504), 3, 3, 1],
  ["a request's timeout", timeout("request"), 1, 3, 1],
  ["a wait's timeout", timeout("wait"), 1, 1, 1],
  ["another shape", new RWKVError.RWKVDecodeError({ operation, description: "x" }), 1, 1, 1],
  ["no such task", new RWKVError.TaskNotFoundError({ operation, taskId: "TMP_1" }), 1, 1, 1],
  ["invalid", new RWKVError.RWKVValidationError({ operation, source: "server", issues: [] }), 1, 1, 1]
]

describe("retries", () => {
  it.effect.each(failures)("F85 after %s reads, polls and creates are tried as often as is safe", (
    [, error, reads, polls, creates]
  ) =>
    Effect.gen(function*() {
      expect(yield* tries(retry.reads, error)).toBe(reads)
      expect(yield* tries(retry.polls, error)).toBe(polls)
      expect(yield* tries(retry.creates, error)).toBe(creates)
    }))

  it.effect("F16 a retry waits for Retry-After", () =>
    Effect.gen(function*() {
      let seen = 0
      const { http, sent } = yield* wire.make((one, request) => {
        seen++
        return seen < 3 ? wire.text("busy", 503, { "retry-after": "2" }) : running(one, request)
      })
      const fiber = yield* Effect.fork(retry.reads(Schedule.recurs(5))(http.status("TMP_1")))
      yield* TestClock.adjust(1999)
      expect(sent).toHaveLength(1)
      yield* TestClock.adjust(1)
      expect(sent).toHaveLength(2)
      yield* TestClock.adjust(2000)
      expect(sent).toHaveLength(3)
      expect((yield* Fiber.join(fiber)).status).toBe("Finished")
    }))
})

const wrong = new RWKVError.RWKVDecodeError({ operation, description: "not JSON" })

const schedule = Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(3)))

describe("a policy", () => {
  it.effect("stops at the first failure that may not be repeated, and at the first success", () =>
    Effect.gen(function*() {
      const lasts: ReadonlyArray<Effect.Effect<string, RWKVError.RWKVError>> = [
        Effect.fail(wrong),
        Effect.succeed("text")
      ]
      for (const last of lasts) {
        let count = 0
        const read = Effect.suspend(() => count++ === 0 ? Effect.fail(connection(true)) : last)
        const fiber = yield* Effect.fork(Effect.exit(retry.reads(schedule)(read)))
        yield* TestClock.adjust("999 millis")
        expect(count).toBe(1)
        yield* TestClock.adjust("1 hour")
        expect(yield* Fiber.join(fiber)).toEqual(yield* Effect.exit(last))
        expect(count).toBe(2)
      }
    }))

  it.effect("a success at once is read once", () =>
    Effect.gen(function*() {
      let count = 0
      const read = Effect.sync(() => ++count)
      expect([yield* retry.reads(schedule)(read), yield* retry.creates(schedule)(read)]).toEqual([1, 2])
    }))
})

const faulty = (kind: Emulator.FaultKind, timesHit: number) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ reply: () => "Hello" })
    yield* emulator.inject({ on: { method: "POST", path: "/v1/tasks/tmp" }, times: timesHit, kind })
    const { http } = yield* wire.over(emulator.httpClient, { requestTimeout: "10 seconds" })
    const create = retry.creates(Polling.retrySchedule)(http.create({ prompt: "a", maxTokens: 5 }))
    const fiber = yield* Effect.fork(Effect.either(create))
    yield* TestClock.adjust("1 hour")
    const outcome = yield* Fiber.join(fiber)
    const requests = yield* emulator.requests
    const tasks = yield* emulator.tasks
    return { tag: outcome._tag === "Left" ? outcome.left._tag : "created", seen: requests.length, tasks: tasks.length }
  })

const { Cut, Hang, Refuse, Reset, Status } = Emulator.FaultKind

const creations: ReadonlyArray<readonly [name: string, kind: Emulator.FaultKind, outcome: object]> = [
  ["F01 refused", Refuse(), { tag: "created", seen: 1, tasks: 1 }],
  ["F03 reset before it was read", Reset({ executed: false }), { tag: "RWKVConnectionError", seen: 1, tasks: 0 }],
  ["F03 reset after it was done", Reset({ executed: true }), { tag: "RWKVConnectionError", seen: 1, tasks: 1 }],
  ["F16 429", Status({ status: 429 }), { tag: "created", seen: 2, tasks: 1 }],
  ["F16 503 with Retry-After", Status({ status: 503, headers: { "retry-after": "1" } }), {
    tag: "created",
    seen: 2,
    tasks: 1
  }],
  ["F85 503", Status({ status: 503, executed: true }), { tag: "RWKVServerError", seen: 1, tasks: 1 }],
  ["F85 500", Status({ status: 500, executed: true }), { tag: "RWKVServerError", seen: 1, tasks: 1 }],
  ["F20 cut", Cut({ afterBytes: 5, clean: false }), { tag: "RWKVConnectionError", seen: 1, tasks: 1 }],
  ["F85 slower than the timeout", Hang({ executed: true }), { tag: "RWKVTimeoutError", seen: 1, tasks: 1 }]
]

describe("creating once", () => {
  it.scoped.each(creations)(
    "%s: the server makes at most one task",
    ([, kind, outcome]) => Effect.map(faulty(kind, 1), (actual) => expect(actual).toEqual(outcome))
  )

  it.scoped("F01 a server that refuses for good is asked as often as the schedule says", () =>
    Effect.map(
      faulty(Refuse(), Infinity),
      (actual) => expect(actual).toEqual({ tag: "RWKVConnectionError", seen: 0, tasks: 0 })
    ))

  it.effect("F02 a host that does not resolve is asked once", () =>
    Effect.gen(function*() {
      const { http, sent } = yield* wire.make((_, request) => wire.broken(request, "ENOTFOUND"))
      const calls: ReadonlyArray<Effect.Effect<unknown, RWKVError.RWKVError>> = [
        retry.creates(Polling.retrySchedule)(http.create({ prompt: "a" })),
        retry.reads(Polling.retrySchedule)(http.status("TMP_1"))
      ]
      for (const call of calls) {
        const error = yield* wire.failure(call)
        expect(error.message).toContain("localhost:8000")
      }
      expect(sent).toHaveLength(2)
    }))
})

const socket = (code: string, syscall?: string) => Object.assign(new Error(code), { code, syscall })

const gathered = (code: string, ...errors: ReadonlyArray<Error>) => Object.assign(new AggregateError(errors), { code })

const plain = { code: "ECONNREFUSED", message: "connect ECONNREFUSED 127.0.0.1:8000" }

/** How often a create is sent whose connection fails like this. */
const creates = (cause: unknown) =>
  Effect.gen(function*() {
    const { http, sent } = yield* wire.make((_, request) =>
      Effect.fail(
        new HttpClientError.RequestError({
          request,
          reason: "Transport",
          cause: new TypeError("fetch failed", { cause })
        })
      )
    )
    const fiber = yield* Effect.fork(wire.failure(retry.creates(Polling.retrySchedule)(http.create({ prompt: "a" }))))
    yield* TestClock.adjust("1 hour")
    expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "RWKVConnectionError", requestSent: sent.length === 1 })
    return sent.length
  })

describe("a create whose connection fails", () => {
  it.effect.each([
    ["EHOSTUNREACH of a read", socket("EHOSTUNREACH", "read"), 1],
    ["EHOSTUNREACH of a write", socket("EHOSTUNREACH", "write"), 1],
    ["ENETUNREACH of a read", socket("ENETUNREACH", "read"), 1],
    ["ECONNREFUSED of a read", socket("ECONNREFUSED", "read"), 1],
    ["EHOSTUNREACH of who knows what", { code: "EHOSTUNREACH" }, 1],
    ["a read among connects", gathered("ECONNREFUSED", socket("ECONNREFUSED", "connect"), socket("EPIPE", "write")), 1],
    ["EHOSTUNREACH of a connect", socket("EHOSTUNREACH", "connect"), 6],
    ["ENETUNREACH of a connect", socket("ENETUNREACH", "connect"), 6],
    ["ECONNREFUSED of a connect", socket("ECONNREFUSED", "connect"), 6],
    ["ECONNREFUSED without a syscall", plain, 6],
    [
      "both addresses unreachable",
      gathered("ENETUNREACH", socket("ENETUNREACH", "connect"), socket("EHOSTUNREACH", "connect")),
      6
    ],
    ["a host that does not resolve now", socket("EAI_AGAIN", "getaddrinfo"), 6],
    ["a connect that takes too long", { code: "UND_ERR_CONNECT_TIMEOUT" }, 6]
  ])(
    "F85 by %s is sent as often as is safe",
    ([, cause, times]) => Effect.map(creates(cause), (sent) => expect(sent).toBe(times))
  )
})
