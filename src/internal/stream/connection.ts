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
 * Reads up to the end, and leaves the stream open then: an HTTP layer that has seen the end of the body by the time
 * that the stream is closed can use its socket again.
 */
const read = (frames: Stream.Stream<Frame, TaskFailure>, put: (signal: Signal) => Effect.Effect<unknown>) =>
  Effect.flatMap(Effect.mapError(openingOf(frames), Option.some), (pull) => {
    const next: Effect.Effect<unknown, Option.Option<TaskFailure>> = Effect.flatMap(pull, (chunk) => {
      const frames = Chunk.toReadonlyArray(chunk)
      const last = frames.at(-1)
      if (last === undefined) return next
      const told = put({ _tag: "Frames", frames })
      return ends(last) ? told : Effect.zipRight(told, next)
    })
    return next
  })

export const connect = (frames: Stream.Stream<Frame, TaskFailure>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    // One signal waits here to be taken, and the reader waits with the next.
    const line = yield* Mailbox.make<Signal>(1)
    /**
     * What middleware wrote to FiberRefs by the first signal, between two pulls: in one, others may be set for a while.
     */
    let written: FiberRefs.FiberRefs | undefined
    const note = Effect.map(Effect.getFiberRefs, (refs) => {
      written ??= refs
    })
    const put = (signal: Signal) => Effect.zipRight(note, line.offer(signal))
    yield* read(frames, put).pipe(
      Effect.catchAll(Option.match({
        onNone: () => put({ _tag: "Ended" }),
        onSome: (error) => put({ _tag: "Broken", error })
      })),
      // A defect is one of a client of the program's own, and stays one.
      Effect.catchAllCause((cause) => Effect.zipRight(note, line.failCause(cause))),
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
    const take = Effect.map(line.takeAll, ([taken]) => Chunk.isEmpty(taken) ? closing : Chunk.toReadonlyArray(taken))
    const unread = () => Option.getOrElse(line.unsafeSize(), () => 0) > 0
    return {
      unread,
      /** Puts a signal in line, unless there are others to take. */
      offer: (signal: Signal) => unread() || line.unsafeOffer(signal),
      /** Signals that came, at least one. What the client's middleware wrote to FiberRefs is the caller's then. */
      take: Effect.suspend(() =>
        inherited ? take : Effect.onExit(take, (exit) => Exit.isInterrupted(exit) ? Effect.void : inherit)
      ),
      close: line.shutdown.pipe(
        Effect.zipRight(Scope.close(scope, Exit.void)),
        Effect.zipRight(inherit)
      )
    }
  })
