/**
 * One connection of a stream: a fiber reads frames into a mailbox, and a slow consumer slows the server.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as FiberRefs from "effect/FiberRefs"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { TaskFailure } from "../../RWKVError.js"
import { openingOf } from "../wire/frames.js"
import { handBack } from "../wire/limit.js"
import type { Frame } from "../wire/sse.js"
import type { Signal } from "./signals.js"

export type Connection = Effect.Effect.Success<ReturnType<typeof connect>>

const closing: ReadonlyArray<Signal> = [{ _tag: "Closing" }]

const ends = ({ _tag }: Frame) => _tag === "Done" || _tag === "TooLarge"

/**
 * Reads up to the end mark and leaves the stream open: an HTTP layer that sees the end of the body before the stream is
 * closed can reuse its socket.
 */
const read = (frames: Stream.Stream<Frame, TaskFailure>, put: (signal: Signal) => Effect.Effect<unknown>) =>
  Effect.flatMap(Effect.mapError(openingOf(frames), Option.some), (pull) => {
    const next: Effect.Effect<unknown, Option.Option<TaskFailure>> = Effect.flatMap(pull, (chunk) => {
      const frames = Chunk.toReadonlyArray(chunk)
      const last = frames.at(-1)
      if (last === undefined) return next
      const putFrames = put({ _tag: "Frames", frames })
      return ends(last) ? putFrames : Effect.zipRight(putFrames, next)
    })
    return next
  })

export const connect = (frames: Stream.Stream<Frame, TaskFailure>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    // Holds one signal; the reader waits with the next until that is taken.
    const signals = yield* Mailbox.make<Signal>(1)
    /**
     * The FiberRefs as middleware left them by the first signal, read between two pulls: within a pull some may be set
     * for a while only.
     */
    let written: FiberRefs.FiberRefs | undefined
    const note = Effect.map(Effect.getFiberRefs, (refs) => {
      written ??= refs
    })
    const put = (signal: Signal) => Effect.zipRight(note, signals.offer(signal))
    yield* read(frames, put).pipe(
      Effect.catchAll(Option.match({
        onNone: () => put({ _tag: "Ended" }),
        onSome: (error) => put({ _tag: "Broken", error })
      })),
      // A defect comes from the program's own HTTP client, and is passed on.
      Effect.catchAllCause((cause) => Effect.zipRight(note, signals.failCause(cause))),
      Effect.ensuring(note),
      Effect.provideService(Scope.Scope, scope),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    let inherited = false
    const inherit = Effect.suspend(() => {
      if (inherited || written === undefined) return Effect.void
      inherited = true
      return handBack(written)
    })
    const take = Effect.map(signals.takeAll, ([taken]) => Chunk.isEmpty(taken) ? closing : Chunk.toReadonlyArray(taken))
    const unread = () => Option.getOrElse(signals.unsafeSize(), () => 0) > 0
    return {
      unread,
      /** Adds a signal, unless others wait to be taken. */
      offer: (signal: Signal) => unread() || signals.unsafeOffer(signal),
      /** Waits for signals, at least one. The first time, the caller also gets the FiberRefs that middleware wrote. */
      take: Effect.suspend(() =>
        inherited ? take : Effect.onExit(take, (exit) => Exit.isInterrupted(exit) ? Effect.void : inherit)
      ),
      close: signals.shutdown.pipe(
        Effect.zipRight(Scope.close(scope, Exit.void)),
        Effect.zipRight(inherit)
      )
    }
  })
