/**
 * One connection of a stream: a fiber reads frames into a mailbox of two places, so a slow consumer slows the server.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { TaskFailure } from "../../RWKVError.js"
import { openingOf } from "../wire/frames.js"
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
 * Reads up to the end, and leaves the stream open then: an HTTP layer that has seen the end of the body by the time
 * that the stream is closed can use its socket again.
 */
const read = (
  frames: Stream.Stream<Frame, TaskFailure>,
  put: (signal: Signal) => Effect.Effect<void>
): Effect.Effect<void, Option.Option<TaskFailure>, Scope.Scope> =>
  Effect.flatMap(Effect.mapError(openingOf(frames), Option.some), (pull) => {
    const next: Effect.Effect<void, Option.Option<TaskFailure>> = Effect.flatMap(pull, (chunk) => {
      const frames = Chunk.toReadonlyArray(chunk)
      const last = frames.at(-1)
      if (last === undefined) return next
      const told = put({ _tag: "Frames", frames })
      return ends(last) ? told : Effect.zipRight(told, next)
    })
    return next
  })

/** What the end of a reading is told as; a defect is one of a client of the program's own, and stays one. */
const lastOf = (cause: Cause.Cause<Option.Option<TaskFailure>>): Either.Either<Signal, Cause.Cause<never>> =>
  Either.mapBoth(Either.flip(Cause.failureOrCause(cause)), {
    onLeft: identity,
    onRight: Option.match({
      onNone: (): Signal => ({ _tag: "Ended" }),
      onSome: (error) => ({ _tag: "Broken", error })
    })
  })

/** Signals that wait to be taken before the reader waits too. */
const places = 2

/** What the reader brings and the follower takes, in order. */
const makeLine = () => {
  let line: Array<Signal> = []
  let end: Effect.Effect<ReadonlyArray<Signal>> | undefined
  let wakeTaker = () => {}
  let wakeReader = () => {}
  /** Looks again when it registers: a fiber may have yielded since it looked. */
  const until = (ready: () => boolean, set: (wake: () => void) => void) =>
    Effect.async<void>((resume) => {
      if (ready()) return resume(Effect.void)
      set(() => resume(Effect.void))
      return Effect.sync(() => set(() => {}))
    })
  const push = (signal: Signal) => {
    if (end === undefined) line.push(signal)
    wakeTaker()
  }
  const room = until(() => end !== undefined || line.length < places, (wake) => {
    wakeReader = wake
  })
  const something = until(() => end !== undefined || line.length > 0, (wake) => {
    wakeTaker = wake
  })
  const take: Effect.Effect<ReadonlyArray<Signal>> = Effect.suspend(() => {
    if (line.length === 0) return end ?? Effect.zipRight(something, take)
    const taken = line
    line = []
    wakeReader()
    return Effect.succeed(taken)
  })
  return {
    take,
    put: (signal: Signal) => Effect.zipRight(Effect.sync(() => push(signal)), room),
    offer: (signal: Signal) => {
      if (line.length === 0) push(signal)
    },
    unread: () => line.length > 0,
    finish: (last: Effect.Effect<ReadonlyArray<Signal>>) =>
      Effect.sync(() => {
        end ??= last
        wakeTaker()
        wakeReader()
      }),
    clear: Effect.sync(() => {
      line = []
    })
  }
}

export const connect = (frames: Stream.Stream<Frame, TaskFailure>): Effect.Effect<Connection> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const { clear, finish, offer, put, take, unread } = makeLine()
    const reader = yield* read(frames, put).pipe(
      Effect.catchAllCause((cause) =>
        Either.match(lastOf(cause), { onLeft: (defect) => finish(Effect.failCause(defect)), onRight: put })
      ),
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
      offer,
      unread,
      take: Effect.suspend(() =>
        inherited ? take : Effect.onExit(take, (exit) => Exit.isInterrupted(exit) ? Effect.void : handBack)
      ),
      close: clear.pipe(
        Effect.zipRight(finish(Effect.succeed(closing))),
        Effect.zipRight(Scope.close(scope, Exit.void)),
        Effect.zipRight(handBack)
      )
    }
  })
