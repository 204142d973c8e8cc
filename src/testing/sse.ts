/**
 * The two kinds of event streams: frames pushed at the end of a pulse, and a poll of the token buffer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { ascii, float } from "./json.js"
import type { Machine } from "./machine.js"
import { reset, type SocketError } from "./reply.js"
import { between } from "./scheduler.js"
import { decode, decodeWhole, FINISHED, type Hub, join, type Signal, type Task } from "./task.js"

type Body = Stream.Stream<Uint8Array, SocketError>

const encoder = new TextEncoder()

const event = (payload: string): Uint8Array => encoder.encode(`data: ${payload}\n\n`)

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

const untilDeath = (machine: Machine, body: Body): Body => Stream.interruptWhen(body, machine.death)

/** Other requests that wait for the event loop go first, as a generator's next step goes to the end of its queue. */
const turn = (machine: Machine): Effect.Effect<void> =>
  Effect.zipRight(Effect.yieldNow(), machine.exclusive(Effect.void))

/**
 * Lets a POST stream hear of its task. The documented server does so before the task is queued, the current one when
 * the event loop comes to the stream's second step, whether or not the client reads: prefills of other requests that
 * were waiting come first, and what is generated meanwhile is lost.
 *
 * @internal
 */
export const register = (machine: Machine, hub: Hub, queue: Queue.Queue<Signal>): Effect.Effect<void> => {
  const set = Effect.sync(() => {
    hub.queue = queue
  })
  return machine.settings.prefillPerToken === 0
    ? set
    : machine.background(Effect.zipRight(Effect.zipRight(turn(machine), turn(machine)), set))
}

/**
 * A stream asked for by POST: what its queue hears.
 *
 * @internal
 */
export const push = (
  machine: Machine,
  taskId: string,
  task: Task,
  queue: Queue.Dequeue<Signal>,
  openedAt: number
): Body =>
  untilDeath(
    machine,
    Stream.suspend(() => {
      const text = makeDecoder(machine)
      let ended = false
      let last = openedAt
      const pull: Effect.Effect<Uint8Array, Option.Option<SocketError>> = Effect.gen(function*() {
        if (ended) return yield* Effect.fail(Option.none())
        const signal = yield* Queue.take(queue)
        if (signal._tag === "End") {
          ended = true
          return done
        }
        const delta = between(last, signal.at)
        last = signal.at
        const speed = delta > 0 ? signal.tokens.length / delta : 0
        const data = JSON.stringify(text(signal.tokens))
        const id = JSON.stringify(taskId)
        return event(`{"data":${data},"task_id":${id},"gen_time":${float(delta)},"speed":${float(speed)}}`)
      })
      const first = Effect.as(turn(machine), head(taskId, task))
      return Stream.concat(Stream.fromEffect(first), Stream.repeatEffectOption(pull))
    })
  )

/**
 * A stream asked for by GET: all tokens from `position` on, whenever there are new ones.
 *
 * @internal
 */
export const poll = (machine: Machine, taskId: string, task: Task, position: number): Body =>
  untilDeath(
    machine,
    Stream.suspend(() => {
      const text = makeDecoder(machine)
      const pending: Array<Uint8Array> = []
      let from = position
      let begun = false
      let ended = false
      const pull: Effect.Effect<Uint8Array, Option.Option<SocketError>> = Effect.gen(function*() {
        while (pending.length === 0) {
          if (ended) return yield* Effect.fail(Option.none())
          yield* turn(machine)
          if (task.buffer.length > from) {
            if (!task.handle) return yield* Effect.fail(Option.some(reset))
            const data = text(task.buffer.slice(from))
            from = task.buffer.length
            if (!begun) pending.push(head(taskId, task))
            begun = true
            if (data !== "" || !machine.documented) pending.push(event(`{"data": ${ascii(data)}}`))
          }
          if (task.status === FINISHED) {
            pending.push(done)
            ended = true
          }
          if (pending.length === 0) yield* Effect.sleep(machine.settings.pollInterval)
        }
        return pending.shift() ?? done
      })
      return Stream.repeatEffectOption(pull)
    })
  )
