/**
 * Runs whose text can only be read from their own stream. A fork writes to the buffer of its source, and so do its
 * siblings (H15): `get_result` of one may be the text of all. So a fiber records each such stream, and the text is read
 * from the recording, as it comes or at the end.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import type { StreamEvent, TaskId, TaskResult } from "../../Protocol.js"
import { type BranchFailure, type RWKVConnectionError, StreamTruncatedError } from "../../RWKVError.js"
import type * as Ledger from "../owner/ledger.js"
import { clientClosed } from "../wire/closed.js"
import { handBack } from "../wire/limit.js"
import { keep } from "../wire/telemetry.js"
import type { Parting } from "./parting.js"
import type { FollowFailure, Told } from "./signals.js"
import type { Opening, Pull, Telling } from "./telling.js"

export interface Begun {
  readonly taskId: TaskId
  readonly prefillTime: TaskResult["prefillTime"]
  readonly recording: Ledger.Recording
  /** Leaves the run: closes its connection, and stops or deletes the task as the run's options say. */
  readonly leave: Effect.Effect<void>
}

type Started = StreamEvent & { readonly _tag: "Started" }

/** Records what a run tells, for readers that come later. */
export const makeTape = () => {
  let more = Deferred.unsafeMake<void>(FiberId.none)
  let text = ""
  const result = Deferred.unsafeMake<TaskResult, FollowFailure>(FiberId.none)
  const wake = Effect.suspend(() => {
    const waited = more
    more = Deferred.unsafeMake<void>(FiberId.none)
    return Deferred.succeed(waited, undefined)
  })
  const recording: Ledger.Recording = { text: () => text, more: () => Deferred.await(more), result }
  /** Ends the recording; false if it has ended already. */
  const end = (end: Effect.Effect<TaskResult, FollowFailure>) => Effect.zipLeft(Deferred.complete(result, end), wake)
  return {
    recording,
    end,
    append: (event: StreamEvent): Effect.Effect<unknown> => {
      if (event._tag === "Finished") return end(Effect.succeed(event.result))
      if (event._tag === "Text") text += event.text
      return wake
    }
  }
}

/**
 * Starts a run and passes it to `owned` once the server has named its task; a fiber of the service reads the rest. If
 * the caller is interrupted before, the run is left.
 *
 * @param usable fails if the client is closed
 * @param groupOf the tasks that share the run's buffer, once it has begun
 */
export const record = (
  ledger: Ledger.Service,
  operation: string,
  usable: Effect.Effect<void, RWKVConnectionError>,
  groupOf: () => Ledger.Group | undefined,
  opening: Opening<StreamEvent>
) =>
<A, R>(owned: (begun: Begun) => Effect.Effect<A, never, R>): Effect.Effect<A, BranchFailure, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(usable)
      const begun = yield* Deferred.make<Started, BranchFailure>()
      const tape = makeTape()
      let id = ""
      let mixed = false
      /** The FiberRefs as middleware left them when the run had begun or failed to. */
      let written: FiberRefs.FiberRefs | undefined
      const remember = Effect.map(Effect.getFiberRefs, (refs) => {
        written ??= refs
      })
      const onEvent = (event: StreamEvent): Effect.Effect<unknown> => {
        const group = groupOf()
        mixed = mixed || group?.mixed() === true
        if (event._tag !== "Started") return tape.append(event)
        id = event.taskId
        if (group !== undefined) ledger.sharing.set(id, group)
        ledger.recordings.set(id, tape.recording)
        return Effect.zipRight(remember, Deferred.succeed(begun, event))
      }
      const left = Effect.suspend(() =>
        Effect.fail(
          new StreamTruncatedError({
            operation,
            taskId: id,
            text: tape.recording.text(),
            description: "the stream was left before its end"
          })
        )
      )
      /** After an early end, results are read from the server's buffer again, unless other runs wrote to it. */
      const forget = Effect.map(tape.end(left), (early) => {
        if (early && !mixed && groupOf()?.mixed() !== true) ledger.recordings.delete(id)
      })
      const fiber = yield* opening.pipe(
        Effect.tapErrorCause((cause) => Effect.zipRight(remember, Deferred.failCause(begun, cause))),
        Effect.flatMap((pull) => Effect.forever(Effect.flatMap(pull, Effect.forEach(onEvent, { discard: true })))),
        Effect.scoped,
        // A defect comes from the program's own HTTP client, and is passed on.
        Effect.tapDefect((cause) => tape.end(Effect.failCause(cause))),
        Effect.catchAll((error) =>
          Option.isOption(error) && Option.isSome(error) ? tape.end(Effect.fail(error.value)) : Effect.void
        ),
        Effect.ensuring(Effect.zipRight(forget, Deferred.completeWith(begun, left))),
        Effect.catchAllCause(() => Effect.void),
        ledger.lifetime.watch
      )
      const leave = Effect.asVoid(Fiber.interrupt(fiber))
      // If the service ends first, the fiber is interrupted and may never complete `begun`.
      const ended = Effect.zipRight(Fiber.await(fiber), Effect.suspend(() => Effect.fail(clientClosed(operation))))
      const named = Effect.raceFirst(Deferred.await(begun), ended)
      const { prefillTime, taskId } = yield* restore(named).pipe(
        Effect.onInterrupt(() => leave),
        Effect.ensuring(Effect.suspend(() => handBack(written)))
      )
      return yield* owned({ taskId, prefillTime, recording: tape.recording, leave })
    })
  )

/** Pulls a recording: what is there at once, the rest as it comes. */
export const live = <A>(
  { prefillTime, recording, taskId }: Omit<Begun, "leave">,
  telling: Telling<A>
): Pull<A> => {
  let offset = 0
  let next: Told["_tag"] | "End" = "Started"
  const tell = (told: Told) => Chunk.fromIterable(Option.toArray(Option.fromNullable(telling.element(told, taskId))))
  return Effect.gen(function*() {
    if (next === "Started") {
      next = "Text"
      return tell({ _tag: "Started", prefillTime })
    }
    if (next === "End") return yield* Effect.fail(Option.none())
    // Taken before the text is read, so that no text in between is missed.
    const more = recording.more()
    const done = yield* Deferred.poll(recording.result)
    const text = recording.text().slice(offset)
    offset += text.length
    if (text !== "") return tell({ _tag: "Text", text })
    if (Option.isNone(done)) return yield* Effect.as(more, Chunk.empty())
    next = "End"
    return tell({ _tag: "Finished", result: yield* Effect.mapError(done.value, Option.some) })
  })
}

/** A subscription to a recording: leaving it early may stop the task, but does not end the recording. */
export const listenTo = <A>(
  leaving: Parting["farewell"],
  taskId: TaskId,
  recording: Ledger.Recording,
  telling: Telling<A>
): Opening<A> =>
  Effect.flatMap(keep, (locally) =>
    Effect.as(
      Effect.addFinalizer(() =>
        locally(Effect.flatMap(Deferred.isDone(recording.result), (done) => leaving(done ? "finished" : "left")))
      ),
      live({ taskId, prefillTime: Duration.zero, recording }, telling)
    ))
