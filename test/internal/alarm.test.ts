import { describe, expect, it } from "@effect/vitest"
import { Chunk, Clock, Effect, TestClock } from "effect"
import * as alarm from "../../src/internal/alarm.js"
import * as Virtual from "../faults/support/clock.js"

/** Sets reminders that write down their name and the time at which they rang. */
const make = Effect.gen(function*() {
  const clock = yield* Effect.clock
  const rung: Array<string> = []
  const after = (millis: number, name: string, then = () => {}) =>
    alarm.after(clock, millis, () => {
      rung.push(`${name}@${clock.unsafeCurrentTimeMillis()}`)
      then()
    })
  return { after, rung }
})

/** What is rung runs in a fiber of its own: it has its turn, which takes no time. */
const turn = Effect.repeatN(Effect.yieldNow(), 10)

/** A clock that counts who sleeps by it. */
const counting = () => {
  const clock = Virtual.make()
  let sleeping = 0
  const counted: Clock.Clock = {
    ...clock,
    sleep: (duration) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          sleeping++
        }),
        () => clock.sleep(duration),
        () =>
          Effect.sync(() => {
            sleeping--
          })
      )
  }
  return { clock: counted, sleeping: () => sleeping }
}

/** With the number of fibers that sleep. */
const supervised = <A, E, R>(
  program: (fibers: Effect.Effect<number>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const { clock, sleeping } = counting()
    return Effect.withClock(program(Effect.zipRight(turn, Effect.sync(sleeping))), clock)
  })

/** A clock that is late, or early: whoever sleeps is woken whenever it jumps. */
const jumping = () => {
  let now = 0
  let sleeping: ReadonlyArray<() => void> = []
  const clock: Clock.Clock = {
    ...Virtual.make(),
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(Math.round(now * 1_000_000)),
    sleep: () =>
      Effect.async((resume) => {
        sleeping = [...sleeping, () => resume(Effect.void)]
      })
  }
  const jump = (millis: number) => {
    now += millis
    const woken = sleeping
    sleeping = []
    for (const wake of woken) wake()
  }
  return { clock, jump }
}

/** Timers of this process that keep it alive. */
const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length

const lives = (clock: Clock.Clock, count: number) =>
  Array.from({ length: count }, () => alarm.after(clock, 3_600_000, () => {}))

describe("alarm", () => {
  it.effect("a reminder that was taken back does not ring", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      after(10, "a")
      const unset = after(20, "b")
      after(30, "c")
      unset()
      unset()
      yield* TestClock.adjust("1 hour")
      expect(rung).toEqual(["a@10", "c@30"])
    }))

  it.effect("what rings can take back what is due at the same time", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      let unset = () => {}
      after(10, "a", () => unset())
      unset = after(10, "b")
      after(10, "c")
      yield* TestClock.adjust(10)
      expect(rung).toEqual(["a@10", "c@10"])
    }))

  it.effect("taking back what has rung changes nothing", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      const unset = after(10, "a")
      yield* TestClock.adjust(10)
      after(10, "b")
      unset()
      yield* TestClock.adjust(10)
      expect(rung).toEqual(["a@10", "b@20"])
    }))

  it.effect("taking back the earliest leaves the others their time", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      const unset = after(10, "a")
      after(20, "b")
      unset()
      yield* TestClock.adjust(19)
      expect(rung).toEqual([])
      yield* TestClock.adjust(1)
      expect(rung).toEqual(["b@20"])
    }))

  it.effect("nothing is rung before its time, and everything at its time, in order", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      after(30, "c")
      after(10, "a")
      after(20, "b")
      after(20, "b2")
      yield* TestClock.adjust(9)
      expect(rung).toEqual([])
      for (const step of [1, 10, 10]) yield* TestClock.adjust(step)
      expect(rung).toEqual(["a@10", "b@20", "b2@20", "c@30"])
    }))

  it.effect("those that are due together, because time jumped, ring in the order of their times", () =>
    Effect.gen(function*() {
      const { clock, jump } = jumping()
      const { after, rung } = yield* Effect.withClock(make, clock)
      for (const millis of [50, 10, 40, 20, 30]) after(millis, String(millis))
      jump(45)
      yield* turn
      expect(rung).toEqual(["10@45", "20@45", "30@45", "40@45"])
      jump(100)
      yield* turn
      expect(rung.slice(4)).toEqual(["50@145"])
    }))

  it.effect("what wakes too early sleeps on", () =>
    Effect.gen(function*() {
      const { clock, jump } = jumping()
      const { after, rung } = yield* Effect.withClock(make, clock)
      after(10, "a")
      for (const at of [9, 0, 0.5, 0.5]) {
        expect(rung).toEqual([])
        jump(at)
        yield* turn
      }
      expect(rung).toEqual(["a@10"])
    }))

  it.effect("an earlier reminder that is set later rings first, and the later one all the same", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      after(100, "late")
      yield* TestClock.adjust(50)
      after(10, "early")
      yield* TestClock.adjust(10)
      expect(rung).toEqual(["early@60"])
      yield* TestClock.adjust(40)
      expect(rung).toEqual(["early@60", "late@100"])
    }))

  it.effect("what rings may set the next, earlier or later than what is set already", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      after(25, "other")
      const again = (left: number) => {
        if (left > 0) after(10, `tick${left}`, () => again(left - 1))
      }
      again(4)
      for (let i = 0; i < 50; i++) yield* TestClock.adjust(1)
      expect(rung).toEqual(["tick4@10", "tick3@20", "other@25", "tick2@30", "tick1@40"])
    }))

  it.effect("what is due at once, or was due before, rings without the clock being moved", () =>
    Effect.gen(function*() {
      const { after, rung } = yield* make
      after(0, "now")
      after(-5, "past")
      yield* turn
      expect(rung.sort()).toEqual(["now@0", "past@0"])
    }))

  it.effect("Infinity is never, and costs no fiber", () =>
    supervised((fibers) =>
      Effect.gen(function*() {
        const { after, rung } = yield* make
        const unset = after(Infinity, "never")
        expect(yield* fibers).toBe(0)
        yield* Effect.sleep("1000 days")
        unset()
        expect(rung).toEqual([])
      })
    ))

  it.effect("any number of reminders is one sleeping fiber, and none when nothing is left", () =>
    supervised((fibers) =>
      Effect.gen(function*() {
        const { after, rung } = yield* make
        expect(yield* fibers).toBe(0)
        const unset = Array.from({ length: 100 }, (_, i) => after(1000 - i, String(i)))
        expect(yield* fibers).toBe(1)
        for (const each of unset.slice(1)) each()
        expect(yield* fibers).toBe(1)
        unset[0]?.()
        expect(yield* fibers).toBe(0)
        after(10, "again")
        expect(yield* fibers).toBe(1)
        yield* Effect.sleep(11)
        expect(rung).toHaveLength(1)
        expect(yield* fibers).toBe(0)
      })
    ))

  it.effect("the fiber sleeps until the next reminder, not until those that were taken back or are later", () =>
    Effect.gen(function*() {
      const { after } = yield* make
      after(500, "b")
      after(400, "a")
      yield* turn
      const sleeps = Chunk.toReadonlyArray(yield* TestClock.sleeps())
      expect(Math.min(...sleeps)).toBe(400)
      yield* TestClock.adjust(400)
      expect(Math.min(...yield* TestClock.sleeps())).toBe(500)
    }))

  it.effect("clocks that differ do not ring for each other", () =>
    Effect.gen(function*() {
      const one = yield* make
      one.after(10, "one")
      const virtual = Virtual.make()
      yield* Effect.gen(function*() {
        const two = yield* make
        two.after(1000, "two")
        yield* Effect.sleep(2000)
        expect(two.rung).toEqual(["two@1000"])
      }).pipe(Effect.withClock(virtual))
      expect(one.rung).toEqual([])
      yield* TestClock.adjust(10)
      expect(one.rung).toEqual(["one@10"])
    }))

  it.effect("rings for an uninterruptible caller, and after its fiber has ended", () =>
    Effect.gen(function*() {
      const rung = yield* Effect.fork(make).pipe(
        Effect.flatMap((fiber) => fiber.await),
        Effect.flatten,
        Effect.map(({ after, rung }) => {
          after(10, "a")
          return rung
        }),
        Effect.uninterruptible
      )
      yield* TestClock.adjust(10)
      expect(rung).toEqual(["a@10"])
    }))

  it.live("keeps no timer when nothing is left to ring, so that a process can end", () =>
    Effect.gen(function*() {
      const clock = Clock.make()
      yield* turn
      const before = timers()
      const unset = lives(clock, 50)
      expect(timers()).toBe(before + 1)
      for (const each of unset) each()
      yield* turn
      expect(timers()).toBe(before)
    }))

  it.live("rings by the real clock, not before its time", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const begun = clock.unsafeCurrentTimeMillis()
      const at = yield* Effect.async<number>((resume) => {
        alarm.after(clock, 7, () => resume(Effect.sync(() => clock.unsafeCurrentTimeMillis())))
      })
      expect(at - begun).toBeGreaterThanOrEqual(7)
    }))
})
