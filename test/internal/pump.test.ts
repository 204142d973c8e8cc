import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, FastCheck as fc, Fiber, Option, TestClock } from "effect"
import { RWKVError } from "effect-rwkv"
import * as Pump from "../../src/internal/pump.js"
import * as Start from "../../src/internal/start.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)

const error = (description: string) =>
  new RWKVError.RWKVDecodeError({ operation: "test", taskId: undefined, description })

/** Text to be told, something to do, or the end. */
type Signal =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Step"; readonly step: Pump.Step }
  | { readonly _tag: "End" }

/** A pump whose signals a test says, and all that it did, in order. */
const make = Effect.gen(function*() {
  const line: Array<Signal> = []
  const log: Array<string> = []
  let piece = ""
  let ended = false
  let refused: Pump.Step | undefined
  const finish = Effect.sync(() => {
    ended = true
  })
  const pump: Pump.Pump<string> = Pump.make<string, Signal>({
    runtime: yield* Start.runtime,
    poll: () => line.shift(),
    hear: (signal) => {
      log.push(`hear ${signal._tag === "Text" ? signal.text : signal._tag}`)
      if (signal._tag === "Text") piece += signal.text
      return signal._tag === "Text" ? undefined : signal._tag === "Step" ? signal.step : finish
    },
    settle: () => {
      log.push("settle")
      if (piece !== "") pump.tell(piece)
      piece = ""
      return refused
    },
    end: () => ended ? Effect.fail(Option.none()) : undefined
  })
  const put = (...signals: ReadonlyArray<Signal>) => {
    line.push(...signals)
  }
  return {
    ...pump,
    log,
    unheard: () => line.length,
    put,
    say: (...texts: ReadonlyArray<string>) => {
      for (const text of texts) {
        put({ _tag: "Text", text })
        pump.hark()
      }
    },
    step: (step: Pump.Step) => {
      put({ _tag: "Step", step })
      pump.hark()
    },
    end: () => {
      put({ _tag: "End" })
      pump.hark()
    },
    refuse: (step: Pump.Step) => {
      refused = step
    },
    taken: Effect.map(pump.pull, Chunk.toReadonlyArray)
  }
})

const turn = Effect.repeatN(Effect.yieldNow(), 10)

describe("a pump", () => {
  it.effect("a step that fails fails the pull, after what was told before it was taken", () =>
    Effect.gen(function*() {
      const { put, say, step, taken } = yield* make
      say("a")
      step(Effect.fail(error("refused")))
      put({ _tag: "Text", text: "b" })
      expect(yield* taken).toEqual(["a"])
      expect(yield* Effect.flip(taken)).toEqual(Option.some(error("refused")))
      expect(yield* taken).toEqual(["b"])
    }))

  it.effect("a step that dies is a defect of the pull", () =>
    Effect.gen(function*() {
      const { step, taken } = yield* make
      step(Effect.die("mistake"))
      expect(yield* Effect.exit(taken)).toEqual(Exit.die("mistake"))
    }))

  it.effect("`fail` ends the step that is being carried out, when its finalizers are done, and no other", () =>
    Effect.gen(function*() {
      const { fail, say, step, taken } = yield* make
      fail(error("too early"))
      step(Effect.onInterrupt(Effect.never, () => Effect.sleep(5)))
      const fiber = yield* Effect.fork(Effect.flip(taken))
      yield* turn
      fail(error("over"))
      yield* turn
      expect(fiber.unsafePoll()).toBe(null)
      yield* TestClock.adjust(5)
      expect(yield* Fiber.join(fiber)).toEqual(Option.some(error("over")))
      fail(error("too late"))
      say("a")
      expect(yield* taken).toEqual(["a"])
    }))

  it.effect("an interrupted pull interrupts its step, and waits for its finalizers", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      const { say, step, taken } = yield* make
      step(Effect.onInterrupt(Effect.never, () => Deferred.await(done)))
      const fiber = yield* Effect.fork(taken)
      yield* turn
      const leaving = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* turn
      expect(leaving.unsafePoll()).toBe(null)
      yield* Deferred.succeed(done, undefined)
      expect(Exit.isInterrupted(yield* Fiber.join(leaving))).toBe(true)
      say("a")
      expect(yield* taken).toEqual(["a"])
    }))

  it.effect("an interrupted pull leaves what comes to the next", () =>
    Effect.gen(function*() {
      const { say, taken, waits } = yield* make
      const fiber = yield* Effect.fork(taken)
      yield* turn
      expect(waits()).toBe(true)
      yield* Fiber.interrupt(fiber)
      expect(waits()).toBe(false)
      say("a", "b")
      expect(yield* taken).toEqual(["ab"])
    }))

  it.effect("an interrupt that comes with an element leaves it to the next", () =>
    Effect.gen(function*() {
      const { say, taken } = yield* make
      const fiber = yield* Effect.fork(taken)
      yield* turn
      say("a")
      fiber.unsafeInterruptAsFork(fiber.id())
      const exit = yield* Fiber.await(fiber)
      expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(true)
      expect(yield* taken).toEqual(["a"])
    }))

  it.effect("what settling refuses ends it, before the step that was asked for", () =>
    Effect.gen(function*() {
      const { log, refuse, say, step, taken } = yield* make
      refuse(Effect.fail(error("too long")))
      say("a")
      step(Effect.sync(() => log.push("step")))
      expect(yield* taken).toEqual(["a"])
      expect(yield* Effect.flip(taken)).toEqual(Option.some(error("too long")))
      expect(log).not.toContain("step")
    }))

  it.effect("ends when everything was taken, each time it is asked", () =>
    Effect.gen(function*() {
      const { end, say, taken } = yield* make
      say("a")
      end()
      expect(yield* taken).toEqual(["a"])
      for (let i = 0; i < 2; i++) expect(yield* Effect.flip(taken)).toEqual(Option.none())
    }))

  it.effect("a pull that waits hears the end", () =>
    Effect.gen(function*() {
      const { end, taken } = yield* make
      const fiber = yield* Effect.fork(Effect.flip(taken))
      yield* turn
      end()
      expect(yield* Fiber.join(fiber)).toEqual(Option.none())
    }))

  it.effect("tells what was told, and nothing for nothing", () =>
    Effect.gen(function*() {
      const { taken, tell } = yield* make
      tell(undefined)
      tell("a")
      tell(undefined)
      tell("b")
      expect(yield* taken).toEqual(["a", "b"])
    }))

  it.effect("hears signals where they come while it is waited for, and wakes once for many", () =>
    Effect.gen(function*() {
      const { log, say, taken, waits } = yield* make
      let woken = 0
      const fiber = yield* Effect.fork(Effect.tap(taken, () => {
        woken++
      }))
      yield* turn
      say("a")
      expect([waits(), log]).toEqual([false, ["settle", "hear a", "settle"]])
      say("b", "c")
      expect(log).not.toContain("hear b")
      expect(yield* Fiber.join(fiber)).toEqual(["a", "bc"])
      expect(woken).toBe(1)
    }))

  it.effect("hears nothing while its consumer is busy, so that the line grows and the socket waits", () =>
    Effect.gen(function*() {
      const { log, say, taken, unheard, waits } = yield* make
      say("a", "b", "c")
      expect([log, unheard(), waits()]).toEqual([[], 3, false])
      expect(yield* taken).toEqual(["abc"])
      say("d")
      yield* TestClock.adjust("1 hour")
      expect(unheard()).toBe(1)
      expect(yield* taken).toEqual(["d"])
    }))

  it.effect("carries a step out before the next signal is heard, though a signal comes meanwhile", () =>
    Effect.gen(function*() {
      const { log, say, step, taken } = yield* make
      const go = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(taken)
      yield* turn
      step(Effect.zipRight(Deferred.await(go), Effect.sync(() => log.push("step"))))
      yield* turn
      say("a")
      yield* turn
      expect(log).not.toContain("hear a")
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(fiber)).toEqual(["a"])
      expect(log.indexOf("step")).toBeLessThan(log.indexOf("hear a"))
    }))

  it.effect("settles before each step, and after the last signal", () =>
    Effect.gen(function*() {
      const { log, put, taken } = yield* make
      const step = Effect.sync(() => log.push("step"))
      put(
        { _tag: "Text", text: "a" },
        { _tag: "Text", text: "b" },
        { _tag: "Step", step },
        { _tag: "Text", text: "c" },
        { _tag: "Step", step },
        { _tag: "Text", text: "d" }
      )
      const texts = [...yield* taken, ...yield* taken, ...yield* taken]
      expect(texts).toEqual(["ab", "c", "d"])
      expect(log).toEqual([
        "hear a|hear b|hear Step|settle|settle|step",
        "hear c|hear Step|settle|settle|step",
        "hear d|settle|settle"
      ].flatMap((part) => part.split("|")))
    }))

  it.effect("what a step tells comes in its place", () =>
    Effect.gen(function*() {
      const { put, taken, tell } = yield* make
      put(
        { _tag: "Text", text: "a" },
        { _tag: "Step", step: Effect.sync(() => tell("step")) },
        { _tag: "Text", text: "b" }
      )
      expect(yield* taken).toEqual(["a"])
      expect(yield* taken).toEqual(["step", "b"])
    }))

  it.effect("a step that is put first is carried out before any signal", () =>
    Effect.gen(function*() {
      const { first, log, say, taken } = yield* make
      first(undefined)
      first(Effect.sync(() => log.push("step")))
      say("a")
      expect(yield* taken).toEqual(["a"])
      expect(log.filter((each) => each !== "settle")).toEqual(["step", "hear a"])
    }))

  it.effect("any number of steps that end at once need no stack", () =>
    Effect.gen(function*() {
      const { put, taken } = yield* make
      let count = 0
      const step = Effect.sync(() => {
        count++
      })
      put(...Array.from({ length: 20_000 }, () => ({ _tag: "Step" as const, step })), { _tag: "Text", text: "a" })
      expect(yield* taken).toEqual(["a"])
      expect(count).toBe(20_000)
    }))

  const act = fc.constantFrom("say", "say", "step", "pull", "interrupt", "turn", "say and interrupt")

  it("tells every text once and in order, whenever pulls are interrupted", () =>
    fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 60 }), (acts) =>
        Effect.gen(function*() {
          const { end, say, step, taken } = yield* make
          let said = 0
          let told = ""
          let fiber: Fiber.RuntimeFiber<void, unknown> | undefined
          const speak = () => say(`${said++},`)
          const take = Effect.map(taken, (texts) => {
            told += texts.join("")
          })
          for (const act of acts) {
            if (act === "say" || act === "say and interrupt") speak()
            if (act === "step") step(Effect.void)
            if (act === "pull" && (fiber === undefined || fiber.unsafePoll() !== null)) fiber = yield* Effect.fork(take)
            if (act.endsWith("interrupt")) fiber?.unsafeInterruptAsFork(fiber.id())
            if (act === "interrupt" && fiber !== undefined) yield* Fiber.await(fiber)
            if (act === "turn") yield* turn
          }
          if (fiber !== undefined) yield* Fiber.interrupt(fiber)
          end()
          expect(yield* Effect.flip(Effect.forever(take))).toEqual(Option.none())
          expect(told).toBe(Array.from({ length: said }, (_, i) => `${i},`).join(""))
        }).pipe(Effect.runPromise)),
      { numRuns }
    ), 1_000_000)
})
