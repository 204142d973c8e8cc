/** Servers of speeds 1, 1, 2 and 4 at full load, in virtual time: throughput and queueing beside the ideal. */
import { Clock, Effect, Stream } from "effect"
import { StreamService } from "effect-rwkv"
import { pool, server, start } from "./cluster.js"

const speeds = [1, 1, 2, 4]
const pulse = 400
const tokens = 640

/** Seconds of one task on a server, whose slots all go at its speed. */
const seconds = (speed: number) => tokens / 32 * pulse / speed / 1000

/** One queue for all slots, with nothing lost between tasks: when each of so many tasks begins and ends, in seconds. */
const ideal = (tasks: number, capacity: number) => {
  const slots = speeds.flatMap((speed) => Array.from({ length: capacity }, () => ({ speed, free: 0 })))
  return Array.from({ length: tasks }, () => {
    const slot = slots.reduce((best, slot) => slot.free < best.free ? slot : best)
    const begun = slot.free
    slot.free += seconds(slot.speed)
    return { begun, ended: slot.free }
  })
}

const p99 = (values: ReadonlyArray<number>) =>
  values.slice().sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? NaN

/** Until a tenth of the tasks is left: after that not all slots have work. */
const rate = (ends: ReadonlyArray<number>) => {
  const last = Math.floor(ends.length * 0.9)
  return last / (ends.slice().sort((a, b) => a - b)[last] ?? NaN)
}

export const balance = (tasks: number, capacity: number) =>
  Effect.gen(function*() {
    const options = speeds.map((speed, seed) =>
      [`s${seed}`, { seed, pulse: pulse / speed, pollInterval: 0, reply: () => "x".repeat(tokens) }] as const
    )
    const cluster = yield* start(Object.fromEntries(options))
    const told: Array<{ readonly begun: number; readonly ended: number }> = []
    const began = yield* Clock.currentTimeMillis
    const now = Effect.map(Clock.currentTimeMillis, (now) => (now - began) / 1000)
    yield* Stream.range(1, tasks).pipe(
      Stream.mapEffect((index) =>
        Effect.gen(function*() {
          let begun = 0
          yield* StreamService.createEvents({ prompt: `${index}`, maxTokens: tokens }).pipe(
            Stream.runForEach((event) =>
              event._tag === "Started" ? Effect.map(now, (at) => void (begun = at)) : Effect.void
            )
          )
          told.push({ begun, ended: yield* now })
        }), { concurrency: "unbounded" }),
      Stream.runDrain,
      Effect.provide(pool(cluster, {
        servers: speeds.map((_, index) => server(`s${index}`, { capacity })),
        queueLimit: tasks
      }))
    )
    const best = ideal(tasks, capacity)
    return {
      throughput: rate(told.map(({ ended }) => ended)) / rate(best.map(({ ended }) => ended)),
      queue: p99(told.map(({ begun }) => begun)) / p99(best.map(({ begun }) => begun))
    }
  }).pipe(Effect.scoped)
