/**
 * A run that is open: the server has named its task, and whoever holds it reads the text, the events or the end.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { StreamEvent, TaskId, TaskResult } from "../../Protocol.js"
import { type BranchFailure, StreamTruncatedError } from "../../RWKVError.js"
import { keep } from "../input/override.js"
import * as validate from "../input/validate.js"
import type { FollowFailure } from "./signals.js"
import type { Opening } from "./telling.js"

/** The task is told of at once: its id was known before there was anything to pull. */
const firstOf = <A>(pull: Effect.Effect<A, Option.Option<BranchFailure>>): Effect.Effect<A, BranchFailure> =>
  Effect.catchAll(
    pull,
    Option.match({ onNone: () => Effect.dieMessage("a run that told no beginning"), onSome: Effect.fail })
  )

export const opened = (
  operation: string,
  requestIds: { readonly get: (id: TaskId) => string | undefined },
  opening: Opening<StreamEvent>
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    // Whoever reads on does so under the settings that the run was opened under.
    const locally = yield* keep
    const pull = locally(yield* opening)
    const first = yield* firstOf(pull)
    const started = Chunk.unsafeHead(first)
    if (started._tag !== "Started") return yield* Effect.dieMessage("a run that did not begin with its task")
    const { prefillTime, taskId } = started
    const done = yield* Deferred.make<TaskResult, FollowFailure>()
    /** What the error of a run that is left early tells: no more than the run itself remembers to go on from. */
    let told = ""
    let left: Chunk.Chunk<StreamEvent> | undefined = first
    let [claimed, held, awaited, drained] = [false, false, false, false]
    /** What was read before anybody came to read it. */
    const line = yield* Mailbox.make<StreamEvent, FollowFailure>()

    const note = (chunk: Chunk.Chunk<StreamEvent>) =>
      Effect.forEach(chunk, (event) => {
        if (event._tag === "Text") told += event.text
        return event._tag === "Finished" ? Deferred.succeed(done, event.result) : Effect.void
      }, { discard: true })
    const next = Effect.suspend(() => {
      const known = left
      left = undefined
      return Effect.tap(known === undefined ? pull : Effect.succeed(known), note)
    }).pipe(
      Effect.tapError((error) => Option.isSome(error) ? Deferred.fail(done, error.value) : Effect.void)
    )
    const drain = Effect.suspend(() => {
      if (drained || held) return Effect.void
      drained = true
      const all = claimed ? Effect.forever(next) : Effect.forever(Effect.flatMap(next, (chunk) => line.offerAll(chunk)))
      const ended = Effect.catchAll(all, Option.match({ onNone: () => line.end, onSome: (error) => line.fail(error) }))
      return Effect.asVoid(Effect.forkIn(ended, scope))
    })
    yield* Effect.addFinalizer(() => {
      const description = "the run was left before its end"
      const error = new StreamTruncatedError({ operation, taskId, text: told, description })
      return Effect.zipRight(Deferred.fail(done, error), line.fail(error))
    })
    const events = Stream.unwrapScoped(Effect.suspend(() => {
      if (claimed) {
        return validate.invalid(operation, "", "text and events of a run are read once, and were read already")
      }
      claimed = true
      if (drained) return Effect.succeed(Mailbox.toStream(line))
      held = true
      return Effect.as(
        Effect.addFinalizer(() => {
          held = false
          return awaited ? drain : Effect.void
        }),
        Stream.repeatEffectChunkOption(next)
      )
    }))
    return {
      taskId,
      prefillTime,
      requestId: requestIds.get(taskId),
      events,
      text: Stream.filterMap(events, (event) => event._tag === "Text" ? Option.some(event.text) : Option.none()),
      /** Whoever reads completes it; if nobody does, the rest is read for it. */
      finished: Effect.suspend(() => {
        awaited = true
        return Effect.zipRight(drain, Deferred.await(done))
      })
    }
  })
