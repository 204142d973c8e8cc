/**
 * One connection of a stream: a fiber that reads it into a small mailbox, so that silence and the end of the program can be
 * heard beside it. The mailbox is bounded: a slow consumer slows the socket.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { TaskError } from "../RWKVError.js"
import type { Frame } from "./sse.js"

/**
 * What the reader of a stream hears. `Idle`: nothing came for a while. `Closing`: the service ends.
 *
 * @internal
 */
export type Signal =
  | { readonly _tag: "Frames"; readonly frames: Chunk.Chunk<Frame> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<TaskError> }
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Closing" }

/** @internal */
export interface Connection {
  readonly take: Effect.Effect<Signal>
  /** Whether there is something to take. */
  readonly unread: () => boolean
  readonly signal: (signal: Signal) => void
  readonly close: Effect.Effect<void>
}

const ended: Signal = { _tag: "Ended" }

/** @internal */
export const connect = (frames: Stream.Stream<Frame, TaskError>): Effect.Effect<Connection> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const mailbox = yield* Mailbox.make<Signal>({ capacity: 2 })
    yield* Stream.runForEachChunk(
      frames,
      (chunk) => Chunk.isEmpty(chunk) ? Effect.void : mailbox.offer({ _tag: "Frames", frames: chunk })
    ).pipe(
      Effect.matchCauseEffect({
        onFailure: (cause) => mailbox.offer({ _tag: "Broken", cause }),
        onSuccess: () => mailbox.offer(ended)
      }),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    return {
      // The mailbox itself never ends, so there is always something to take.
      take: Effect.catchAll(mailbox.take, () => Effect.succeed(ended)),
      unread: () => Option.exists(mailbox.unsafeSize(), (size) => size > 0),
      signal: (signal) => {
        mailbox.unsafeOffer(signal)
      },
      close: Scope.close(scope, Exit.void)
    }
  })
