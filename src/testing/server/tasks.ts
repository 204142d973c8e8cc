/**
 * What the endpoints do to tasks.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Session from "../model/session.js"
import type { Body } from "../python/fields.js"
import { seconds } from "./clock.js"
import { Crash, type Died } from "./failure.js"
import type { Machine } from "./machine.js"
import { isBusy, prefill, proceed } from "./prompt.js"
import { copy, FINISHED, type Hub, notify, type Parameters, PREFILL, type Task } from "./task.js"

/**
 * A task that was queued, and the callbacks of its POST stream if one was asked for.
 *
 * @internal
 */
export interface Launched {
  readonly taskId: string
  readonly task: Task
  readonly hub: Hub | undefined
  readonly at: number
}

type Launch = Effect.Effect<Launched, Crash | Died>

const defaults = (machine: Machine): Parameters => ({
  maxTokens: machine.settings.defaultMaxTokens,
  temperature: 1,
  topK: 50,
  topP: 0.3,
  presencePenalty: 2,
  repetitionPenalty: 0,
  penaltyDecay: 1
})

const parameters = (body: Body, base: Parameters): Parameters => ({
  maxTokens: body.max_tokens ?? base.maxTokens,
  temperature: body.temperature ?? base.temperature,
  topK: body.top_k ?? base.topK,
  topP: body.top_p ?? base.topP,
  presencePenalty: body.presence_penalty ?? base.presencePenalty,
  repetitionPenalty: body.repetition_penalty ?? base.repetitionPenalty,
  penaltyDecay: body.penalty_decay ?? base.penaltyDecay
})

/**
 * The documented server registers a POST stream before its task is queued, the current one when the event loop comes to
 * the stream's second step, whether or not the client reads: prefills of other requests that were waiting come first,
 * and what is generated meanwhile is lost (H1).
 */
const register = (machine: Machine, hub: Hub): Effect.Effect<void> => {
  const set = Effect.sync(() => {
    hub.registered = true
  })
  return machine.settings.prefillPerToken === 0
    ? set
    : Effect.asVoid(machine.background(Effect.zipRight(Effect.zipRight(machine.turn, machine.turn), set)))
}

/** Queues the task, whatever its status. */
const launch = (machine: Machine, taskId: string, task: Task, stream: boolean): Effect.Effect<Launched> =>
  Effect.gen(function*() {
    const hub: Hub | undefined = stream
      ? { registered: machine.documented, signals: [], wake: Effect.unsafeMakeLatch() }
      : undefined
    const at = yield* seconds
    task.hub = hub
    machine.scheduler.add(task)
    if (machine.documented && task.status === FINISHED) notify(task.hub, { _tag: "End" })
    if (machine.documented) machine.store.save(taskId, task)
    if (hub !== undefined && !machine.documented) yield* register(machine, hub)
    return { taskId, task, hub, at }
  })

const seedOf = (machine: Machine, seed: string | undefined): Effect.Effect<number, Crash> => {
  if (seed === undefined) return Effect.sync(machine.random)
  const value = BigInt(seed)
  return BigInt.asIntN(64, value) === value ? Effect.succeed(Number(BigInt.asIntN(32, value))) : new Crash()
}

/** @internal */
export const create = (machine: Machine, endpoint: "tmp" | "create" | "fim", body: Body): Launch =>
  Effect.gen(function*() {
    const taskId = machine.newId(endpoint === "create" ? "TASK_" : "TMP_")
    const prompt = endpoint === "fim" ?
      `✿prefix✿✿suffix✿${body.suffix ?? ""}✿middle✿${body.prefix ?? ""}` :
      body.prompt ?? ""
    const task: Task = {
      ownId: taskId,
      status: PREFILL,
      buffer: [],
      watchers: new Set(),
      parameters: parameters(body, defaults(machine)),
      session: Session.make(yield* seedOf(machine, body.seed)),
      handle: true,
      prefillTime: 0,
      integerTimes: false,
      start: 0,
      finish: 0,
      endedBy: undefined,
      place: undefined,
      hub: undefined,
      poison: undefined
    }
    yield* prefill(machine, endpoint, taskId, task, prompt)
    machine.store.put(taskId, task)
    return yield* launch(machine, taskId, task, body.stream ?? false)
  })

/** @internal */
export const resume = (
  machine: Machine,
  endpoint: "continue" | "fork",
  taskId: string,
  task: Task,
  body: Body
): Launch =>
  Effect.gen(function*() {
    if (machine.documented) {
      if (isBusy(machine, task)) return yield* new Crash()
      task.parameters = parameters(body, task.parameters)
    }
    if (body.prompt !== undefined) yield* prefill(machine, endpoint, taskId, task, body.prompt)
    else if (machine.documented) proceed(machine, endpoint, taskId, task)
    task.parameters = parameters(body, task.parameters)
    return yield* launch(machine, taskId, task, body.stream ?? false)
  })

/** A copy under an id of its own. On the current server it is shallow (H15), and a template has no model (H16). */
const copyAs = (machine: Machine, taskId: string, source: Task, shallow: { readonly handle?: boolean }): Task => {
  const task = copy(source, machine.documented ? { ownId: taskId, buffer: source.buffer.slice() } : shallow)
  machine.store.put(taskId, task)
  return task
}

/** @internal */
export const fork = (machine: Machine, source: Task, body: Body, temporary: boolean): Launch =>
  Effect.suspend(() => {
    const taskId = machine.newId(temporary ? "TMP_" : "TASK_")
    if (machine.documented && isBusy(machine, source)) return new Crash()
    return resume(machine, "fork", taskId, copyAs(machine, taskId, source, {}), body)
  })

/**
 * The id of the new template.
 *
 * @internal
 */
export const template = (machine: Machine, source: Task): string => {
  const taskId = machine.newId("_TMPL_")
  const task = copyAs(machine, taskId, source, { handle: false })
  if (machine.documented) machine.store.save(taskId, task)
  return taskId
}

/**
 * Stops a task and forgets it. On the current server a template is kept without `force`, though stopped (H17).
 *
 * @internal
 */
export const remove = (machine: Machine, taskId: string, task: Task, force: boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* machine.scheduler.stop(taskId, task)
    if (!taskId.startsWith("_") || force) machine.store.remove(taskId)
  })
