/**
 * The scheduler: pulses of up to 32 tokens for every running task, handed over at the end of the pulse.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Batch, deliver } from "./batch.js"
import { between, seconds, sleepUnless } from "./clock.js"
import type { Settings } from "./options.js"
import { FINISHED, notify, READY, type Slot, type Task, touch } from "./task.js"

/** @internal */
export class Scheduler {
  readonly settings: Settings
  readonly onFinish: (task: Task) => void
  readonly batch: Batch

  /** Open when there may be something to do. */
  readonly work = Effect.unsafeMakeLatch()
  /** Opened when the end of the current pulse may have changed. */
  readonly changed = Effect.unsafeMakeLatch()
  /** Open while there is nothing to do. */
  readonly quiet = Effect.unsafeMakeLatch(true)

  list: ReadonlyArray<Task> = []
  /** Counts resets: a pulse of an earlier epoch must not go on. */
  epoch = 0
  /** Tokens per second per task in the last pulse that left somebody running. */
  speed = 0
  /** Whether an unknown token id has stopped all runs (H25). Tasks are still given slots. */
  broken = false

  constructor(settings: Settings, onFinish: (task: Task) => void) {
    this.settings = settings
    this.onFinish = onFinish
    this.batch = new Batch(settings)
  }

  /** Listed tasks, each once. */
  listed(): ReadonlySet<Task> {
    return new Set(this.list)
  }

  add(task: Task): void {
    // A finished task stays listed until the pulse ends, so the current server lists it twice if continued (H22).
    const others = this.settings.profile === "documented" ? this.list.filter((other) => other !== task) : this.list
    this.list = [...others, task]
    this.quiet.unsafeClose()
    this.work.unsafeOpen()
  }

  isIdle(): boolean {
    const running = this.batch.slots.length
    const waits = this.list.some((task) => task.status === READY) && running < this.settings.maxBatchSize
    return !waits && (this.broken || running === 0)
  }

  finish(task: Task, now: number): void {
    task.status = FINISHED
    task.finish = now
    notify(task.hub, { _tag: "End" })
    touch(task)
    this.onFinish(task)
  }

  finishNow(task: Task, millis: number, now: number): void {
    this.batch.remove(task, millis, now)
    task.endedBy = "stop"
    this.finish(task, now)
    this.changed.unsafeOpen()
  }

  stop(taskId: string, task: Task): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      if (task.status === FINISHED) return
      const millis = yield* Clock.currentTimeMillis
      if (this.settings.profile === "documented") return this.finishNow(task, millis, yield* seconds)
      if (task.place === undefined) {
        task.status = FINISHED
        task.endedBy = "stop"
        return touch(task)
      }
      if (this.settings.stopMisses(taskId)) return
      if (this.batch.stop(task.place, millis)) this.changed.unsafeOpen()
    })
  }

  /** Finishes every queued task where it is, as a graceful shutdown does. */
  stopAll(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const millis = yield* Clock.currentTimeMillis
      const now = yield* seconds
      for (const task of this.listed()) if (task.status !== FINISHED) this.finishNow(task, millis, now)
    })
  }

  reset(): void {
    this.epoch++
    this.list = []
    this.batch.reset()
    this.speed = 0
    this.broken = false
    this.changed.unsafeOpen()
    this.work.unsafeOpen()
  }

  /** Runs pulses for ever; waits, without touching the clock, while there is nothing to do. */
  run(): Effect.Effect<never> {
    const { idleDelay } = this.settings
    const wakeUp = idleDelay > 0 ? Effect.zipRight(this.work.await, Effect.sleep(idleDelay)) : this.work.await
    // Closed before the last look, so that work that comes meanwhile is not overlooked.
    const rest = Effect.suspend(() => {
      this.work.unsafeClose()
      if (!this.isIdle()) return Effect.void
      this.quiet.unsafeOpen()
      return wakeUp
    })
    const step = Effect.suspend(() => this.isIdle() ? rest : this.pulse())
    return Effect.ensuring(Effect.zipRight(wakeUp, Effect.forever(step)), this.quiet.open)
  }

  pulse(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { epoch } = this
      const from = yield* seconds
      this.batch.begin = yield* Clock.currentTimeMillis
      this.batch.fill(this.list, from)
      this.broken = this.batch.slots.some((slot) => slot.task.poison === "server")
      if (this.broken) return
      this.batch.planAll()
      yield* Effect.yieldNow()
      yield* this.untilEnd(epoch)
      if (epoch === this.epoch) yield* this.hand(from, epoch)
    })
  }

  untilEnd(epoch: number): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.changed.unsafeClose()
      const rest = this.batch.end() - now
      if (rest <= 0 || epoch !== this.epoch) return Effect.void
      return Effect.flatMap(sleepUnless(this.changed, rest), (over) => over ? Effect.void : this.untilEnd(epoch))
    })
  }

  /** Hands over the tokens of a pulse; the last ones of a task may come after its end (H31). */
  hand(from: number, epoch: number): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      const { lateTokens, tokensPerPulse } = this.settings
      const to = yield* seconds
      const ended = this.batch.collect(to)
      if (this.batch.slots.length > 0 && to > from) this.speed = tokensPerPulse / between(from, to)
      if (lateTokens > 0 && ended.length > 0) {
        for (const { task } of ended) {
          task.status = FINISHED
          touch(task)
        }
        yield* Effect.sleep(lateTokens)
        if (epoch !== this.epoch) return
        this.batch.forgetStops()
      }
      this.settle(ended, yield* seconds)
    })
  }

  settle(ended: ReadonlyArray<Slot>, now: number): void {
    for (const slot of ended) {
      slot.task.endedBy = slot.plan?.endedBy
      if (slot.plan !== undefined) deliver(slot, slot.plan, now)
      this.finish(slot.task, now)
    }
    this.list = this.list.filter((task) => task.status !== FINISHED)
  }
}
