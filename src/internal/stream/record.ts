/**
 * Runs whose text only their own stream tells. A fork writes to the buffer of its source, and so do its siblings: what
 * `get_result` says of one of them may be the text of all. So a fiber of its own reads each such stream and keeps what it
 * tells; whoever wants the text, as it comes or at the end, reads the recording.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { StreamEvent, TaskId, TaskResult } from "../../Protocol.js"
import { type RWKVError, StreamTruncatedError, type TaskFailure } from "../../RWKVError.js"
import type * as Ledger from "../owner/ledger.js"
import { clientClosed } from "../owner/lifetime.js"
import type { Pull } from "../pull.js"
import type { Telling } from "./telling.js"
import { narrow } from "../task/wait.js"

/** @internal */
export interface Begun {
  readonly taskId: TaskId
  readonly prefillTime: TaskResult["prefillTime"]
  readonly recording: Ledger.Recording
  /** Leaves the run: its connection is closed, and the task is told what the run's options say. */
  readonly leave: Effect.Effect<void>
}

/**
 * Starts a run and hands it to `owned` when the server has named it; the rest is read until the end of the run or of the
 * program. A caller that leaves before leaves the run.
 *
 * @param groupOf the tasks that share the run's buffer, once it has begun
 *
 * @internal
 */
export const record = <A, R>(
  ledger: Ledger.Service,
  operation: string,
  groupOf: () => Ledger.Group | undefined,
  events: Stream.Stream<StreamEvent, RWKVError>,
  owned: (begun: Begun) => Effect.Effect<A, never, R>
): Effect.Effect<A, RWKVError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(ledger.lifetime.usable(operation))
      const begun = yield* Deferred.make<StreamEvent & { readonly _tag: "Started" }, RWKVError>()
      const result = yield* Deferred.make<TaskResult, TaskFailure | StreamTruncatedError>()
      let more = Deferred.unsafeMake<void>(yield* Effect.fiberId)
      let id = ""
      let text = ""
      let mixed = false
      const recording: Ledger.Recording = { text: () => text, more: () => Deferred.await(more), result }
      const wake = Effect.suspend(() => {
        const waited = more
        return Effect.zipRight(
          Effect.map(Deferred.make<void>(), (next) => {
            more = next
          }),
          Deferred.succeed(waited, undefined)
        )
      })
      const note = (event: StreamEvent) => {
        const group = groupOf()
        mixed = mixed || group?.mixed() === true
        switch (event._tag) {
          case "Started":
            id = event.taskId
            if (group !== undefined) ledger.sharing.set(id, group)
            ledger.begins(id)
            ledger.recordings.set(id, recording)
            return Deferred.succeed(begun, event)
          case "Text":
            text += event.text
            return wake
          case "Finished":
            return Effect.zipRight(Deferred.succeed(result, event.result), wake)
        }
      }
      const left = () =>
        new StreamTruncatedError({ operation, taskId: id, text, description: "the stream was left before its end" })
      const fiber = yield* Stream.runForEach(events, note).pipe(
        Effect.tapErrorCause((cause) => Deferred.failCause(begun, cause)),
        Effect.catchAll((error) => Deferred.fail(result, narrow(operation, id)(error))),
        Effect.ensuring(
          // Once such a stream is left, the buffer is all there is; if others have written to it, nobody knows the text.
          Effect.suspend(() => Deferred.fail(result, left())).pipe(
            Effect.map((early) =>
              early && !mixed && groupOf()?.mixed() !== true ? ledger.recordings.delete(id) : undefined
            ),
            Effect.zipRight(wake),
            Effect.zipRight(Effect.suspend(() => Deferred.fail(begun, left())))
          )
        ),
        Effect.catchAllCause(() => Effect.void),
        Effect.asVoid,
        ledger.lifetime.watch
      )
      const leave = Effect.asVoid(Fiber.interrupt(fiber))
      // A fiber that the end of the service interrupts at once tells nothing.
      const silent = Effect.zipRight(Fiber.await(fiber), Effect.suspend(() => Effect.fail(clientClosed(operation))))
      const named = Effect.raceFirst(Deferred.await(begun), silent)
      const { prefillTime, taskId } = yield* Effect.onInterrupt(restore(named), () => leave)
      return yield* owned({ taskId, prefillTime, recording, leave })
    })
  )

/**
 * A recording as it is pulled: what is known at once, the rest as it comes.
 *
 * @internal
 */
export const live = <A>(
  taskId: TaskId,
  prefillTime: TaskResult["prefillTime"],
  recording: Ledger.Recording,
  telling: Telling<A>
): Pull<A, TaskFailure | StreamTruncatedError> => {
  let offset = 0
  let ended = false
  let begun = false
  const look = Effect.gen(function*() {
    while (true) {
      const told = begun ? undefined : telling.started(taskId, prefillTime)
      begun = true
      if (told !== undefined) return Chunk.of(told)
      if (ended) return yield* Effect.fail(Option.none())
      // Taken before the text is read: what comes in between is not missed.
      const more = recording.more()
      const done = yield* Deferred.poll(recording.result)
      const fresh = recording.text().slice(offset)
      offset += fresh.length
      if (fresh === "" && Option.isNone(done)) yield* more
      const next = fresh !== ""
        ? telling.text(fresh)
        : Option.isSome(done)
        ? telling.finished(yield* Effect.mapError(done.value, Option.some))
        : undefined
      ended = fresh === "" && Option.isSome(done)
      if (next !== undefined) return Chunk.of(next)
    }
  })
  return look
}
