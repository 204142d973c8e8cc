/**
 * A run that is open: the server has named its task, and whoever holds it reads the text, the events or the end.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { StreamEvent, TaskId } from "../../Protocol.js"
import { type BranchFailure, StreamTruncatedError } from "../../RWKVError.js"
import { keep } from "../input/override.js"
import * as validate from "../input/validate.js"
import { live, makeTape } from "./record.js"
import { events, type Opening } from "./telling.js"

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
    const { end, hear, recording } = makeTape()
    let left: Chunk.Chunk<StreamEvent> | undefined = first
    let [claimed, held, awaited, drained] = [false, false, false, false]

    const next = Effect.suspend(() => {
      const known = left
      left = undefined
      return known === undefined ? pull : Effect.succeed(known)
    }).pipe(
      Effect.tap(Effect.forEach(hear, { discard: true })),
      Effect.tapError((error) => Option.isSome(error) ? end(Effect.fail(error.value)) : Effect.void),
      // A defect is one of a client of the program's own, and stays one.
      Effect.tapDefect((cause) => end(Effect.failCause(cause)))
    )
    const drain = Effect.suspend(() => {
      if (drained || held) return Effect.void
      drained = true
      return Effect.asVoid(Effect.forkIn(Effect.ignore(Effect.forever(next)), scope))
    })
    yield* Effect.addFinalizer(() => {
      const description = "the run was left before its end"
      return end(new StreamTruncatedError({ operation, taskId, text: recording.text(), description }))
    })
    const told = Stream.unwrapScoped(Effect.suspend(() => {
      if (claimed) {
        return validate.invalid(operation, "", "text and events of a run are read once, and were read already")
      }
      claimed = true
      // What was read before anybody came to read it is told again.
      if (drained) {
        return Effect.succeed(Stream.repeatEffectChunkOption(live({ taskId, prefillTime, recording }, events)))
      }
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
      events: told,
      text: Stream.filterMap(told, (event) => event._tag === "Text" ? Option.some(event.text) : Option.none()),
      /** Whoever reads completes it; if nobody does, the rest is read for it. */
      finished: Effect.suspend(() => {
        awaited = true
        return Effect.zipRight(drain, Deferred.await(recording.result))
      })
    }
  })
