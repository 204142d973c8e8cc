/**
 * An open run: the server has named its task, and its holder reads the text, the events or the end.
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

/** The first elements: `Started` comes at once, for the task's id is known when the run has opened. */
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
    // Later reads run under the overrides that the run was opened under.
    const locally = yield* keep
    const pull = locally(yield* opening)
    const first = yield* firstOf(pull)
    const started = Chunk.unsafeHead(first)
    if (started._tag !== "Started") return yield* Effect.dieMessage("a run that did not begin with its task")
    const { prefillTime, taskId } = started
    const { append, end, recording } = makeTape()
    let unread: Chunk.Chunk<StreamEvent> | undefined = first
    let [claimed, hasReader, awaited, drained] = [false, false, false, false]

    const next = Effect.suspend(() => {
      const known = unread
      unread = undefined
      return known === undefined ? pull : Effect.succeed(known)
    }).pipe(
      Effect.tap(Effect.forEach(append, { discard: true })),
      Effect.tapError((error) => Option.isSome(error) ? end(Effect.fail(error.value)) : Effect.void),
      // A defect comes from the program's own HTTP client, and is passed on.
      Effect.tapDefect((cause) => end(Effect.failCause(cause)))
    )
    const drain = Effect.suspend(() => {
      if (drained || hasReader) return Effect.void
      drained = true
      return Effect.asVoid(Effect.forkIn(Effect.ignore(Effect.forever(next)), scope))
    })
    yield* Effect.addFinalizer(() => {
      const description = "the run was left before its end"
      return end(new StreamTruncatedError({ operation, taskId, text: recording.text(), description }))
    })
    const eventStream = Stream.unwrapScoped(Effect.suspend(() => {
      if (claimed) {
        return validate.invalid(operation, "", "text and events of a run are read once, and were read already")
      }
      claimed = true
      // The run was read for `finished` already: replay the recording.
      if (drained) {
        return Effect.succeed(Stream.repeatEffectChunkOption(live({ taskId, prefillTime, recording }, events)))
      }
      hasReader = true
      return Effect.as(
        Effect.addFinalizer(() => {
          hasReader = false
          return awaited ? drain : Effect.void
        }),
        Stream.repeatEffectChunkOption(next)
      )
    }))
    return {
      taskId,
      prefillTime,
      requestId: requestIds.get(taskId),
      events: eventStream,
      text: Stream.filterMap(eventStream, (event) => event._tag === "Text" ? Option.some(event.text) : Option.none()),
      /** The result; reads the run to its end if nobody else does. */
      finished: Effect.suspend(() => {
        awaited = true
        return Effect.zipRight(drain, Deferred.await(recording.result))
      })
    }
  })
