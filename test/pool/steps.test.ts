/** Whatever step of a request an interruption or the end of the pool comes at, nothing is left, and nobody waits. */
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberId, Layer, Scheduler, Scope, Stream, TestClock } from "effect"
import { Polling, StreamService, TaskService } from "effect-rwkv"
import { settle } from "../support/harness.js"
import { emulator, figures, long, over, pool, server, story, two } from "./cluster.js"

/** Lets others go on at one step of a program, of whichever of its fibers. */
const yielding = (at: number, reached: () => void) => {
  let steps = 0
  const scheduler = new Scheduler.MixedScheduler(2048)
  scheduler.shouldYield = () => {
    if (steps++ !== at) return false
    reached()
    return 0
  }
  return Effect.withScheduler(scheduler)
}

const verbs: ReadonlyArray<Effect.Effect<void, unknown, TaskService.TaskService | StreamService.StreamService>> = [
  Effect.asVoid(TaskService.create(story)),
  Stream.runDrain(StreamService.create(story, { transport: "direct" })),
  Stream.runDrain(StreamService.create(story))
]

it.scoped("a request that is interrupted at any step gives its place back, and no other", () =>
  Effect.gen(function*() {
    const cluster = yield* two({ reply: ({ text }) => text === "held" ? long.repeat(100) : long })
    yield* Effect.gen(function*() {
      yield* TaskService.create({ prompt: "held", maxTokens: 40_000 })
      for (const verb of verbs) {
        for (let at = 0; at < 500; at += 7) {
          let interrupt = () => {}
          const done = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(
            Effect.zipRight(Effect.yieldNow(), yielding(at, () => interrupt())(verb)).pipe(
              Effect.ensuring(Deferred.succeed(done, undefined))
            )
          )
          interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
          yield* Effect.repeatN(Effect.yieldNow(), 60)
          yield* Effect.fork(Fiber.interrupt(fiber))
        }
        yield* TestClock.adjust("10 seconds")
        expect(yield* figures).toMatchObject({ queued: 0, servers: [{ running: 1, kept: 0 }] })
        expect((yield* emulator(cluster, "a").tasks).length).toBe(1)
      }
    }).pipe(over(cluster, { servers: [server("a", { capacity: 2000, keeps: 2000 })] }))
  }))

for (const held of [true, false]) {
  it.scoped(
    `a pool that ends at any step of a request leaves nothing, and nobody waits (${
      held ? "in its queue" : "at the server"
    })`,
    () =>
      Effect.gen(function*() {
        for (const verb of verbs) {
          for (let at = 0; at < 400; at += 31) {
            const cluster = yield* two()
            const scope = yield* Scope.make()
            const context = yield* Layer.buildWithScope(
              pool(cluster, { servers: [server("a", { capacity: 1 })], retry: Polling.noRetry }),
              scope
            )
            const go = Effect.provide(context)
            if (held) yield* go(TaskService.create(story))
            const closing = yield* Deferred.make<void>()
            const end = yield* Effect.fork(Effect.zipRight(Deferred.await(closing), Scope.close(scope, Exit.void)))
            const fiber = yield* Effect.fork(
              yielding(at, () => Deferred.unsafeDone(closing, Effect.void))(Effect.exit(go(verb)))
            )
            yield* Effect.repeatN(Effect.yieldNow(), 60)
            yield* Deferred.succeed(closing, undefined)
            yield* TestClock.adjust("10 seconds")
            yield* Fiber.join(end)
            const exit = yield* Fiber.poll(fiber)
            expect(exit._tag, `at ${at}`).toBe("Some")
            const tasks = (yield* emulator(cluster, "a").tasks).filter(({ status }) => status !== 3)
            expect(tasks.length, `at ${at} ${JSON.stringify(exit)}`).toBe(0)
          }
        }
      }),
    60_000
  )
}

it.scoped("a replay that is interrupted at any step leaves nothing", () =>
  Effect.gen(function*() {
    for (let at = 0; at < 700; at += 37) {
      const cluster = yield* two({ reply: () => long, tokensPerPulse: 4 })
      cluster.refuse("b", true)
      yield* Effect.gen(function*() {
        yield* Effect.ignore(TaskService.models)
        let steps = -Infinity
        let interrupt = () => {}
        const scheduler = new Scheduler.MixedScheduler(2048)
        scheduler.shouldYield = () => {
          if (steps++ !== at) return false
          interrupt()
          return 0
        }
        const begun = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          StreamService.create({ ...story, seed: 1 }, { transport: "direct" }).pipe(
            Stream.tap(() => Deferred.succeed(begun, undefined)),
            Stream.runDrain,
            Effect.withScheduler(scheduler)
          )
        )
        interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
        yield* settle(Deferred.await(begun))
        cluster.refuse("b", false)
        yield* TestClock.adjust("1 second")
        steps = 0
        yield* emulator(cluster, "a").restart("kill")
        cluster.refuse("a", true)
        yield* TestClock.adjust("300 millis")
        cluster.refuse("a", false)
        yield* TestClock.adjust("5 seconds")
        yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("90 seconds")
        const running = yield* Effect.forEach(["a", "b"], (name) => emulator(cluster, name).tasks)
        expect(running, `at ${at}`).toEqual([[], []])
        const none = { running: 0, kept: 0, outstandingTokens: 0 }
        expect(yield* figures, `at ${at}`).toMatchObject({ queued: 0, servers: [none, none] })
      }).pipe(over(cluster, { onServerLost: "replay" }))
    }
  }), 60_000)
