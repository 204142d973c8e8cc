/**
 * Runs whose text only their own stream tells. A fork writes to the buffer of its source, and so do its siblings: what
 * `get_result` says of one of them may be the text of all. So their streams are read in the background and kept.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StreamEvent, TaskId, TaskResult } from "../Protocol.js"
import type { RWKVError, StreamTruncatedError, TaskError } from "../RWKVError.js"
import type * as Ledger from "./ledger.js"
import { narrow } from "./wait.js"

/** @internal */
export interface Begun {
  readonly taskId: TaskId
  readonly prefillTime: TaskResult["prefillTime"]
}

/**
 * Starts a run and returns when the server has named it; the rest is recorded until the end of the run or of the program.
 *
 * @internal
 */
export const record = (
  ledger: Ledger.Service,
  operation: string,
  events: Stream.Stream<StreamEvent, RWKVError>
): Effect.Effect<Begun, RWKVError> =>
  ledger.lifetime.acquire(
    Effect.gen(function*() {
      const begun = yield* Deferred.make<Begun, RWKVError>()
      const result = yield* Deferred.make<TaskResult, TaskError | StreamTruncatedError>()
      let text = ""
      let id = ""
      yield* events.pipe(
        Stream.runForEach((event) => {
          switch (event._tag) {
            case "Started":
              id = event.taskId
              ledger.recordings.set(event.taskId, { text: () => text, result })
              return Deferred.succeed(begun, event)
            case "Text":
              return Effect.sync(() => {
                text += event.text
              })
            case "Finished":
              return Deferred.succeed(result, event.result)
          }
        }),
        Effect.catchAll((error) =>
          Effect.zipRight(Deferred.fail(begun, error), Deferred.fail(result, narrow(operation, id)(error)))
        ),
        Effect.asVoid,
        ledger.lifetime.watch
      )
      return yield* Deferred.await(begun)
    }),
    Effect.succeed,
    ({ taskId }) => ledger.lifetime.release({ operation, taskId, stop: true, delete: false, within: "2 seconds" })
  )
