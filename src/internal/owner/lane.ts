/**
 * Whose prompt the server may read now. It reads one at a time and does nothing else meanwhile; a direct stream that
 * has been promised and is not listened to yet loses its beginning to that (H1). So while one opens, no other request
 * of this client makes the server read a prompt; requests without a stream lose nothing to each other.
 */
import * as Effect from "effect/Effect"
import type { RWKVConnectionError } from "../../RWKVError.js"
import { closedBefore } from "../wire/closed.js"
import type { Lifetime } from "./lifetime.js"

/** More requests than a client can have. */
const width = 2 ** 40

export type Lane = ReturnType<typeof make>

export const make = (lifetime: Lifetime) => {
  const lane = Effect.unsafeMakeSemaphore(width)
  // A semaphore serves who asks for little first: whoever comes waits here, one after the other.
  const door = Effect.unsafeMakeSemaphore(1)
  /** Direct streams that open, or wait for it. */
  let direct = 0

  /**
   * {@link Lifetime.acquire} for a request whose prompt is read: it waits for the lane, which has no limit as nothing
   * is sent yet, and leaves it with the answer. A caller that leaves before sends nothing. One that leaves later may
   * leave the server reading: the lane is free with the late answer, or when the request's own time is over.
   */
  return (isDirect: boolean) =>
  <A, E, B, E2, R2>(
    operation: string,
    create: Effect.Effect<A, E>,
    owned: (created: A) => Effect.Effect<B, E2, R2>,
    abandoned: (created: A) => Effect.Effect<void>
  ): Effect.Effect<B, E | E2 | RWKVConnectionError, R2> =>
    Effect.uninterruptibleMask((restore) => {
      const permits = isDirect ? width : 1
      let taken = false
      let sent = false
      let left = false
      const leave = Effect.suspend(() => {
        if (left) return Effect.void
        left = true
        if (isDirect) direct--
        return taken ? lane.release(permits) : Effect.void
      })
      const take = Effect.uninterruptibleMask((restore) =>
        Effect.map(restore(lane.take(permits)), () => {
          taken = true
        })
      )
      const wait = Effect.mapError(
        lifetime.unlessClosing(door.withPermits(1)(take), operation),
        () => closedBefore(operation)
      )
      const turn = isDirect || direct > 0 ? wait : take
      if (isDirect) direct++
      const request = Effect.suspend((): Effect.Effect<A, E | RWKVConnectionError> => {
        if (left) return Effect.fail(closedBefore(operation))
        sent = true
        return Effect.ensuring(create, leave)
      })
      return Effect.ensuring(
        restore(Effect.zipRight(turn, lifetime.acquire(operation, request, owned, abandoned))),
        Effect.suspend(() => sent ? Effect.void : leave)
      )
    })
}
