/** F87 and F88: a program that is held up, and a wall clock that is set. */
import { HttpClient as Platform } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { type Clock, Duration, Effect, Exit, Fiber, Random, Runtime, Schedule, Stream } from "effect"
import { Polling, StreamService, TaskService } from "effect-rwkv"
import * as Virtual from "../support/clock.js"
import { transports } from "../support/program.js"
import { id, over, request, serve, type Server, type Services } from "../support/silence.js"

const blocked = (millis: number) => {
  const end = performance.now() + millis
  while (performance.now() < end);
}

/** Blocks the event loop when the limit of an effect is nearly due, and starts something else in the same tick. */
const lateness = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<Services>()
    // What runs for the first time takes its time.
    yield* Effect.exit(effect)
    const fiber = yield* Effect.fork(Effect.exit(effect))
    yield* Effect.sleep(180)
    const other = yield* Effect.sync(() => {
      blocked(400)
      return Runtime.runFork(runtime)(TaskService.list)
    })
    const end = performance.now()
    const exit = yield* Fiber.join(fiber)
    const late = performance.now() - end
    yield* Fiber.interruptFork(other)
    return { exit, late }
  })

const limits: Readonly<Record<string, readonly [Effect.Effect<unknown, unknown, Services>, Server, string]>> = {
  "of a request": [TaskService.models, {}, "request"],
  "of a wait": [TaskService.wait(id, { timeout: 200 }), {}, "wait"],
  "of a wait that polls": [TaskService.wait(id, { timeout: 200, by: "polling" }), {}, "wait"],
  "of a run": [TaskService.run(request, { timeout: 200 }), {}, "wait"],
  "of a stop": [TaskService.stop(id, { within: 200 }), {}, "stop"],
  "of a silent stream": [
    Stream.runDrain(StreamService.subscribe(id, { idleTimeout: 200, stallTimeout: 200 })),
    { status: () => ({ status: 2, generated: 0 }) },
    "stalled"
  ],
  "of a silent stream, direct": [
    Stream.runDrain(StreamService.create(request, { idleTimeout: 200, stallTimeout: 200, transport: "direct" })),
    { status: () => ({ status: 2, generated: 0 }) },
    "stalled"
  ]
}

describe("F87 the event loop is blocked when a limit is due, and a request starts in the same tick", () => {
  for (const [name, [effect, server, kind]] of Object.entries(limits)) {
    it.live(`F87 the limit ${name} fires within 100 ms after the block`, () =>
      Effect.gen(function*() {
        const { client } = serve(server)
        const slow = Platform.transform(client, (effect, { url }) => /models|list/.test(url) ? Effect.never : effect)
        const { exit, late } = yield* lateness(effect).pipe(Effect.provide(over(slow, { requestTimeout: 200 })))
        expect(yield* Effect.flip(exit)).toMatchObject({ kind })
        expect(late).toBeLessThan(100)
      }))
  }

  for (const transport of transports) {
    it.live(`F87 leaving a stream (${transport})`, () =>
      Effect.gen(function*() {
        const { client } = serve({ stop: Effect.never })
        const leave = Effect.gen(function*() {
          const fiber = yield* Effect.fork(
            Stream.runDrain(StreamService.createEvents(request, { transport, stopTimeout: 170 }))
          )
          yield* Effect.sleep(20)
          yield* Fiber.interrupt(fiber)
        })
        const { exit, late } = yield* lateness(leave).pipe(Effect.provide(over(client)))
        expect(exit).toMatchObject({ _tag: "Success" })
        expect(late).toBeLessThan(100)
      }))
  }
})

/** A clock whose stamps step at a time; what sleeps on it does not notice. */
const stepping = (at: number, step: number) => {
  const virtual = Virtual.make()
  const now = virtual.unsafeCurrentTimeMillis
  const millis = () => now() + 1e12 + (now() >= at ? step : 0)
  const nanos = () => BigInt(Math.round(millis())) * 1_000_000n
  const clock: Clock.Clock = {
    ...virtual,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos)
  }
  return { clock, now }
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute

/** All that a program does when the clock steps after a minute, as its server and its caller see it. */
const observed = <A, E>(
  serverAt: (now: () => number) => Server,
  program: Effect.Effect<A, E, Services>,
  step: number
) =>
  Effect.suspend(() => {
    const { clock, now } = stepping(minute, step)
    const { client } = serve(serverAt(now))
    const sent: Array<string> = []
    const noted = Platform.tapRequest(client, ({ method, url }) =>
      Effect.sync(() => {
        sent.push(`${now()} ${method} ${new URL(url).pathname}`)
      }))
    return Effect.raceFirst(
      Effect.exit(program),
      Effect.zipRight(Effect.sleep("5 hours"), Effect.dieMessage("hangs"))
    ).pipe(
      Effect.map((exit) => ({ exit, at: now(), sent: [...sent] })),
      Effect.provide(over(noted, { retry: Polling.retrySchedule })),
      Effect.withRandom(Random.fixed([0.5])),
      Effect.withClock(clock)
    )
  })

const mkString = <E, R>(stream: Stream.Stream<string, E, R>) => Stream.mkString(stream)

/** A text that comes after five minutes of silence. */
const later = (now: () => number) => () =>
  Effect.suspend(() => Effect.delay(Effect.succeed([`{"data": "whole"}`, "[DONE]"]), Math.max(0, 5 * minute - now())))

const moves = (count: number) => ({ status: 2, generated: count })
const stands = () => ({ status: 2, generated: 5 })
const ended = () => ({ status: 3, generated: 5 })

const streams = {
  "subscribed after a create": (options: { readonly stallTimeout?: number } = {}) =>
    mkString(StreamService.create(request, { transport: "subscribe", ...options })),
  direct: (options: { readonly stallTimeout?: number } = {}) =>
    mkString(StreamService.create(request, { transport: "direct", ...options })),
  "of a task that exists": (options: { readonly stallTimeout?: number } = {}) =>
    mkString(StreamService.subscribe(id, options))
}

const waits = {
  "a wait by polling": TaskService.wait(id, { by: "polling" }),
  "a wait by subscription": TaskService.wait(id, { by: "subscription" }),
  "a wait that knows how much can come": Effect.flatMap(
    TaskService.create(request),
    (task) => task.wait({ by: "polling", timeout: "3 hours" })
  ),
  "a run": TaskService.run(request)
}

const steps = { "an hour forward": hour, "an hour back": -hour, "a day back": -24 * hour }

describe("F88 the wall clock steps during a silence", () => {
  for (const [how, step] of Object.entries(steps)) {
    for (const [name, stream] of Object.entries(streams)) {
      it.effect(`F88 ${how}, the task runs: nothing changes for a stream, ${name}`, () =>
        Effect.gen(function*() {
          const server = (now: () => number) => ({ status: moves, later: later(now) })
          const without = yield* observed(server, stream(), 0)
          expect(without.exit).toEqual(Exit.succeed("whole"))
          expect(yield* observed(server, stream(), step)).toEqual(without)
        }))

      it.effect(`F88 ${how}, the task has ended: it completes after its idle timeout, ${name}`, () =>
        Effect.gen(function*() {
          for (const finished of [ended, (count: number) => count < 3 ? moves(count) : ended()]) {
            const without = yield* observed(() => ({ status: finished }), stream(), 0)
            const stepped = yield* observed(() => ({ status: finished }), stream(), step)
            expect(stepped).toEqual(without)
            expect(stepped.exit).toEqual(Exit.succeed("whole"))
            expect(stepped.at).toBeLessThan(finished === ended ? 35 * second : 2 * minute)
          }
        }))

      it.effect(`F88 ${how}, the task stands still: it fails when it would, ${name}`, () =>
        Effect.gen(function*() {
          const without = yield* observed(() => ({ status: stands }), stream(), 0)
          const stepped = yield* observed(() => ({ status: stands }), stream(), step)
          expect(stepped).toEqual(without)
          expect(yield* Effect.flip(stepped.exit)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
          expect(stepped.at).toBeGreaterThan(10 * minute)
        }))
    }

    for (const [name, wait] of Object.entries(waits)) {
      it.effect(`F88 ${how}: nothing changes for ${name}`, () =>
        Effect.gen(function*() {
          const server = (now: () => number) => ({
            status: () => now() < 5 * minute ? moves(1) : ended(),
            later: later(now)
          })
          const without = yield* observed(server, wait, 0)
          expect((yield* without.exit).text).toBe("whole")
          const stepped = yield* observed(server, wait, step)
          expect(stepped.exit).toEqual(without.exit)
          expect(Math.abs(stepped.at - without.at)).toBeLessThan(second)
          expect(stepped.sent.length).toBeLessThan(without.sent.length * 1.2)
        }))
    }

    for (const by of ["polling", "subscription"] as const) {
      it.effect(`F88 ${how}: limits of waits are as long as ever, by ${by}`, () =>
        Effect.gen(function*() {
          const wait = Effect.flip(TaskService.wait(id, { by, timeout: 2 * minute }))
          const stepped = yield* observed(() => ({ status: moves }), wait, step)
          expect(yield* stepped.exit).toMatchObject({ kind: "wait", limit: Duration.minutes(2) })
          expect(stepped.at).toBe(2 * minute)
        }))
    }

    it.effect(`F88 ${how}: a schedule that ends before the task tells how long it lasted`, () =>
      Effect.gen(function*() {
        const schedule = Schedule.intersect(Schedule.spaced(second), Schedule.recurs(90))
        const wait = Effect.flip(TaskService.wait(id, { schedule }))
        const stepped = yield* observed(() => ({ status: moves }), wait, step)
        expect(yield* stepped.exit).toMatchObject({ kind: "wait", limit: Duration.seconds(90) })
      }))
  }

  for (const [name, stream] of Object.entries(streams)) {
    it.effect(`F88 a first question that sees tokens is progress: the time to stall starts anew, ${name}`, () =>
      Effect.gen(function*() {
        const stallTimeout = 2 * minute
        const { at, exit } = yield* observed(() => ({ status: stands }), stream({ stallTimeout }), 0)
        expect(yield* Effect.flip(exit)).toMatchObject({ kind: "stalled", limit: Duration.minutes(2) })
        expect(at).toBeGreaterThanOrEqual(stallTimeout + 30 * second)
        const none = yield* observed(
          () => ({ status: () => ({ status: 2, generated: 0 }) }),
          stream({ stallTimeout }),
          0
        )
        expect(none.at).toBeLessThan(stallTimeout + 10 * second)
      }))
  }
})
