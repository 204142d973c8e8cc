import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, FiberRef, FiberRefs, Supervisor, TestClock } from "effect"
import * as Virtual from "../faults/support/clock.js"
import { type Options, runtime, start as startIn, type Started } from "../../src/internal/start.js"

class Failed {
  readonly _tag = "Failed"
}

type Settings<A, E> = Omit<Options<A, E, string>, "onExit" | "limit"> & { readonly limit?: Duration.DurationInput }

/** Starts it as the calling fiber does, and writes down what is told. */
const start = <A, E>(effect: Effect.Effect<A, E>, { limit, ...settings }: Settings<A, E> = {}) =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const told: Array<Exit.Exit<A, E | string>> = []
    const started: Started<string> = startIn<A, E, string, never>(yield* runtime, effect, {
      ...settings,
      ...(limit === undefined ? {} : {
        limit: { clock, duration: Duration.decode(limit), expired: () => "expired" }
      }),
      onExit: (exit) => {
        told.push(exit)
      }
    })
    return { ...started, told }
  })

const turn = Effect.repeatN(Effect.yieldNow(), 10)

/** Never ends by itself, and takes this long to be interrupted. */
const reluctant = (finalizer: Effect.Effect<unknown>) => Effect.onInterrupt(Effect.never, () => finalizer)

describe("start", () => {
  it.effect("tells a failure as it is", () =>
    Effect.gen(function*() {
      const { told } = yield* start(Effect.delay(Effect.fail(new Failed()), 10))
      expect(told).toEqual([])
      yield* TestClock.adjust(10)
      expect(told).toEqual([Exit.fail(new Failed())])
    }))

  it.effect("tells a defect as it is", () =>
    Effect.gen(function*() {
      const { told } = yield* start(Effect.delay(Effect.die("defect"), 10))
      yield* TestClock.adjust(10)
      expect(told).toEqual([Exit.die("defect")])
    }))

  it.effect("tells that the effect interrupted itself", () =>
    Effect.gen(function*() {
      const { told } = yield* start(Effect.zipRight(Effect.yieldNow(), Effect.interrupt))
      yield* turn
      expect(told.map((exit) => Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))).toEqual([true])
    }))

  it.effect("tells a success, once", () =>
    Effect.gen(function*() {
      const { told } = yield* start(Effect.delay(Effect.succeed(1), 10))
      yield* TestClock.adjust("1 hour")
      expect(told).toEqual([Exit.succeed(1)])
    }))

  for (
    const [what, effect] of [
      ["success", Effect.succeed(1)],
      ["failure", Effect.fail(new Failed())],
      ["defect", Effect.die("defect")]
    ] as const
  ) {
    it.effect(`begins in the calling stack: a ${what} at once is told before anything is returned`, () =>
      Effect.gen(function*() {
        const given: Effect.Effect<number, Failed> = effect
        let told: Exit.Exit<number, Failed | string> | undefined
        const begun = startIn<number, Failed, string, never>(yield* runtime, given, {
          onExit: (exit) => {
            told = exit
          }
        })
        expect(told).toEqual(Effect.runSyncExit(given))
        // What is over can be ended again without harm.
        begun.fail("late")
        yield* begun.interrupt
        expect(told).toEqual(Effect.runSyncExit(given))
      }))
  }

  it.effect("an end at once needs no limit: nothing sleeps for it", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      yield* Effect.supervised(start(Effect.void, { limit: 10 }), supervisor)
      yield* turn
      expect(yield* supervisor.value).toEqual([])
    }))

  it.effect("the limit interrupts, and is told when the finalizers are done", () =>
    Effect.gen(function*() {
      const { told } = yield* start(reluctant(Effect.sleep(5)), { limit: 10 })
      yield* TestClock.adjust(14)
      expect(told).toEqual([])
      yield* TestClock.adjust(1)
      expect(told).toEqual([Exit.fail("expired")])
    }))

  it.effect("an effect that cannot be interrupted ends by the limit all the same, when it has ended", () =>
    Effect.gen(function*() {
      const { told } = yield* start(Effect.uninterruptible(Effect.as(Effect.sleep(20), "late")), { limit: 10 })
      yield* TestClock.adjust(19)
      expect(told).toEqual([])
      yield* TestClock.adjust(1)
      expect(told).toEqual([Exit.fail("expired")])
    }))

  it.effect("what is done within the limit does not hear of it, and nothing sleeps on", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      const { told } = yield* Effect.supervised(start(Effect.as(Effect.sleep(9), 1), { limit: 10 }), supervisor)
      yield* turn
      expect((yield* supervisor.value).length).toBe(1)
      yield* Effect.sleep(9)
      yield* turn
      expect(yield* supervisor.value).toEqual([])
      yield* Effect.sleep("1 hour")
      expect(told).toEqual([Exit.succeed(1)])
    }).pipe(Effect.withClock(Virtual.make())))

  it.effect("a limit without end is none", () =>
    Effect.gen(function*() {
      const { interrupt, told } = yield* start(Effect.never, { limit: Infinity })
      yield* TestClock.adjust("1000 days")
      expect(told).toEqual([])
      yield* interrupt
    }))

  it.effect("`fail` ends it early, and is told when the finalizers are done", () =>
    Effect.gen(function*() {
      const { fail, told } = yield* start(reluctant(Effect.sleep(5)), { limit: "1 hour" })
      fail("early")
      yield* turn
      expect(told).toEqual([])
      yield* TestClock.adjust(5)
      expect(told).toEqual([Exit.fail("early")])
      yield* TestClock.adjust("2 hours")
      expect(told).toHaveLength(1)
    }))

  it.effect("of several ends the first counts", () =>
    Effect.gen(function*() {
      const { fail, told } = yield* start(reluctant(Effect.sleep(50)), { limit: 10 })
      fail("first")
      fail("second")
      yield* TestClock.adjust(50)
      expect(told).toEqual([Exit.fail("first")])
      fail("third")
      yield* turn
      expect(told).toHaveLength(1)
    }))

  it.effect("`interrupt` waits for the finalizers, and nothing is told", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      let finalized = false
      const { interrupt, told } = yield* start(
        reluctant(Effect.zipRight(
          Deferred.await(done),
          Effect.sync(() => {
            finalized = true
          })
        )),
        { limit: 10 }
      )
      const fiber = yield* Effect.fork(interrupt)
      yield* turn
      yield* TestClock.adjust("1 hour")
      expect(fiber.unsafePoll()).toBe(null)
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(fiber)
      expect(finalized).toBe(true)
      expect(told).toEqual([])
    }))

  it.effect("nothing is told after `interrupt`, not even what was to end it before", () =>
    Effect.gen(function*() {
      const { fail, interrupt, told } = yield* start(reluctant(Effect.sleep(5)))
      fail("early")
      const fiber = yield* Effect.fork(interrupt)
      yield* TestClock.adjust(5)
      yield* Fiber.join(fiber)
      fail("late")
      expect(told).toEqual([])
    }))

  it.effect("`interrupt` of what has ended returns, any number of times", () =>
    Effect.gen(function*() {
      const { interrupt, told } = yield* start(Effect.as(Effect.sleep(1), 1))
      yield* TestClock.adjust(1)
      yield* interrupt
      yield* interrupt
      expect(told).toEqual([Exit.succeed(1)])
    }))

  it.effect("can be interrupted although its parent cannot", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const count = Effect.sync(() => {
        interrupted++
      })
      const { fail, told } = yield* Effect.uninterruptible(start(reluctant(count)))
      fail("early")
      yield* turn
      expect(told).toEqual([Exit.fail("early")])
      const limited = yield* Effect.uninterruptible(start(reluctant(count), { limit: 10 }))
      yield* TestClock.adjust(10)
      expect(limited.told).toEqual([Exit.fail("expired")])
      const left = yield* Effect.uninterruptible(
        Effect.tap(start(reluctant(count)), ({ interrupt }) => interrupt)
      )
      expect(left.told).toEqual([])
      expect(interrupted).toBe(3)
    }))

  it.effect("goes on when the fiber that started it has ended", () =>
    Effect.gen(function*() {
      const { told } = yield* Effect.flatMap(Effect.fork(start(Effect.as(Effect.sleep(5), 1))), Fiber.join)
      yield* TestClock.adjust(5)
      expect(told).toEqual([Exit.succeed(1)])
    }))

  it.scoped("has the parent's fiber refs, changed as asked for, and changes none of the parent's", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("initial")
      yield* Effect.locally(
        Effect.gen(function*() {
          const plain = yield* start(FiberRef.get(ref))
          const changed = yield* start(Effect.zipLeft(FiberRef.get(ref), FiberRef.set(ref, "own")), {
            updateRefs: (refs, fiberId) => FiberRefs.updateAs(refs, { fiberId, fiberRef: ref, value: "changed" })
          })
          expect([plain.told, changed.told]).toEqual([[Exit.succeed("parent")], [Exit.succeed("changed")]])
          expect(yield* FiberRef.get(ref)).toBe("parent")
        }),
        ref,
        "parent"
      )
    }))
})
