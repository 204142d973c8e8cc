/**
 * Runs whose text only their own stream tells. A fork writes to the buffer of its source, and so do its siblings: what
 * `get_result` says of one of them may be the text of all. So their streams, which keep what they tell, are read in the
 * background.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StreamEvent, TaskId, TaskResult } from "../Protocol.js"
import type { RWKVError } from "../RWKVError.js"
import type * as Ledger from "./ledger.js"

/** @internal */
export interface Begun {
  readonly taskId: TaskId
  readonly prefillTime: TaskResult["prefillTime"]
}

/**
 * Starts a run and returns when the server has named it; the rest is read until the end of the run or of the program.
 *
 * @internal
 */
export const record = (
  ledger: Ledger.Service,
  operation: string,
  events: Stream.Stream<StreamEvent, RWKVError>
): Effect.Effect<Begun, RWKVError> =>
  ledger.lifetime.acquire(
    operation,
    Effect.gen(function*() {
      const begun = yield* Deferred.make<Begun, RWKVError>()
      yield* Stream.runForEach(
        events,
        (event) => event._tag === "Started" ? Deferred.succeed(begun, event) : Effect.void
      ).pipe(
        Effect.catchAllCause((cause) => Effect.asVoid(Deferred.failCause(begun, cause))),
        ledger.lifetime.watch
      )
      return yield* Deferred.await(begun)
    }),
    Effect.succeed,
    ({ taskId }) => ledger.lifetime.release({ operation, taskId, stop: true, delete: false, within: "2 seconds" })
  )
