/**
 * What the endpoints do to tasks.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { float } from "./json.js"
import type { Machine } from "./machine.js"
import * as Reply from "./reply.js"
import { between, notify, seconds } from "./scheduler.js"
import { compile, type PromptRequest } from "./script.js"
import * as Session from "./session.js"
import * as Sse from "./sse.js"
import {
  copy,
  decode,
  decodeWhole,
  FINISHED,
  type Hub,
  join,
  type Parameters,
  PREFILL,
  READY,
  RUNNING,
  type Signal,
  type Task
} from "./task.js"
import type { Body } from "./validation.js"

type Endpoint = PromptRequest["endpoint"]
type Handled = Effect.Effect<Reply.Reply, Reply.Refusal | Reply.SocketError>

const encoder = new TextEncoder()
const lossy = new TextDecoder()
const embeddings = 65536

/** Any exception in the server. */
const crash = Effect.fail(new Reply.Refusal({ reply: Reply.crash }))

const tokenize = (prompt: string | ReadonlyArray<string>): ReadonlyArray<number> =>
  typeof prompt === "string" ? Array.from(encoder.encode(prompt), (byte) => byte + 1) : prompt.map(Number)

const isUnknown = (id: number): boolean => id < 0 || id >= embeddings

const promptText = (prompt: string | ReadonlyArray<string>, ids: ReadonlyArray<number>): string =>
  typeof prompt === "string" ?
    prompt :
    lossy.decode(Uint8Array.from(ids.filter((id) => id > 0 && id <= 256).map((id) => id - 1)))

const parameters = (body: Body, base: Parameters): Parameters => ({
  maxTokens: body.max_tokens ?? base.maxTokens,
  temperature: body.temperature ?? base.temperature,
  topK: body.top_k ?? base.topK,
  topP: body.top_p ?? base.topP,
  presencePenalty: body.presence_penalty ?? base.presencePenalty,
  repetitionPenalty: body.repetition_penalty ?? base.repetitionPenalty,
  penaltyDecay: body.penalty_decay ?? base.penaltyDecay
})

const response = (
  taskId: string,
  values: { readonly result?: string; readonly prefill: number; readonly gen?: number; readonly speed?: number },
  finished: boolean
): Reply.Reply =>
  Reply.json(
    `{"task_id":${JSON.stringify(taskId)},"result":${JSON.stringify(values.result ?? "")},` +
      `"prefill_time":${float(values.prefill)},"gen_time":${float(values.gen ?? 0)},` +
      `"speed":${float(values.speed ?? 0)},"finished":${finished}}`
  )

/** @internal */
export const info = (task: Task): Reply.Reply =>
  Reply.json(
    `{"task_id":${JSON.stringify(task.ownId)},"generated_buf":${task.buffer.length},"status":${task.status}}`
  )

const setScript = (
  machine: Machine,
  endpoint: Endpoint,
  taskId: string,
  maxTokens: number,
  prompt: string | ReadonlyArray<string>,
  ids: ReadonlyArray<number>
) => {
  const reply = machine.settings.reply({
    endpoint,
    taskId,
    text: promptText(prompt, ids),
    tokens: typeof prompt === "string" ? undefined : ids,
    maxTokens
  })
  return reply === undefined ? undefined : compile(reply)
}

const isBusy = (machine: Machine, task: Task): boolean =>
  task.status === RUNNING || (machine.documented && task.status === READY)

/** The failures come after the damage: an empty or unreadable prompt has already wiped the result. */
const prefill = (
  machine: Machine,
  endpoint: Endpoint,
  taskId: string,
  task: Task,
  prompt: string | ReadonlyArray<string>
) =>
  Effect.gen(function*() {
    if (isBusy(machine, task)) return yield* crash
    task.buffer.length = 0
    task.status = PREFILL
    const ids = tokenize(prompt)
    if (!task.handle || ids.length === 0 || ids.slice(0, -1).some(isUnknown)) return yield* crash
    const before = yield* seconds
    if (machine.settings.prefillPerToken > 0) {
      yield* Effect.raceFirst(Effect.sleep(ids.length * machine.settings.prefillPerToken), machine.death)
    }
    const after = yield* seconds
    const { maxTokens } = task.parameters
    task.poison = isUnknown(ids.at(-1) ?? 0)
    task.prefillTime = between(before, after)
    task.integerTimes = false
    task.session = Session.read(task.session, ids, setScript(machine, endpoint, taskId, maxTokens, prompt, ids))
    task.status = maxTokens === 0 ? FINISHED : READY
    if (maxTokens === 0) task.finish = after
  })

/** Queues the task, whatever its status, and answers. */
const launch = (machine: Machine, taskId: string, task: Task, stream: boolean): Handled =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Signal>()
    const hub: Hub = { queue: machine.documented ? queue : undefined }
    const now = yield* seconds
    task.hub = stream ? hub : undefined
    machine.scheduler.add(task)
    if (machine.documented && task.status === FINISHED) notify(task.hub, { _tag: "End" })
    if (machine.documented) machine.store.save(taskId, task)
    if (stream) {
      if (!machine.documented) yield* Sse.register(machine, hub, queue)
      return Reply.events(Sse.push(machine, taskId, task, queue, now))
    }
    return response(taskId, { prefill: task.prefillTime }, false)
  })

const seedOf = (machine: Machine, seed: string | undefined) => {
  if (seed === undefined) return Effect.succeed(machine.random())
  const value = BigInt(seed)
  return BigInt.asIntN(64, value) === value ? Effect.succeed(Number(BigInt.asIntN(32, value))) : crash
}

/** @internal */
export const create = (machine: Machine, endpoint: "tmp" | "create" | "fim", body: Body): Handled =>
  Effect.gen(function*() {
    const taskId = machine.newId(endpoint === "create" ? "TASK_" : "TMP_")
    const prompt = endpoint === "fim" ?
      `✿prefix✿✿suffix✿${body.suffix ?? ""}✿middle✿${body.prefix ?? ""}` :
      body.prompt ?? ""
    const task: Task = {
      ownId: taskId,
      status: PREFILL,
      buffer: [],
      parameters: parameters(body, {
        maxTokens: machine.settings.defaultMaxTokens,
        temperature: 1,
        topK: 50,
        topP: 0.3,
        presencePenalty: 2,
        repetitionPenalty: 0,
        penaltyDecay: 1
      }),
      session: Session.make(yield* seedOf(machine, body.seed)),
      handle: true,
      prefillTime: 0,
      integerTimes: false,
      start: 0,
      finish: 0,
      slot: undefined,
      hub: undefined,
      poison: false
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
): Handled =>
  Effect.gen(function*() {
    if (machine.documented) {
      if (isBusy(machine, task)) return yield* crash
      task.parameters = parameters(body, task.parameters)
    }
    if (body.prompt !== undefined) yield* prefill(machine, endpoint, taskId, task, body.prompt)
    else if (machine.documented) {
      task.buffer.length = 0
      const { maxTokens } = task.parameters
      const script = setScript(machine, endpoint, taskId, maxTokens, "", [])
      if (script !== undefined) task.session = Session.read(task.session, [], script)
      task.status = maxTokens === 0 ? FINISHED : READY
    }
    task.parameters = parameters(body, task.parameters)
    return yield* launch(machine, taskId, task, body.stream ?? false)
  })

/** @internal */
export const fork = (machine: Machine, source: Task, body: Body, temporary: boolean): Handled =>
  Effect.suspend(() => {
    const taskId = machine.newId(temporary ? "TMP_" : "TASK_")
    if (machine.documented && isBusy(machine, source)) return crash
    const task = copy(source, machine.documented ? { ownId: taskId, buffer: source.buffer.slice() } : {})
    machine.store.put(taskId, task)
    return resume(machine, "fork", taskId, task, body)
  })

/** @internal */
export const template = (machine: Machine, source: Task): Handled =>
  Effect.suspend(() => {
    if (source.ownId.startsWith("_")) {
      return Effect.succeed(Reply.detail(400, "Task is already a template"))
    }
    const taskId = machine.newId("_TMPL_")
    const task = copy(
      source,
      machine.documented ? { ownId: taskId, buffer: source.buffer.slice() } : { handle: false }
    )
    machine.store.put(taskId, task)
    if (machine.documented) machine.store.save(taskId, task)
    return Effect.succeed(response(taskId, { prefill: 0 }, false))
  })

/** @internal */
export const result = (machine: Machine, taskId: string, task: Task): Handled => {
  if (!task.handle) return crash
  const text = machine.documented ? decodeWhole(join(task.buffer)).text : decode(task.buffer)
  const gen = Math.max(0, between(task.start, task.finish))
  const values = { result: text, prefill: task.prefillTime, gen, speed: machine.scheduler.speed() }
  return Effect.succeed(response(taskId, values, task.status === FINISHED))
}

/** @internal */
export const stop = (machine: Machine, taskId: string, task: Task): Handled =>
  Effect.map(machine.scheduler.stop(taskId, task), () => info(task))

/** @internal */
export const remove = (machine: Machine, taskId: string, task: Task, force: boolean): Handled =>
  Effect.gen(function*() {
    if (task.ownId.startsWith("_") && !force) {
      return Reply.detail(403, "Cannot delete template without force=true")
    }
    if (task.status !== FINISHED) yield* machine.scheduler.stop(taskId, task)
    if (!taskId.startsWith("_") || force) machine.store.remove(taskId)
    return info(task)
  })

/** @internal */
export const list = (machine: Machine): Reply.Reply => {
  const cached = Array.from(machine.store.cache.keys())
  const stored = Array.from(machine.store.database.keys()).toReversed()
  return Reply.json(
    `{"cpu_cache_count":${cached.length},"database_count":${stored.length},` +
      `"total_count":${cached.length + stored.length},"cpu_tasks":${JSON.stringify(cached)},` +
      `"db_tasks":${JSON.stringify(stored.slice(0, 100))}}`
  )
}
