/**
 * Who waits for a place: those that had one and lost it with its server before all others, then first come, first
 * served.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type RWKVConnectionError, RWKVPoolError } from "../../RWKVError.js"
import { limited } from "../wire/limit.js"
import type { Seat } from "./endpoints.js"
import type { Work } from "./policy.js"

/** What a place is asked for. */
export interface Asked {
  readonly operation: string
  readonly work: Work
  /** Whether it counts against the limit of the queue. */
  readonly bounded: boolean
  /** Whether it had a place on a server that is lost. */
  readonly returns: boolean
}

type Draws = readonly [number, number]

interface Waiter extends Asked {
  readonly draws: Draws
  readonly turn: Deferred.Deferred<Seat, RWKVConnectionError>
  seat: Seat | undefined
}

export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * @param take the best of the places that two numbers of [0, 1) choose, if there is one
 * @param onWaiting hears of everyone who begins to wait
 */
export const make = (
  limit: number,
  timeout: Duration.Duration,
  take: (work: Work, draws: Draws) => Seat | undefined,
  onWaiting: () => void
) => {
  const [returning, others, counted] = [new Set<Waiter>(), new Set<Waiter>(), new Set<Waiter>()]
  const size = () => returning.size + others.size
  const inOrder = function*() {
    yield* returning
    yield* others
  }
  const remove = (waiter: Waiter) => {
    for (const line of [returning, others, counted]) line.delete(waiter)
  }
  const leave = (waiter: Waiter) =>
    Effect.sync(() => {
      remove(waiter)
      waiter.seat?.server.tally.leave(waiter.seat.place)
    })
  let serving = false
  return {
    size,
    /** Taking a place is a change as well, and does not begin this anew. */
    serve: () => {
      if (serving) return
      serving = true
      for (const waiter of inOrder()) {
        waiter.seat = take(waiter.work, waiter.draws)
        if (waiter.seat === undefined) break
        remove(waiter)
        Deferred.unsafeDone(waiter.turn, Effect.succeed(waiter.seat))
      }
      serving = false
    },
    giveUp: (error: (operation: string) => RWKVConnectionError) => {
      for (const waiter of inOrder()) {
        remove(waiter)
        Deferred.unsafeDone(waiter.turn, Effect.fail(error(waiter.operation)))
      }
    },
    /** Where only `restore` can be interrupted: who leaves the queue is not there. */
    place: (restore: Restore, asked: Asked) =>
      Effect.gen(function*() {
        const { operation, returns } = asked
        const draws = [yield* Random.next, yield* Random.next] as const
        const seat = returns || size() === 0 ? take(asked.work, draws) : undefined
        if (seat !== undefined) return seat
        const counts = asked.bounded && !returns
        if (counts && counted.size >= limit) {
          const description = `as many wait for a place in the pool as may: ${limit}`
          return yield* new RWKVPoolError({ operation, kind: "full", description })
        }
        const turn = yield* Deferred.make<Seat, RWKVConnectionError>()
        const waiter: Waiter = { ...asked, draws, turn, seat: undefined }
        ;(returns ? returning : others).add(waiter)
        if (counts) counted.add(waiter)
        onWaiting()
        const awaited = restore(limited(Deferred.await(turn), timeout, { operation, kind: "queue" }))
        return yield* Effect.onError(awaited, () => leave(waiter))
      })
  }
}
