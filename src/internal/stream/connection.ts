/**
 * One connection of a stream: what it says waits in line until it is taken, and whoever takes it is told that it came, in the
 * calling stack. A line that grows pauses the socket, so a slow consumer slows the server.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Pull, pulled } from "../pull.js"
import type { Frame } from "../wire/sse.js"

/**
 * What the reader of a stream hears. `Idle`: nothing came for a while. `Closing`: the service ends.
 *
 * @internal
 */
export type Signal<E> =
  | { readonly _tag: "Frames"; readonly frames: ReadonlyArray<Frame> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<E> }
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Closing" }

/** @internal */
export const ended: Signal<never> = { _tag: "Ended" }

/**
 * The other end of a connection. What it has to say may come at any time, even while it is being opened; nothing comes once it
 * is closed.
 *
 * @internal
 */
export interface Source {
  readonly pause: () => void
  readonly resume: () => void
  readonly close: Effect.Effect<void>
}

/** @internal */
export type Feed<E> = (heard: (signal: Signal<E>) => void) => Effect.Effect<Source>

/** @internal */
export interface Connection<E> {
  /** The next signal, if there is one. */
  readonly poll: () => Signal<E> | undefined
  /** Whether there is something to take. */
  readonly unread: () => boolean
  /** Calls back with every signal that comes. */
  readonly listen: (listener: () => void) => void
  /** Puts a signal in line. */
  readonly signal: (signal: Signal<E>) => void
  readonly close: Effect.Effect<void>
}

/** Signals that may wait before the socket is paused. */
const ahead = 2

/** @internal */
export const connect = <E>(feed: Feed<E>): Effect.Effect<Connection<E>> =>
  Effect.suspend(() => {
    let line: Array<Signal<E>> = []
    let listener = () => {}
    let polling = false
    let source: Source | undefined
    const put = (signal: Signal<E>) => {
      line.push(signal)
      if (line.length === ahead) source?.pause()
      // What comes while something is taken, because the socket goes on, is taken after it.
      if (!polling) listener()
    }
    return Effect.map(feed(put), (opened): Connection<E> => {
      source = opened
      if (line.length >= ahead) source.pause()
      return {
        poll: () => {
          const signal = line.shift()
          polling = true
          if (line.length === ahead - 1) opened.resume()
          polling = false
          return signal
        },
        unread: () => line.length > 0,
        listen: (chosen) => {
          listener = chosen
        },
        signal: put,
        close: Effect.suspend(() => {
          line = []
          return opened.close
        })
      }
    })
  })

/**
 * Waits for the next signal, which is taken when the fiber goes on: an interrupted one takes nothing.
 *
 * @internal
 */
export const take = <E>(connection: Connection<E>): Effect.Effect<Signal<E>> =>
  Effect.suspend(() => {
    const signal = connection.poll()
    return signal !== undefined ? Effect.succeed(signal) : Effect.async<Signal<E>>((resume) => {
      const deaf = () => connection.listen(() => {})
      connection.listen(() => {
        deaf()
        resume(take(connection))
      })
      return Effect.sync(deaf)
    })
  })

const FeedId: unique symbol = Symbol.for("effect-rwkv/Feed")

interface Fed<E> extends Stream.Stream<Frame, E> {
  readonly [FeedId]: Feed<E>
}

const isFed = <E>(frames: Stream.Stream<Frame, E>): frames is Fed<E> => hasProperty(frames, FeedId)

/**
 * A feed as a Stream, which remembers it: the services read the feed, and programs the Stream.
 *
 * @internal
 */
export const toStream = <E>(feed: Feed<E>): Stream.Stream<Frame, E> => {
  const pull = (connection: Connection<E>): Pull<Frame, E> =>
    Effect.flatMap(take(connection), (signal) => {
      switch (signal._tag) {
        case "Frames":
          return Effect.succeed(Chunk.unsafeFromArray(signal.frames))
        case "Broken":
          return Effect.mapError(Effect.failCause(signal.cause), Option.some)
        default:
          return Effect.fail(Option.none())
      }
    })
  const stream = pulled(Effect.map(Effect.acquireRelease(connect(feed), ({ close }) => close), pull))
  return Object.assign(stream, { [FeedId]: feed })
}

/**
 * How frames are read: those of another client's Stream by a fiber that runs it.
 *
 * @internal
 */
export const feedOf = <E>(frames: Stream.Stream<Frame, E>): Feed<E> =>
  isFed(frames) ? frames[FeedId] : (heard) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const open = Effect.unsafeMakeLatch(true)
      yield* Stream.runForEachChunk(frames, (chunk) => {
        if (Chunk.isNonEmpty(chunk)) heard({ _tag: "Frames", frames: Chunk.toReadonlyArray(chunk) })
        return open.await
      }).pipe(
        Effect.matchCause({
          onFailure: (cause) => heard({ _tag: "Broken", cause }),
          onSuccess: () => heard(ended)
        }),
        Effect.interruptible,
        Effect.forkIn(scope)
      )
      return {
        pause: () => {
          open.unsafeClose()
        },
        resume: () => {
          open.unsafeOpen()
        },
        close: Scope.close(scope, Exit.void)
      }
    })
