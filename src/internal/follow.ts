/**
 * A task's text, complete and exactly once, over connections that may lose, repeat or never end.
 *
 * One mechanism serves every gap. What was delivered is a prefix of the task's text; each new connection reads the text from
 * the start and what is known already is dropped from it. A frame that the server could not decode (U+FFFD), one that was
 * damaged, a cut, an end without `[DONE]` and silence all lead there, and the end is checked against `get_result`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as HttpClient from "../HttpClient.js"
import type * as Polling from "../Polling.js"
import { StreamEvent, type TaskId, type TaskResult } from "../Protocol.js"
import {
  RWKVConnectionError,
  RWKVDecodeError,
  type RWKVError,
  RWKVServerError,
  RWKVTimeoutError,
  StreamTruncatedError,
  type TaskError
} from "../RWKVError.js"
import { connect, type Connection, type Signal } from "./connection.js"
import type { Run } from "./ledger.js"
import type { Lifetime } from "./lifetime.js"
import * as retry from "./retry.js"
import { settled } from "./settle.js"
import type { Frame } from "./sse.js"

/** @internal */
export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  /** Known from the answer to a create, otherwise told by the first frame. */
  readonly prefillTime: Duration.Duration | undefined
  /** The open POST stream of a direct transport, and what was read of it already. */
  readonly opened: { readonly connection: Connection; readonly frames: ReadonlyArray<Frame> } | undefined
  /** Present if other tasks may write to the buffer that `get_result` reads: then a whole POST stream is the better witness. */
  readonly run: Run | undefined
  readonly fromToken: number
}

/** @internal */
export interface Policy {
  readonly idleTimeout: Duration.Duration
  readonly stallTimeout: Duration.Duration
  readonly retry: Polling.RetrySchedule
  /** What the server is told at the end; `finished` is whether the task ended by itself. */
  readonly farewell: (finished: boolean) => Effect.Effect<void>
}

/** What the server sends for a stretch of tokens that does not decode. */
const undecodable = "\uFFFD"

const idle: Signal = { _tag: "Idle" }
const closing: Signal = { _tag: "Closing" }

/** @internal */
export const follow = (
  http: HttpClient.Service,
  lifetime: Lifetime,
  subject: Subject,
  policy: Policy
): Effect.Effect<Stream.Stream<StreamEvent, RWKVError>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { fromToken, operation, taskId } = subject
    const reads = retry.reads(policy.retry)
    const driver = yield* Schedule.driver(policy.retry)

    const open = connect(http.stream(taskId, { fromToken, operation }))
    let connection = subject.opened?.connection ?? (yield* open)
    /** Whether the text is taken from this connection alone, and not from the buffer. */
    let witnessed = subject.run !== undefined && subject.opened !== undefined
    let delivered = ""
    /** How much of what was delivered this connection has repeated. */
    let offset = 0
    /** Whether the frames of this connection still add up to the text. */
    let aligned = true
    let started = false
    let failing = false
    let finished = false
    let closed = false
    let left = false
    // For the watchdog: frames so far, whether one is being waited for, when something last moved.
    let heard = 0
    let waiting = false
    let tokens = -1
    let lastProgress = yield* Clock.currentTimeMillis

    const leave = Effect.suspend(() => {
      if (left) return Effect.void
      left = true
      return Effect.zipRight(connection.close, policy.farewell(finished))
    })

    const watch = Effect.gen(function*() {
      let before = -1
      while (true) {
        const ends = yield* Effect.raceFirst(
          Effect.as(Effect.sleep(policy.idleTimeout), false),
          Effect.as(lifetime.closing, true)
        )
        if (ends) {
          closed = true
          connection.signal(closing)
          return yield* Effect.uninterruptible(leave)
        }
        if (!waiting || heard !== before) {
          before = heard
          lastProgress = yield* Clock.currentTimeMillis
        } else {
          connection.signal(idle)
        }
      }
    })
    const watchdog = yield* lifetime.watch(watch)
    yield* Effect.addFinalizer(() => Effect.zipRight(Fiber.interrupt(watchdog), leave))

    const truncated = (description: string, cause?: RWKVError) =>
      new StreamTruncatedError({
        operation,
        taskId,
        text: delivered,
        description,
        ...(cause === undefined ? {} : { cause })
      })

    /** A failure before anything was heard is told as it is; later it is what cut the text short. */
    const interrupted = (error: TaskError): RWKVError => heard === 0 ? error : truncated(error.message, error)

    /** From here on the text is what the buffer says. */
    const trustBuffer = Effect.suspend(() => {
      witnessed = false
      return subject.run === undefined || subject.run.alone()
        ? Effect.void
        : Effect.fail(truncated("forks that ran at the same time share the buffer that the rest would be read from"))
    })

    const reconnect = Effect.suspend((): Effect.Effect<void, RWKVError> =>
      closed ? Effect.fail(ended()) : Effect.gen(function*() {
        yield* trustBuffer
        yield* connection.close
        offset = 0
        aligned = true
        connection = yield* open
      })
    ).pipe(Effect.uninterruptible)

    const ended = () =>
      new RWKVConnectionError({
        operation,
        taskId,
        description: "the client was closed",
        requestSent: true,
        retryable: false
      })

    /** Goes on after a failure, as long as the schedule allows; it starts anew with every progress. */
    const again = (error: RWKVError, otherwise: RWKVError) =>
      Effect.suspend(() => {
        failing = true
        return driver.next(error)
      }).pipe(
        Effect.mapError(() => otherwise),
        Effect.zipRight(reconnect)
      )

    const begin = (out: Array<StreamEvent>, prefillTime: Duration.Duration) => {
      if (started) return
      started = true
      out.push(StreamEvent.Started({ taskId, prefillTime }))
    }

    const emit = (out: Array<StreamEvent>, text: string): Effect.Effect<void, RWKVError> => {
      const known = delivered.length - offset
      const overlap = known === 0 ? "" : text.slice(0, known)
      if (known > 0 && !delivered.startsWith(overlap, offset)) return Effect.fail(rewritten())
      const fresh = known === 0 ? text : text.slice(known)
      offset += text.length
      if (fresh === "") return Effect.void
      delivered += fresh
      begin(out, Duration.zero)
      out.push(StreamEvent.Text({ text: fresh }))
      if (!failing) return Effect.void
      failing = false
      return driver.reset
    }

    const rewritten = () => truncated("the task's text no longer continues what was delivered")

    const finish = (out: Array<StreamEvent>) =>
      Effect.gen(function*() {
        const result = yield* settled(reads(http.result(taskId, { operation }))).pipe(Effect.mapError(interrupted))
        if (!result.finished) {
          const unfinished = truncated("the stream ended, the task did not")
          return yield* again(unfinished, unfinished)
        }
        if (!witnessed || !aligned) yield* trustBuffer
        const whole: TaskResult = witnessed
          ? { ...result, text: delivered, undecodedTail: false }
          : result.undecodedTail
          ? { ...result, text: delivered }
          : result
        const text = fromToken === 0 || whole !== result ? whole.text : yield* textFrom
        if (!text.startsWith(delivered)) return yield* rewritten()
        begin(out, result.prefillTime)
        offset = delivered.length
        yield* emit(out, text.slice(delivered.length))
        out.push(StreamEvent.Finished({ result: whole }))
        finished = true
      })

    /** The finished text from a token on. A token inside a character stands for the whole character, which has up to four. */
    const textFrom = Effect.gen(function*() {
      for (let token = fromToken; token >= Math.max(0, fromToken - 3); token--) {
        const frames = yield* Stream.runCollect(reads_(http.stream(taskId, { fromToken: token, operation })))
        const text = Array.from(frames, (frame) => frame._tag === "Data" ? frame.text : "").join("")
        if (text !== undecodable) return text
      }
      return delivered
    }).pipe(Effect.mapError(interrupted))

    const reads_ = <A>(stream: Stream.Stream<A, TaskError>) =>
      Stream.fromIterableEffect(reads(Stream.runCollect(stream)))

    /** After silence: is the task done, does it move, or does it hang? */
    const ask = (out: Array<StreamEvent>) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const stalled = now - lastProgress >= Duration.toMillis(policy.stallTimeout)
        const status = yield* Effect.either(reads(http.status(taskId, { operation })))
        if (status._tag === "Left") {
          // An evicted task is not found, and still generates into this connection.
          return stalled ? yield* truncated(status.left.message, status.left) : undefined
        }
        const info = status.right
        if (info.status === "Finished") {
          yield* trustBuffer
          return yield* finish(out)
        }
        const moved = tokens !== -1 && info.generatedTokens !== tokens
        if (tokens === -1 || moved) tokens = info.generatedTokens
        if (moved) {
          // The task generates and this connection does not tell: another one will.
          lastProgress = now
          return yield* reconnect
        }
        if (stalled) {
          return yield* new RWKVTimeoutError({ operation, taskId, kind: "stalled", limit: policy.stallTimeout })
        }
      })

    const read = (out: Array<StreamEvent>, frames: Iterable<Frame>) =>
      Effect.gen(function*() {
        for (const frame of frames) {
          heard++
          switch (frame._tag) {
            case "Head":
              begin(out, Duration.seconds(frame.prefillTime))
              break
            case "Data":
              // After a gap a frame only tells that there is more: what it continues is unknown.
              if (!aligned) return yield* reconnect
              if (frame.text === undecodable) aligned = false
              else yield* emit(out, frame.text)
              break
            case "Done":
              return yield* finish(out)
            case "Unreadable": {
              const error = new RWKVDecodeError({ operation, taskId, description: frame.description })
              return yield* again(error, error)
            }
            case "Failed":
              return yield* new RWKVServerError({ operation, taskId, status: 500, description: frame.description })
            case "TooLarge":
              return yield* new RWKVDecodeError({ operation, taskId, description: "a frame larger than the limit" })
          }
        }
      })

    const hear = (out: Array<StreamEvent>, signal: Signal): Effect.Effect<void, RWKVError> => {
      switch (signal._tag) {
        case "Frames":
          return read(out, signal.frames)
        case "Ended": {
          const error = truncated("the stream ended without its end mark")
          return again(error, error)
        }
        case "Broken": {
          const error = Option.getOrUndefined(Cause.failureOption(signal.cause))
          if (error === undefined) return Effect.failCause(Cause.stripFailures(signal.cause))
          return error.isRetryable ? again(error, interrupted(error)) : Effect.fail(interrupted(error))
        }
        case "Idle":
          return ask(out)
        case "Closing":
          return Effect.fail(ended())
      }
    }

    let backlog = subject.opened?.frames
    const pull = Effect.gen(function*() {
      const out: Array<StreamEvent> = []
      if (subject.prefillTime !== undefined) begin(out, subject.prefillTime)
      if (backlog !== undefined) {
        const frames = backlog
        backlog = undefined
        yield* read(out, frames)
      }
      while (out.length === 0) {
        if (closed) return yield* ended()
        waiting = true
        const signal = yield* connection.take
        waiting = false
        yield* hear(out, signal)
      }
      return Chunk.unsafeFromArray(out)
    })

    return Stream.repeatEffectChunkOption(
      Effect.suspend(() => finished ? Effect.fail(Option.none()) : Effect.mapError(pull, Option.some))
    )
  })
