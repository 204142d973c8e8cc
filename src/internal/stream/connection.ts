/**
 * One connection of a stream: a fiber reads frames into a mailbox of two places, so a slow consumer slows the server.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { TaskFailure } from "../../RWKVError.js"
import { openingOf } from "../wire/frames.js"
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

const lastOf = (cause: Cause.Cause<Option.Option<TaskFailure>>): Effect.Effect<Signal> =>
  Either.match(Cause.failureOrCause(cause), {
    onLeft: Option.match({
      onNone: (): Effect.Effect<Signal> => Effect.succeed({ _tag: "Ended" }),
      onSome: (error) => Effect.succeed({ _tag: "Broken", error })
    }),
    onRight: Effect.failCause
  })

/** The reader goes on in a context of its own, so only what it wrote elsewhere is handed back. */
const inherit = (reader: Fiber.RuntimeFiber<unknown>) =>
  Effect.suspend(() => Effect.inheritFiberRefs(FiberRefs.delete(reader.getFiberRefs(), FiberRef.currentContext)))

/** Signals that wait to be taken before the reader waits too. */
const places = 2

/** What the reader brings and the follower takes, in order. */
const makeLine = () => {
  let line: Array<Signal> = []
  let over = false
  let wakeTaker = () => {}
  let wakeReader = () => {}
  const wait = (set: (wake: () => void) => void) =>
    Effect.async<void>((resume) => {
      set(() => resume(Effect.void))
      return Effect.sync(() => set(() => {}))
    })
  const push = (signal: Signal) => {
    line.push(signal)
    wakeTaker()
  }
  const room: Effect.Effect<void> = Effect.suspend(() =>
    over || line.length < places ? Effect.void : wait((wake) => {
      wakeReader = wake
    })
  )
  const take: Effect.Effect<ReadonlyArray<Signal>> = Effect.suspend(() => {
    if (over) return Effect.succeed(closing)
    if (line.length === 0) {
      return Effect.zipRight(
        wait((wake) => {
          wakeTaker = wake
        }),
        take
      )
    }
    const taken = line
    line = []
    wakeReader()
    return Effect.succeed(taken)
  })
  return {
    take,
    put: (signal: Signal) =>
      Effect.suspend(() => {
        push(signal)
        return room
      }),
    offer: (signal: Signal) => {
      if (line.length === 0) push(signal)
    },
    unread: () => line.length > 0,
    end: Effect.sync(() => {
      over = true
      wakeTaker()
      wakeReader()
    })
  }
}

export const connect = (frames: Stream.Stream<Frame, TaskFailure>): Effect.Effect<Connection> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const { end, offer, put, take, unread } = makeLine()
    const reader = yield* read(frames, put).pipe(
      Effect.catchAllCause((cause) => Effect.flatMap(lastOf(cause), put)),
      Effect.provideService(Scope.Scope, scope),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    let first = true
    return {
      offer,
      unread,
      take: Effect.suspend(() => {
        if (!first) return take
        first = false
        return Effect.ensuring(take, inherit(reader))
      }),
      close: Effect.zipRight(end, Scope.close(scope, Exit.void))
    }
  })
