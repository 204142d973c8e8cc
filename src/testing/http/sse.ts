/**
 * The two kinds of event streams: frames pushed at the end of a pulse, and a poll of the token buffer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { decode, decodeWhole, encode, join } from "../model/text.js"
import { ascii, float } from "../python/json.js"
import { between, sleepUnless } from "../server/clock.js"
import type { Machine } from "../server/machine.js"
import { FINISHED, type Hub, type Task } from "../server/task.js"
import { Connection } from "./connection.js"
import type { Reply } from "./reply.js"
import { reset } from "./socket.js"

const event = (payload: string): Uint8Array => encode(`data: ${payload}\n\n`)

const done = event("[DONE]")

const head = (taskId: string, task: Task): Uint8Array => {
  const time = task.integerTimes ? String(task.prefillTime) : float(task.prefillTime)
  return event(`{"task_id": ${ascii(taskId)}, "prefill_time": ${time}}`)
}

/** The text of one frame; the documented server keeps an unfinished character for the next one. */
const makeDecoder = (machine: Machine) => {
  let rest: Uint8Array = new Uint8Array()
  return (tokens: ReadonlyArray<Uint8Array>): string => {
    if (!machine.documented) return decode(tokens)
    const whole = decodeWhole(join([rest, ...tokens]))
    rest = whole.rest
    return whole.text
  }
}

/**
 * A stream asked for by POST: the head event, and what the callbacks of its task are told.
 *
 * @internal
 */
export const push = (machine: Machine, taskId: string, task: Task, hub: Hub, openedAt: number): Reply => {
  const text = makeDecoder(machine)
  const id = JSON.stringify(taskId)
  let last = openedAt
  let begun = false
  const frame = (tokens: ReadonlyArray<Uint8Array>, at: number): Uint8Array => {
    const delta = between(last, at)
    last = at
    const speed = float(delta > 0 ? tokens.length / delta : 0)
    return event(`{"data":${JSON.stringify(text(tokens))},"task_id":${id},"gen_time":${float(delta)},"speed":${speed}}`)
  }
  return new Connection(machine, {
    wake: hub.wake,
    turn: Effect.suspend(() => begun ? Effect.void : machine.turn),
    wait: hub.wake.await,
    look: (connection) => {
      const events = begun ? [] : [head(taskId, task)]
      begun = true
      for (const signal of hub.signals.splice(0)) {
        if (connection.ended) break
        connection.ended = signal._tag === "End"
        events.push(signal._tag === "End" ? done : frame(signal.tokens, signal.at))
      }
      return events
    }
  }).reply
}

/**
 * A stream asked for by GET: all tokens from `position` on, whenever there are new ones.
 *
 * @internal
 */
export const poll = (machine: Machine, taskId: string, task: Task, position: number): Reply => {
  const { pollInterval } = machine.settings
  const wake = Effect.unsafeMakeLatch()
  const text = makeDecoder(machine)
  let from = position
  let begun = false
  return new Connection(machine, {
    wake,
    turn: machine.turn,
    ...(pollInterval > 0 ? { wait: sleepUnless(wake, pollInterval) } : { wait: wake.await, watches: task.watchers }),
    look: (connection) => {
      const events: Array<Uint8Array> = []
      if (task.buffer.length > from) {
        // The current server has no model to decode a template's tokens with (H16).
        if (!task.handle) connection.cut(reset)
        if (!task.handle) return events
        const data = text(task.buffer.slice(from))
        from = task.buffer.length
        if (!begun) events.push(head(taskId, task))
        begun = true
        if (data !== "" || !machine.documented) events.push(event(`{"data": ${ascii(data)}}`))
      }
      connection.ended = task.status === FINISHED
      if (connection.ended) events.push(done)
      return events
    }
  }).reply
}
