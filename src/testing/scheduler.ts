/**
 * The scheduler: pulses of up to 32 tokens for every running task, handed over at the end of the pulse.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Settings } from "./options.js"
import * as Session from "./session.js"
import { FINISHED, type Hub, READY, RUNNING, type Signal, type Slot, type Task } from "./task.js"

/** @internal */
export interface Scheduler {
  /** Runs pulses for ever; waits, without touching the clock, while there is nothing to do. */
  readonly run: Effect.Effect<never>
  readonly add: (task: Task) => void
  readonly stop: (taskId: string, task: Task) => Effect.Effect<void>
  /** Finishes every queued task where it is, as a graceful shutdown does. */
  readonly stopAll: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  /** Listed tasks, each once. */
  readonly listed: () => ReadonlySet<Task>
  /** Tokens per second per task in the last pulse that left somebody running. */
  readonly speed: () => number
}

/** @internal */
export const seconds: Effect.Effect<number> = Effect.map(
  Effect.clock,
  // The effectful reading throws in a TestClock whose time has a fraction of a nanosecond.
  (clock) => Number(clock.unsafeCurrentTimeNanos()) / 1e9
)

/**
 * Seconds from one time to another, free of the noise of subtracting large floats.
 *
 * @internal
 */
export const between = (from: number, to: number): number => Math.round((to - from) * 1e9) / 1e9

/** @internal */
export const notify = (hub: Hub | undefined, signal: Signal): void => {
  hub?.queue?.unsafeOffer(signal)
}

/** @internal */
export const make = (settings: Settings, onFinish: (task: Task) => void): Scheduler => {
  const documented = settings.profile === "documented"
  const stepMillis = settings.pulse / settings.tokensPerPulse
  const work = Effect.unsafeMakeLatch()
  const changed = Effect.unsafeMakeLatch()
  let list: Array<Task> = []
  let slots: Array<Slot> = []
  let begin = 0
  let epoch = 0
  let gauge = 0
  let broken = false

  const planSlot = (slot: Slot, limit: number): Session.Plan =>
    Session.plan(slot.session, slot.sampling, limit, slot.maxTokens - slot.produced)

  const start = (task: Task, now: number): void => {
    const { maxTokens, ...sampling } = task.parameters
    const slot: Slot = { task, maxTokens, sampling, produced: 0, session: task.session, plan: undefined, stop: false }
    task.status = RUNNING
    task.start = now
    task.finish = 0
    task.slot = slot
    slots.push(slot)
  }

  const deliver = (slot: Slot, plan: Session.Plan, at: number): void => {
    slot.session = plan.session
    slot.produced += plan.tokens.length
    slot.plan = undefined
    slot.task.session = plan.session
    slot.task.buffer.push(...plan.tokens)
    notify(slot.task.hub, { _tag: "Tokens", tokens: plan.tokens, at })
  }

  const finish = (task: Task, now: number): void => {
    task.status = FINISHED
    task.finish = now
    notify(task.hub, { _tag: "End" })
    onFinish(task)
  }

  const elapsedSteps = (now: number): number => stepMillis > 0 ? Math.floor((now - begin) / stepMillis) : 0

  const finishNow = (task: Task, millis: number, now: number): void => {
    for (const slot of slots.filter((slot) => slot.task === task)) {
      const steps = elapsedSteps(millis)
      if (slot.plan !== undefined && steps > 0) deliver(slot, planSlot(slot, Math.min(steps, slot.plan.steps)), now)
    }
    slots = slots.filter((slot) => slot.task !== task)
    finish(task, now)
    changed.unsafeOpen()
  }

  const stop = (taskId: string, task: Task) =>
    Effect.gen(function*() {
      const millis = yield* Clock.currentTimeMillis
      const now = yield* seconds
      if (documented) {
        if (task.status !== FINISHED) finishNow(task, millis, now)
        return
      }
      const slot = task.slot
      if (slot === undefined) {
        task.status = FINISHED
        return
      }
      if (settings.stopMisses(taskId)) return
      slot.stop = true
      const limit = elapsedSteps(millis) + 1
      if (slot.plan !== undefined && limit <= slot.plan.steps) {
        slot.plan = { ...planSlot(slot, limit), ended: true }
        changed.unsafeOpen()
      }
    })

  const waitForEnd = (mine: number): Effect.Effect<void> =>
    Effect.gen(function*() {
      const steps = Math.max(0, ...slots.map((slot) => slot.plan?.steps ?? 0))
      const rest = begin + steps * stepMillis - (yield* Clock.currentTimeMillis)
      if (rest <= 0) return
      changed.unsafeClose()
      const again = yield* Effect.raceFirst(
        Effect.as(Effect.sleep(rest), false),
        Effect.as(changed.await, true)
      )
      if (again && mine === epoch) yield* waitForEnd(mine)
    })

  const pulse = Effect.gen(function*() {
    const mine = epoch
    const from = yield* seconds
    begin = yield* Clock.currentTimeMillis
    for (const task of list.filter((task) => task.status === READY)) {
      if (slots.length < settings.maxBatchSize) start(task, from)
    }
    if (slots.some((slot) => slot.task.poison)) {
      broken = true
      return
    }
    for (const slot of slots) {
      slot.plan = slot.stop ? { ...planSlot(slot, 1), ended: true } : planSlot(slot, settings.tokensPerPulse)
    }
    yield* Effect.yieldNow()
    yield* waitForEnd(mine)
    if (mine !== epoch) return
    const to = yield* seconds
    const ended: Array<Slot> = []
    for (const slot of slots) {
      if (slot.plan?.ended === true) ended.push(slot)
      else if (slot.plan !== undefined) deliver(slot, slot.plan, to)
    }
    slots = slots.filter((slot) => !ended.includes(slot))
    for (const slot of ended) slot.task.status = FINISHED
    if (slots.length > 0 && to > from) gauge = settings.tokensPerPulse / between(from, to)
    if (settings.lateTokens > 0 && ended.length > 0) {
      yield* Effect.sleep(settings.lateTokens)
      if (mine !== epoch) return
    }
    const end = yield* seconds
    for (const slot of ended) {
      if (slot.plan !== undefined) deliver(slot, slot.plan, end)
      finish(slot.task, end)
    }
    list = list.filter((task) => task.status !== FINISHED)
  })

  const isIdle = () => broken || (slots.length === 0 && !list.some((task) => task.status === READY))

  const wakeUp = settings.idleDelay > 0 ? Effect.zipRight(work.await, Effect.sleep(settings.idleDelay)) : work.await

  const wait = Effect.zipRight(Effect.sync(() => work.unsafeClose()), wakeUp)

  return {
    run: Effect.zipRight(wakeUp, Effect.forever(Effect.suspend(() => isIdle() ? wait : pulse))),
    add: (task) => {
      list.push(task)
      work.unsafeOpen()
    },
    stop,
    stopAll: Effect.gen(function*() {
      const millis = yield* Clock.currentTimeMillis
      const now = yield* seconds
      for (const task of new Set(list)) {
        if (task.status !== FINISHED) finishNow(task, millis, now)
      }
    }),
    reset: Effect.sync(() => {
      epoch++
      list = []
      slots = []
      gauge = 0
      broken = false
      changed.unsafeOpen()
      work.unsafeOpen()
    }),
    listed: () => new Set(list),
    speed: () => gauge
  }
}
