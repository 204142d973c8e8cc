/**
 * One connection of a stream: a fiber reads frames into a mailbox of two places, so a slow consumer slows the server.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { TaskFailure } from "../../RWKVError.js"
import { inherit } from "../wire/limit.js"
import type { Frame } from "../wire/sse.js"
import type { Signal } from "./signals.js"

export interface Connection {
  /** Signals that came, at least one. What the client's middleware wrote to FiberRefs is the caller's then. */
  readonly take: Effect.Effect<ReadonlyArray<Signal>>
  /** Puts a signal in line, unless there are others to take. */
  readonly offer: (signal: Signal) => void
  readonly unread: () => boolean
  readonly close: Effect.Effect<void>
}

const closing: ReadonlyArray<Signal> = [{ _tag: "Closing" }]

const ends = ({ _tag }: Frame) => _tag === "Done" || _tag === "TooLarge"

/**
 * Reads up to the end, and leaves the stream open then: an HTTP layer that has seen the end of the body by the time that the
 * stream is closed can use its socket again.
 */
const read = (frames: Stream.Stream<Frame, TaskFailure>, signals: Mailbox.Mailbox<Signal>) =>
  Effect.gen(function*() {
    const pull = yield* Stream.toPull(frames)
    let open = true
    while (open) {
      const chunk = yield* pull
      open = !Option.exists(Chunk.last(chunk), ends)
      if (Chunk.isNonEmpty(chunk)) yield* signals.offer({ _tag: "Frames", frames: Chunk.toReadonlyArray(chunk) })
    }
  })

const lastOf = (cause: Cause.Cause<Option.Option<TaskFailure>>): Effect.Effect<Signal> =>
  Either.match(Cause.failureOrCause(cause), {
    onLeft: Option.match({
      onNone: (): Effect.Effect<Signal> => Effect.succeed({ _tag: "Ended" }),
      onSome: (error) => Effect.succeed({ _tag: "Broken", error })
    }),
    onRight: Effect.failCause
  })

export const connect = (frames: Stream.Stream<Frame, TaskFailure>): Effect.Effect<Connection> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const signals = yield* Mailbox.make<Signal>(2)
    const reader = yield* read(frames, signals).pipe(
      Effect.catchAllCause((cause) => Effect.flatMap(lastOf(cause), (last) => signals.offer(last))),
      // A defect of a client of the program's own is the program's.
      Effect.catchAllCause((cause) => Effect.asVoid(signals.failCause(cause))),
      Effect.provideService(Scope.Scope, scope),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    let inherited = false
    const handBack = Effect.suspend(() => {
      if (inherited) return Effect.void
      inherited = true
      return inherit(reader)
    })
    return {
      take: Effect.suspend(() => {
        const taking = inherited
          ? signals.takeAll
          : Effect.onExit(signals.takeAll, (exit) => Exit.isInterrupted(exit) ? Effect.void : handBack)
        return Effect.map(taking, ([taken]) => Chunk.isEmpty(taken) ? closing : Chunk.toReadonlyArray(taken))
      }),
      offer: (signal) => {
        signals.unsafeOffer(signal)
      },
      unread: () => Option.exists(signals.unsafeSize(), (size) => size > 0),
      close: signals.shutdown.pipe(Effect.zipRight(Scope.close(scope, Exit.void)), Effect.zipRight(handBack))
    }
  })
