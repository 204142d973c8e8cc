/**
 * The runs of one pulse, each in a slot of the batch, and their tokens. There are as many slots as tasks need, rounded
 * up to a power of two; when that number changes, the runs move to the front.
 *
 * @since 0.1.0
 */
import * as Session from "../model/session.js"
import type { Settings } from "./options.js"
import { notify, READY, RUNNING, type Slot, type Task, touch } from "./task.js"

const plan = (slot: Slot, limit: number): Session.Plan =>
  Session.plan(slot.session, slot.sampling, limit, slot.maxTokens - slot.produced)

/** The next steps of a run that is stopped with the last of them, if it does not end by itself. */
const planStopped = (slot: Slot, limit: number): Session.Plan => {
  const planned = plan(slot, limit)
  return { ...planned, endedBy: planned.endedBy ?? "stop" }
}

/**
 * Hands over what a slot has planned.
 *
 * @internal
 */
export const deliver = (slot: Slot, { session, tokens }: Session.Plan, at: number): void => {
  const { task } = slot
  slot.session = session
  slot.produced += tokens.length
  slot.plan = undefined
  task.session = session
  for (const token of tokens) task.buffer.push(token)
  notify(task.hub, { _tag: "Tokens", tokens, at })
  touch(task)
}

const hasEnded = ({ plan }: Slot): boolean => plan?.endedBy !== undefined

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, least)))

/** @internal */
export class Batch {
  places: Array<Slot | undefined> = [undefined]

  readonly settings: Settings
  readonly stepMillis: number

  /** When the pulse began, in milliseconds. */
  begin = 0

  constructor(settings: Settings) {
    this.settings = settings
    this.stepMillis = settings.pulse / settings.tokensPerPulse
  }

  get slots(): ReadonlyArray<Slot> {
    return this.places.filter((slot) => slot !== undefined)
  }

  reset(): void {
    this.places = [undefined]
  }

  /**
   * Gives slots to waiting tasks, in the order of the list: first the free ones, then those of the batch after it was
   * resized.
   */
  fill(list: ReadonlyArray<Task>, now: number): void {
    if (this.slots.length === 0) this.resize(list)
    this.take(list, now)
    this.resize(list)
    this.take(list, now)
  }

  /** Fills free slots; a task that is listed twice gets two (H22). */
  take(list: ReadonlyArray<Task>, now: number): void {
    const ready = list.filter((task) => task.status === READY)
    for (let place = this.places.indexOf(undefined); place >= 0; place = this.places.indexOf(undefined, place)) {
      const task = ready.shift()
      if (task === undefined) return
      this.start(task, place, now)
    }
  }

  /** Resizes the batch. Runs move to other slots, and their tasks keep the old numbers (H29). */
  resize(list: ReadonlyArray<Task>): void {
    const { slots } = this
    const needed = slots.length + list.filter((task) => task.status === READY).length
    const capacity = Math.min(powerOfTwo(needed), this.settings.maxBatchSize)
    if (capacity === this.places.length) return
    this.places = Array.from({ length: capacity }, (_, place) => slots[place])
  }

  start(task: Task, place: number, now: number): void {
    const { maxTokens, ...sampling } = task.parameters
    task.status = RUNNING
    task.start = now
    task.finish = 0
    task.endedBy = undefined
    task.place = place
    if (task.poison === "task") return
    this.places[place] = {
      task,
      maxTokens,
      sampling,
      produced: 0,
      session: task.session,
      plan: undefined,
      stop: false
    }
  }

  /** A stop from between two pulses ends a run after one more token. */
  planAll(): void {
    for (const slot of this.slots) {
      slot.plan = slot.stop ? planStopped(slot, 1) : plan(slot, this.settings.tokensPerPulse)
    }
  }

  /** When the last of the plans is carried out, in milliseconds. */
  end(): number {
    const steps = this.slots.reduce((longest, slot) => Math.max(longest, slot.plan?.steps ?? 0), 0)
    return this.begin + steps * this.stepMillis
  }

  steps(millis: number): number {
    return this.stepMillis > 0 ? Math.floor((millis - this.begin) / this.stepMillis) : 0
  }

  /** Stops the run in a slot at its next step; false if the slot is empty or its plan ends before. */
  stop(place: number, millis: number): boolean {
    const slot = this.places[place]
    if (slot === undefined) return false
    slot.stop = true
    const limit = this.steps(millis) + 1
    if (slot.plan === undefined || limit > slot.plan.steps) return false
    slot.plan = planStopped(slot, limit)
    return true
  }

  /** Takes a task out at once, with the tokens of the steps that are over. */
  remove(task: Task, millis: number, now: number): void {
    const steps = this.steps(millis)
    for (const [place, slot] of this.places.entries()) {
      if (slot?.task !== task) continue
      if (slot.plan !== undefined && steps > 0) deliver(slot, plan(slot, Math.min(steps, slot.plan.steps)), now)
      this.places[place] = undefined
    }
  }

  /** Delivers the tokens of runs that go on; takes out those that end. */
  collect(at: number): ReadonlyArray<Slot> {
    const ended = this.slots.filter(hasEnded)
    for (const slot of this.slots) {
      if (slot.plan !== undefined && !hasEnded(slot)) deliver(slot, slot.plan, at)
    }
    if (ended.length > 0) {
      this.places = this.places.map((slot) => slot !== undefined && hasEnded(slot) ? undefined : slot)
    }
    return ended
  }

  /** A stop that came while tokens were handed over is erased (H30). */
  forgetStops(): void {
    for (const slot of this.slots) slot.stop = false
  }
}
