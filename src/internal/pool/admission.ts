/**
 * How requests that make a server read a prompt get to one: a new task where the policy says, and elsewhere if that
 * server surely has not begun it; a run of a task where that lives. On one server the lane holds as without a pool.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constFalse, constVoid } from "effect/Function"
import { type CallFailure, isRWKVError } from "../../RWKVError.js"
import { effective, type Override } from "../input/override.js"
import type { Admission, Again, Asked } from "../owner/admission.js"
import * as Lane from "../owner/lane.js"
import * as Bulk from "../task/bulk.js"
import { closedBefore } from "../wire/closed.js"
import { type Seat, Seated } from "./endpoints.js"
import * as Id from "./id.js"
import type { Restore } from "./queue.js"
import type { Pool } from "./pool.js"
import { isRefusal, type Server } from "./server.js"
import { workOf } from "./tally.js"

/** How often one piece of work is taken to another server. */
export const most = 8

/** Says once that a run had a place before, and comes before those that had none: what its hooks ask for does not. */
export class Returns extends Context.Reference<Returns>()("effect-rwkv/Returns", {
  defaultValue: () => constFalse
}) {}

export const make = (pool: Pool, settings: Override): Admission => ({
  wants: (taskId) => pool.find(taskId)?.tally.use(taskId) ?? constVoid,
  hostOf: (taskId) => Id.split(taskId).name,
  hosts: pool.size,
  admit: (lifetime) => {
    const lanes = new WeakMap<Server, Lane.Lane>()
    const laneOf = (server: Server) => {
      const lane = lanes.get(server) ?? Lane.make(lifetime)
      lanes.set(server, lane)
      return lane
    }
    // Who waits has sent nothing, and hears of the end when that begins.
    const withdraw = lifetime.onClosing(Effect.sync(() => {
      withdraw()
      pool.giveUp(closedBefore)
    }))
    return <F>({ isDirect, request, source }: Asked, again: Again<F>) =>
    <A, B, R>(
      operation: string,
      create: Effect.Effect<A, F>,
      owned: (created: A) => Effect.Effect<B, F, R>,
      abandoned: (created: A) => Effect.Effect<void>
    ): Effect.Effect<B, F | CallFailure, R> => {
      let refused = false
      /** Whoever could not send its request leaves its place; what was sent is counted by its answer. */
      const acquired = ({ place, server }: Seat, restore: Restore) => {
        refused = false
        const noted = Effect.tapError(create, (error) =>
          Effect.sync(() => {
            refused = isRWKVError(error) && isRefusal(error)
          }))
        const seated = Effect.provideService(noted, Seated, { place, server })
        return Effect.ensuring(
          restore(laneOf(server)(isDirect)(operation, seated, owned, abandoned)),
          Effect.sync(() => place.isSpent || server.tally.leave(place))
        )
      }
      const attempt = (count: number): Effect.Effect<B, F | CallFailure, R> =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            yield* lifetime.usable(operation)
            const { defaults } = yield* effective(settings)
            const returns = (yield* Returns)() || count > 1
            const bounded = operation !== Bulk.operation
            const seat = yield* pool.place(restore, { operation, work: workOf(request, defaults), bounded, returns })
            return yield* Effect.catchAll(
              acquired(seat, restore),
              (error) => refused && count < most ? restore(attempt(count + 1)) : Effect.fail(error)
            )
          })
        )
      const there = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          pool.ownerOf(operation, source ?? ""),
          (server) => {
            const left = server.tally.use(source ?? "")
            const place = server.tally.place(workOf(request))
            return Effect.ensuring(acquired({ server, place }, restore), Effect.sync(left))
          }
        )
      )
      return source === undefined ? attempt(1) : again(Effect.zipRight(lifetime.usable(operation), there))
    }
  }
})
