/**
 * The tasks that run in one pulse, each in a slot of its own, and what they say in it.
 *
 * @since 0.1.0
 */
import * as Session from "../model/session.js"
import type { Settings } from "./options.js"
import { notify, RUNNING, type Slot, type Task, touch } from "./task.js"

const plan = (slot: Slot, limit: number): Session.Plan =>
  Session.plan(slot.session, slot.sampling, limit, slot.maxTokens - slot.produced)

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

/** @internal */
export class Batch {
  slots: ReadonlyArray<Slot> = []

  readonly settings: Settings
  readonly stepMillis: number

  /** When the pulse began, in milliseconds. */
  begin = 0

  constructor(settings: Settings) {
    this.settings = settings
    this.stepMillis = settings.pulse / settings.tokensPerPulse
  }

  start(task: Task, now: number): void {
    const { maxTokens, ...sampling } = task.parameters
    const slot: Slot = { task, maxTokens, sampling, produced: 0, session: task.session, plan: undefined, stop: false }
    task.status = RUNNING
    task.start = now
    task.finish = 0
    task.slot = slot
    this.slots = [...this.slots, slot]
  }

  /** A stop from an earlier pulse ends a run after one more token. */
  planAll(): void {
    for (const slot of this.slots) {
      slot.plan = slot.stop ? { ...plan(slot, 1), ended: true } : plan(slot, this.settings.tokensPerPulse)
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

  /** Stops a slot at its next step; false if its plan is over before. */
  stop(slot: Slot, millis: number): boolean {
    slot.stop = true
    const limit = this.steps(millis) + 1
    if (slot.plan === undefined || limit > slot.plan.steps) return false
    slot.plan = { ...plan(slot, limit), ended: true }
    return true
  }

  /** Takes a task out at once, with the tokens of the steps that are over. */
  remove(task: Task, millis: number, now: number): void {
    const steps = this.steps(millis)
    for (const slot of this.slots) {
      if (slot.task !== task || slot.plan === undefined || steps <= 0) continue
      deliver(slot, plan(slot, Math.min(steps, slot.plan.steps)), now)
    }
    this.slots = this.slots.filter((slot) => slot.task !== task)
  }

  /** Hands over the tokens of those that go on, and takes out the others. */
  collect(at: number): ReadonlyArray<Slot> {
    const ended = this.slots.filter((slot) => slot.plan?.ended === true)
    for (const slot of this.slots) {
      if (slot.plan?.ended === false) deliver(slot, slot.plan, at)
    }
    if (ended.length > 0) this.slots = this.slots.filter((slot) => !ended.includes(slot))
    return ended
  }
}
