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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as HttpClient from "../HttpClient.js"
import * as Polling from "../Polling.js"
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
import { clientClosed, type Lifetime } from "./lifetime.js"
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

/** UTF-16 units of a text that cannot be: the server's longest run, 40,960 tokens, is far below. */
const longest = 64 * 1024 * 1024

/** What is more than reading frames: it may wait, ask, connect and fail. */
type Step = Effect.Effect<void, RWKVError>

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
    const driver = yield* Schedule.driver(Polling.respectRetryAfter(policy.retry))
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const patience = Math.max(1, Duration.toMillis(policy.idleTimeout))

    const open = connect(http.stream(taskId, { fromToken, operation }))
    let connection = subject.opened?.connection ?? (yield* open)
    /** Whether the text is taken from this connection alone, and not from the buffer. */
    let witnessed = subject.run !== undefined && subject.opened !== undefined
    let delivered = ""
    /** How much of what was delivered this connection has repeated. */
    let offset = 0
    /** Whether the frames of this connection still add up to the text. */
    let aligned = true
    /** Frames to let pass before the text is read anew; more each time that this found nothing new. */
    let skip = 0
    let skipped = 0
    let started = false
    let heard = false
    let failing = false
    let finished = false
    let closed = false
    let left = false
    // For the watchdog: whether a signal is being waited for, and since when there was no text, be it known already.
    let listening = false
    let quietSince = now()
    /** When new text, or tokens that the status counts, were last seen to come: a server can send frames for ever. */
    let progress = quietSince
    let asked = quietSince
    let tokens = -1
    /** What the consumer gets next, and what has to happen before more is read. */
    let out: Array<StreamEvent> = []
    let next: Step | undefined

    const leave = Effect.suspend(() => {
      if (left) return Effect.void
      left = true
      return Effect.zipRight(connection.close, policy.farewell(finished))
    })

    const watch = Effect.gen(function*() {
      while (true) {
        const since = Math.max(asked, Math.min(quietSince, progress))
        const rest = listening ? since + patience - now() : patience
        if (rest <= 0) {
          asked = now()
          connection.signal(idle)
          continue
        }
        const ends = yield* Effect.raceFirst(
          Effect.as(Effect.sleep(rest), false),
          Effect.as(lifetime.closing, true)
        )
        if (ends) {
          closed = true
          connection.signal(closing)
          return yield* Effect.uninterruptible(leave)
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
    const interrupted = (error: TaskError): RWKVError => heard ? truncated(error.message, error) : error

    const ended = Effect.suspend(() => Effect.fail(clientClosed(operation, taskId)))

    /** Whether no other run can have written to the buffer that the server reads the text from. */
    const alone = () => subject.run === undefined || subject.run.alone()

    const mixed = Effect.suspend(() =>
      Effect.fail(truncated("forks that ran at the same time share the buffer that the rest would be read from"))
    )

    const rewritten = Effect.suspend(() =>
      Effect.fail(truncated("the task's text no longer continues what was delivered"))
    )

    /** From here on the text is what the buffer says. */
    const reconnect: Step = Effect.gen(function*() {
      if (!alone()) return yield* mixed
      witnessed = false
      yield* connection.close
      const another = yield* open
      if (closed || left) {
        yield* another.close
        return yield* ended
      }
      connection = another
      offset = 0
      skipped = 0
      aligned = true
    }).pipe(Effect.uninterruptible)

    /** Goes on after a failure, as long as the schedule allows; it starts anew with every progress. */
    const again = (error: RWKVError, otherwise: RWKVError): Step =>
      Effect.suspend(() => failing ? Effect.void : driver.reset).pipe(
        Effect.zipRight(Effect.suspend(() => {
          failing = true
          return driver.next(error)
        })),
        Effect.mapError(() => otherwise),
        Effect.zipRight(reconnect)
      )

    const begin = (prefillTime: Duration.Duration) => {
      if (started) return
      started = true
      out.push(StreamEvent.Started({ taskId, prefillTime }))
    }

    /** Fails later if the text contradicts what was delivered, or has no end. */
    const emit = (text: string): Step | undefined => {
      if (text === "") return undefined
      quietSince = now()
      const known = delivered.length - offset
      if (known > 0 && !delivered.startsWith(text.slice(0, known), offset)) return rewritten
      const fresh = known === 0 ? text : text.slice(known)
      offset += text.length
      if (fresh === "") return undefined
      if (delivered.length + fresh.length > longest) {
        return Effect.fail(new RWKVDecodeError({ operation, taskId, description: "more text than a run can have" }))
      }
      progress = quietSince
      delivered += fresh
      failing = false
      skip = 0
      begin(Duration.zero)
      out.push(StreamEvent.Text({ text: fresh }))
      return undefined
    }

    const finish: Step = Effect.gen(function*() {
      const result = yield* settled(reads(http.result(taskId, { operation }))).pipe(Effect.mapError(interrupted))
      if (!result.finished) {
        const unfinished = truncated("the stream ended, the task did not")
        return yield* again(unfinished, unfinished)
      }
      // What its own connection told is all there is to say of a run that others wrote over.
      const told = witnessed && aligned
      if (!alone() && !told) return yield* mixed
      const whole: TaskResult = alone() && !result.undecodedTail
        ? result
        : { ...result, text: delivered, undecodedTail: !told }
      const text = whole === result && fromToken > 0 ? yield* textFrom(whole.text) : whole.text
      if (!text.startsWith(delivered)) return yield* rewritten
      begin(result.prefillTime)
      offset = delivered.length
      yield* emit(text.slice(delivered.length)) ?? Effect.void
      out.push(StreamEvent.Finished({ result: whole }))
      finished = true
    })

    /** The end of a finished text from a token on. A token inside a character stands for the whole character, of up to four. */
    const textFrom = (whole: string) =>
      Effect.gen(function*() {
        for (let token = fromToken; token >= Math.max(0, fromToken - 3); token--) {
          const text = yield* reads(textAt(whole, token))
          if (text !== undecodable) return text
        }
        return delivered
      }).pipe(Effect.mapError(interrupted))

    const textAt = (whole: string, token: number) =>
      Effect.gen(function*() {
        let room = whole.length + undecodable.length
        const stream = Stream.takeUntil(http.stream(taskId, { fromToken: token, operation }), (frame) => {
          if (frame._tag === "Data") room -= frame.text.length
          return room < 0
        })
        const frames = Array.from(yield* Stream.runCollect(stream))
        const text = frames.map((frame) => frame._tag === "Data" ? frame.text : "").join("")
        const sound = frames.at(-1)?._tag === "Done" && (text === undecodable || whole.endsWith(text)) &&
          frames.every(({ _tag }) => _tag === "Head" || _tag === "Data" || _tag === "Done")
        if (sound && text !== "") return text
        if (sound && (yield* http.status(taskId, { operation })).generatedTokens <= token) return text
        return yield* new RWKVConnectionError({
          operation,
          taskId,
          description: "the stream did not arrive whole",
          requestSent: true,
          retryable: true
        })
      }).pipe(Effect.timeoutFail({ duration: policy.stallTimeout, onTimeout: () => stalled }))

    const stalled = new RWKVTimeoutError({ operation, taskId, kind: "stalled", limit: policy.stallTimeout })

    /** After silence: is the task done, does it move, or does it hang? */
    const ask: Step = Effect.gen(function*() {
      const silent = now() - quietSince >= patience
      const rest = progress + Duration.toMillis(policy.stallTimeout) - now()
      const late = rest <= 0
      const answer = yield* Effect.either(reads(http.status(taskId, { operation }))).pipe(
        Effect.timeoutOption(Math.max(1000, rest))
      )
      if (Option.isNone(answer)) {
        // Text may have come while the question was open.
        return late || !connection.unread() ? yield* stalled : undefined
      }
      if (answer.value._tag === "Left") {
        // An evicted task is not found, and still generates into this connection.
        return late ? yield* truncated(answer.value.left.message, answer.value.left) : undefined
      }
      const { generatedTokens, status } = answer.value.right
      const moved = tokens !== -1 && generatedTokens !== tokens
      tokens = generatedTokens
      if (moved) progress = now()
      if (status === "Finished") {
        witnessed = false
        return yield* finish
      }
      // The task generates and this connection tells nothing: another one will. Forks count each other's tokens.
      if (moved && silent && alone()) return yield* reconnect
      if (late && !moved) return yield* stalled
    })

    /** Takes frames in one go, up to the first that asks for a step. */
    const read = (frames: Iterable<Frame>): Step | undefined => {
      for (const frame of frames) {
        heard = true
        switch (frame._tag) {
          case "Head":
            begin(Duration.seconds(frame.prefillTime))
            break
          case "Data":
            if (aligned && frame.text !== undecodable) {
              const failed = emit(frame.text)
              if (failed !== undefined) return failed
              break
            }
            if (frame.text !== "") quietSince = now()
            if (aligned) {
              aligned = false
            } else if (skipped < skip) {
              skipped++
            } else {
              // After a gap a frame only tells that there is more: what it continues is unknown.
              skip = Math.min(2 * skip + 1, 63)
              return reconnect
            }
            break
          case "Done":
            return finish
          case "Unreadable": {
            const error = new RWKVDecodeError({ operation, taskId, description: frame.description })
            return again(error, error)
          }
          case "Failed":
            return Effect.fail(
              new RWKVServerError({ operation, taskId, status: 500, description: frame.description })
            )
          case "TooLarge":
            return Effect.fail(
              new RWKVDecodeError({ operation, taskId, description: "a frame larger than the limit" })
            )
        }
      }
      return undefined
    }

    const hear = (signal: Signal): Step | undefined => {
      switch (signal._tag) {
        case "Frames":
          return read(signal.frames)
        case "Ended": {
          const error = truncated("the stream ended without its end mark")
          return again(error, error)
        }
        case "Broken": {
          const error = Option.getOrUndefined(Cause.failureOption(signal.cause))
          if (error === undefined) return Effect.failCause(Cause.stripFailures(signal.cause))
          // Who waited the whole time of a request for nothing has waited long enough.
          const hopeless = !error.isRetryable || !heard && error._tag === "RWKVTimeoutError"
          return hopeless ? Effect.fail(interrupted(error)) : again(error, interrupted(error))
        }
        case "Idle":
          return ask
        case "Closing":
          return ended
      }
    }

    if (subject.prefillTime !== undefined) begin(subject.prefillTime)
    if (subject.opened !== undefined) next = read(subject.opened.frames)
    const pull = Effect.gen(function*() {
      quietSince = progress = now()
      while (out.length === 0) {
        if (closed) return yield* ended
        const step = next
        if (step === undefined) {
          listening = true
          const signal = yield* connection.take
          listening = false
          next = hear(signal)
        } else {
          next = undefined
          yield* Effect.raceFirst(step, Effect.zipRight(lifetime.closing, ended))
        }
      }
      const events = out
      out = []
      return Chunk.unsafeFromArray(events)
    })

    return Stream.repeatEffectChunkOption(
      Effect.suspend(() => finished ? Effect.fail(Option.none()) : Effect.mapError(pull, Option.some))
    )
  })
