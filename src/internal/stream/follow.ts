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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import * as Polling from "../../Polling.js"
import type { TaskId, TaskResult } from "../../Protocol.js"
import {
  RWKVDecodeError,
  type RWKVError,
  RWKVServerError,
  RWKVTimeoutError,
  StreamTruncatedError,
  type TaskFailure
} from "../../RWKVError.js"
import * as alarm from "../alarm.js"
import { connect, type Connection, feedOf, type Signal } from "./connection.js"
import type { Run } from "../owner/ledger.js"
import { clientClosed, type Lifetime } from "../owner/lifetime.js"
import type { Pull } from "../pull.js"
import * as Pump from "../pump.js"
import * as retry from "../wire/retry.js"
import { settled } from "./settle.js"
import type { Frame } from "../wire/sse.js"
import * as Start from "../start.js"
import { textFrom, undecodable } from "./tail.js"
import type { Telling } from "./telling.js"

/** @internal */
export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  /** Known from the answer to a create, otherwise told by the first frame. */
  readonly prefillTime: Duration.Duration | undefined
  /** The open POST stream of a direct transport, and what was read of it already. */
  readonly opened: { readonly connection: Connection<TaskFailure>; readonly frames: ReadonlyArray<Frame> } | undefined
  /** Present if other tasks may write to the buffer that `get_result` reads: then a whole POST stream is the better witness. */
  readonly run: Run | undefined
  readonly fromToken: number
}

/** @internal */
export interface Policy {
  readonly idleTimeout: Duration.Duration
  readonly stallTimeout: Duration.Duration
  /** Whether a task that waits for its turn, without a limit, is worth waiting for; a server that does not answer is not. */
  readonly patient?: boolean | undefined
  readonly retry: Polling.RetrySchedule
  /** What the server is told at the end; `finished` is whether the task ended by itself. */
  readonly farewell: (finished: boolean) => Effect.Effect<void>
}

/** UTF-16 units of a text that cannot be: the server's longest run, 40,960 tokens, is far below. */
const longest = 64 * 1024 * 1024

const idle: Signal<never> = { _tag: "Idle" }
const closing: Signal<never> = { _tag: "Closing" }

/** @internal */
export const follow = <A>(
  http: HttpClient.Service,
  lifetime: Lifetime,
  subject: Subject,
  policy: Policy,
  telling: Telling<A>
): Effect.Effect<Pull<A, RWKVError>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { fromToken, operation, taskId } = subject
    const patient = policy.patient === true
    const reads = patient ? retry.polls(policy.retry) : retry.reads(policy.retry)
    const runtime = yield* Start.runtime
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const patience = Math.max(1, Duration.toMillis(policy.idleTimeout))

    const open = connect(feedOf(http.stream(taskId, { fromToken, operation })))
    let connection = subject.opened?.connection ?? (yield* open)
    /** Whether the text is taken from this connection alone, and not from the buffer. */
    let witnessed = subject.run !== undefined && subject.opened !== undefined
    let delivered = ""
    /** Texts that continue it, and were not told yet. */
    let fresh: Array<string> = []
    /** How much of what was delivered this connection has repeated. */
    let offset = 0
    /** Whether the frames of this connection still add up to the text. */
    let aligned = true
    /** Frames to let pass before the text is read anew; more each time that this found nothing new. */
    let skip = 0
    let skipped = 0
    let started = false
    let heard = false
    let finished = false
    let closed = lifetime.closing()
    let left = false
    /** Present after a failure, until there is progress again. */
    let failures: Schedule.ScheduleDriver<unknown, RWKVError> | undefined
    /** When there was text last, be it known already. */
    let quietSince = now()
    /** When new text, or tokens that the status counts, were last seen to come: a server can send frames for ever. */
    let progress = quietSince
    let asked = quietSince
    let tokens = -1

    const pump = Pump.make<A, Signal<TaskFailure>>({
      runtime,
      poll: () => connection.poll(),
      hear: (signal) => hear(signal),
      settle: () => flush(),
      end: () =>
        finished
          ? Effect.fail(Option.none())
          : closed
          ? Effect.fail(Option.some(clientClosed(operation, taskId)))
          : undefined
    })

    const leave = () => {
      if (left) return Effect.void
      left = true
      return Effect.zipRight(connection.close, policy.farewell(finished))
    }

    const withdraw = lifetime.onClosing(Effect.suspend(() => {
      closed = true
      pump.fail(clientClosed(operation, taskId))
      connection.signal(closing)
      return Effect.uninterruptible(leave())
    }))

    /** Looks again after so long; what is returned, if called, looks no more. */
    const watch = (rest: number): () => void =>
      alarm.after(clock, rest, () => {
        const since = Math.max(asked, Math.min(quietSince, progress))
        const left = pump.waits() ? since + patience - now() : patience
        unwatch = watch(left > 0 ? left : patience)
        if (left > 0) return
        asked = now()
        connection.signal(idle)
      })
    let unwatch = watch(patience)
    yield* Effect.addFinalizer(() => {
      withdraw()
      unwatch()
      return leave()
    })

    const truncated = (description: string, cause?: RWKVError) =>
      new StreamTruncatedError({
        operation,
        taskId,
        text: delivered,
        description,
        ...(cause === undefined ? {} : { cause })
      })

    /** A failure before anything was heard is told as it is; later it is what cut the text short. */
    const interrupted = (error: TaskFailure): RWKVError => heard ? truncated(error.message, error) : error

    const ended = () => Effect.fail(clientClosed(operation, taskId))

    /** Whether no other run can have written to the buffer that the server reads the text from. */
    const alone = () => subject.run === undefined || subject.run.alone()

    const mixed = () =>
      Effect.fail(truncated("forks that ran at the same time share the buffer that the rest would be read from"))

    const rewritten = () => Effect.fail(truncated("the task's text no longer continues what was delivered"))

    /** From here on the text is what the buffer says. */
    const reconnect = (): Pump.Step =>
      Effect.gen(function*() {
        if (!alone()) return yield* mixed()
        witnessed = false
        yield* connection.close
        const another = yield* open
        if (closed || left) {
          yield* another.close
          return yield* ended()
        }
        connection = another
        connection.listen(pump.hark)
        offset = 0
        skipped = 0
        aligned = true
      }).pipe(Effect.uninterruptible)

    /** Goes on after a failure, as long as the schedule allows; it starts anew with every progress. */
    const again = (error: RWKVError, otherwise = error): Pump.Step =>
      Effect.gen(function*() {
        failures ??= yield* Schedule.driver(Polling.respectRetryAfter(policy.retry))
        yield* Effect.mapError(failures.next(error), () => otherwise)
        yield* reconnect()
      })

    const begin = (prefillTime: Duration.Duration) => {
      if (started) return
      started = true
      pump.tell(telling.started(taskId, prefillTime))
    }

    /** Tells the text that came, all at once. */
    const flush = (): Pump.Step | undefined => {
      const piece = fresh.length === 1 ? fresh[0] ?? "" : fresh.join("")
      fresh = []
      if (piece === "") return undefined
      if (delivered.length + piece.length > longest) {
        return Effect.fail(new RWKVDecodeError({ operation, taskId, description: "more text than a run can have" }))
      }
      progress = now()
      delivered += piece
      offset += piece.length
      failures = undefined
      skip = 0
      begin(Duration.zero)
      pump.tell(telling.text(piece))
      return undefined
    }

    /** Fails later if the text contradicts what was delivered, or has no end. */
    const emit = (text: string): Pump.Step | undefined => {
      const known = delivered.length - offset
      if (known === 0) {
        fresh.push(text)
        return undefined
      }
      if (!delivered.startsWith(text.slice(0, known), offset)) return rewritten()
      offset += Math.min(known, text.length)
      fresh = [text.slice(known)]
      return undefined
    }

    const tailOf = (whole: string) =>
      Effect.mapBoth(textFrom(http, subject, policy, whole, fromToken), {
        onFailure: interrupted,
        onSuccess: (tail) => tail ?? delivered
      })

    const finish = (): Pump.Step =>
      Effect.gen(function*() {
        const result = yield* settled(reads(http.result(taskId, { operation }))).pipe(Effect.mapError(interrupted))
        if (!result.finished) {
          return yield* again(truncated("the stream ended, the task did not"))
        }
        // What its own connection told is all there is to say of a run that others wrote over.
        const told = witnessed && aligned
        if (!alone() && !told) return yield* mixed()
        const whole: TaskResult = alone() && !result.undecodedTail
          ? result
          : { ...result, text: delivered, undecodedTail: !told }
        const text = whole === result && fromToken > 0 ? yield* tailOf(whole.text) : whole.text
        if (!text.startsWith(delivered)) return yield* rewritten()
        begin(result.prefillTime)
        offset = delivered.length
        fresh = [text.slice(delivered.length)]
        yield* flush() ?? Effect.void
        pump.tell(telling.finished(whole))
        finished = true
      })

    const stalled = () =>
      Effect.fail(new RWKVTimeoutError({ operation, taskId, kind: "stalled", limit: policy.stallTimeout }))

    /** After silence: is the task done, does it move, or does it hang? */
    const ask = (): Pump.Step =>
      Effect.gen(function*() {
        const silent = now() - quietSince >= patience
        const rest = progress + Duration.toMillis(policy.stallTimeout) - now()
        const late = rest <= 0
        const answer = yield* Effect.either(reads(http.status(taskId, { operation }))).pipe(
          Effect.timeoutOption(Math.max(1000, rest))
        )
        if (Option.isNone(answer)) {
          // Text may have come while the question was open.
          return late || !connection.unread() ? yield* stalled() : undefined
        }
        if (answer.value._tag === "Left") {
          const error = answer.value.left
          // An evicted task is not found, and still generates into this connection.
          const lost = late || patient && error._tag !== "TaskNotFoundError"
          return lost ? yield* truncated(error.message, error) : undefined
        }
        const { generatedTokens, status } = answer.value.right
        const moved = tokens !== -1 && generatedTokens !== tokens
        tokens = generatedTokens
        const queued = patient && (status === "Prefill" || status === "Ready")
        if (moved || queued) progress = now()
        if (status === "Finished") {
          witnessed = false
          return yield* finish()
        }
        // The task generates and this connection tells nothing: another one will. Forks count each other's tokens.
        if (moved && silent && alone()) return yield* reconnect()
        if (late && !moved && !queued) return yield* stalled()
      })

    /** Takes frames in one go, up to the first that asks for a step. */
    const read = (frames: Iterable<Frame>): Pump.Step | undefined => {
      let step: Pump.Step | undefined
      let spoke = false
      for (const frame of frames) {
        heard = true
        if (frame._tag === "Data") {
          spoke = spoke || frame.text !== ""
          step = aligned && frame.text !== undecodable ? emit(frame.text) : misread()
        } else {
          step = flush() ?? note(frame)
        }
        if (step !== undefined) break
      }
      if (spoke) quietSince = now()
      return step
    }

    /** After a gap a frame only tells that there is more: what it continues is unknown. */
    const misread = (): Pump.Step | undefined => {
      if (aligned) {
        aligned = false
        return undefined
      }
      if (skipped < skip) {
        skipped++
        return undefined
      }
      skip = Math.min(2 * skip + 1, 63)
      return reconnect()
    }

    const note = (frame: Exclude<Frame, { readonly _tag: "Data" }>): Pump.Step | undefined => {
      switch (frame._tag) {
        case "Head":
          begin(Duration.seconds(frame.prefillTime))
          return undefined
        case "Done":
          return finish()
        case "Unreadable":
          return again(new RWKVDecodeError({ operation, taskId, description: frame.description }))
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

    const hear = (signal: Signal<TaskFailure>): Pump.Step | undefined => {
      if (finished) return undefined
      if (signal._tag === "Frames") return read(signal.frames)
      // What came before belongs to the text that an error tells.
      return flush() ?? heed(signal)
    }

    const heed = (signal: Exclude<Signal<TaskFailure>, { readonly _tag: "Frames" }>): Pump.Step | undefined => {
      switch (signal._tag) {
        case "Ended":
          return again(truncated("the stream ended without its end mark"))
        case "Broken": {
          const error = Option.getOrUndefined(Cause.failureOption(signal.cause))
          if (error === undefined) return Effect.failCause(Cause.stripFailures(signal.cause))
          // Who waited the whole time of a request for nothing has waited long enough.
          const hopeless = !error.isRetryable || !heard && !patient && error._tag === "RWKVTimeoutError"
          return hopeless ? Effect.fail(interrupted(error)) : again(error, interrupted(error))
        }
        case "Idle":
          return ask()
        case "Closing":
          return ended()
      }
    }

    if (subject.prefillTime !== undefined) begin(subject.prefillTime)
    if (subject.opened !== undefined) pump.first(read(subject.opened.frames))
    connection.listen(pump.hark)

    return Effect.suspend(() => {
      // The time that the consumer took is no silence.
      quietSince = progress = now()
      return pump.pull
    })
  })
