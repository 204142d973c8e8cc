/**
 * The JSON bodies of good answers, in the server's order of keys.
 *
 * @since 0.1.0
 */
import { decode, decodeWhole, join } from "../model/text.js"
import { float } from "../python/json.js"
import { between } from "../server/clock.js"
import type { Machine } from "../server/machine.js"
import { FINISHED, type Task } from "../server/task.js"
import * as Reply from "./reply.js"

interface Values {
  readonly result: string
  readonly prefill: number
  readonly gen: number
  readonly speed: number
  readonly finished: boolean
}

/** The generation time of an instant run: 0 would mean that its last tokens are still to come (H31). */
const leastSeconds = 1e-6

const response = (taskId: string, values: Values): Reply.Reply =>
  Reply.json(
    `{"task_id":${JSON.stringify(taskId)},"result":${JSON.stringify(values.result)},` +
      `"prefill_time":${float(values.prefill)},"gen_time":${float(values.gen)},` +
      `"speed":${float(values.speed)},"finished":${values.finished}}`
  )

/**
 * The answer for a task that has just been queued.
 *
 * @internal
 */
export const created = (taskId: string, prefill: number): Reply.Reply =>
  response(taskId, { result: "", prefill, gen: 0, speed: 0, finished: false })

/** @internal */
export const result = (machine: Machine, taskId: string, task: Task): Reply.Reply =>
  response(taskId, {
    result: machine.documented ? decodeWhole(join(task.buffer)).text : decode(task.buffer),
    prefill: task.prefillTime,
    gen: Math.max(
      machine.settings.instant && task.status === FINISHED ? leastSeconds : 0,
      between(task.start, task.finish)
    ),
    speed: machine.scheduler.speed,
    finished: task.status === FINISHED
  })

/** @internal */
export const info = (task: Task): Reply.Reply =>
  Reply.json(
    `{"task_id":${JSON.stringify(task.ownId)},"generated_buf":${task.buffer.length},"status":${task.status}}`
  )

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

/** @internal */
export const models = (machine: Machine): Reply.Reply =>
  Reply.json(
    `{"object":"list","data":[{"id":"rwkv-7-g1g-2.9b","object":"model","created":${machine.startedAt},` +
      `"owned_by":"rwkv"}]}`
  )
