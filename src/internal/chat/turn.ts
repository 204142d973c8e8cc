/**
 * One turn of a session, from its beginning to what it leaves in the history: all of it, nothing, or the parts that its
 * reader was given.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { FinishReason, Usage } from "../../Finish.js"
import type { TaskResult } from "../../Protocol.js"
import { RWKVConnectionError, type RWKVError, StreamTruncatedError } from "../../RWKVError.js"
import type { Message, Reply, ReplyPart } from "../../RWKVMessage.js"
import type { ReplyOptions } from "./format.js"
import { fromParts, messagesOf, partsOf, split } from "./reply.js"
import type { Begun, Strategy } from "./strategy.js"

/** A turn that has ended. */
export interface Turn {
  readonly reply: Reply
  /** What it has added to the history: what was sent, and the messages of the reply. */
  readonly messages: ReadonlyArray<Message>
  readonly usage: Usage
  /** Why the reply ended. After `"length"` it may end anywhere: within a thought it has no answer. */
  readonly finishReason: FinishReason
  /** How it was sent: a session that continues may have had to replay. */
  readonly strategy: Strategy
}

/** A turn whose task the server has named. */
export interface OpenTurn {
  /** The reply as it comes. It can be read once. */
  readonly parts: Stream.Stream<ReplyPart, RWKVError>
  /** The whole turn, any number of times. What nobody reads of the parts is read for it. */
  readonly turn: Effect.Effect<Turn, RWKVError>
}

/** What a turn needs of its session. */
export interface Setting {
  readonly operation: string
  readonly input: ReadonlyArray<Message>
  readonly reply: ReplyOptions
  readonly keepsPart: boolean
  readonly begin: (keeps: () => boolean) => Effect.Effect<Begun, RWKVError, Scope.Scope>
  /**
   * Adds messages to the history in one step. `ended` is the run, if it was read to its end. Returns whether its task
   * is kept.
   */
  readonly commit: (added: ReadonlyArray<Message>, ended?: Ended) => boolean
  readonly leave: Effect.Effect<void>
}

export interface Ended {
  readonly begun: Begun
  readonly result: TaskResult
}

export const closed = (operation: string, requestSent: boolean) =>
  new RWKVConnectionError({ operation, description: "the session was closed", requestSent, retryable: false })

export const make = (setting: Setting) =>
  Effect.gen(function*() {
    const { begin, commit, input, leave, operation } = setting
    const running = yield* Scope.make()
    const over = yield* Deferred.make<void>()
    const cut = yield* Deferred.make<never, RWKVError>()
    const delivered: Array<ReplyPart> = []
    let ended = false
    let keeps = false
    let done: Turn | undefined

    const end = (added: ReadonlyArray<Message>, run?: Ended): Effect.Effect<void> =>
      Effect.uninterruptible(Effect.suspend(() => {
        if (ended) return Deferred.await(over)
        ended = true
        if (added.length > 0) keeps = commit(added, run)
        return Scope.close(running, Exit.void).pipe(
          Effect.ensuring(Effect.zipRight(leave, Deferred.succeed(over, undefined)))
        )
      }))
    const fail = end([])
    /** Ends early. With `keepsPart` the input and the delivered parts are added. */
    const abandon = Effect.suspend(() =>
      end(setting.keepsPart && delivered.length > 0 ? [...input, ...messagesOf(fromParts(delivered))] : [])
    )

    const opened = (begun: Begun): OpenTurn => {
      const { run, strategy } = begun
      const finish = (result: TaskResult) =>
        Effect.uninterruptible(Effect.suspend(() => {
          if (!ended) {
            const reply = fromParts(partsOf(result.text, setting.reply))
            const messages = [...input, ...messagesOf(reply)]
            const { finishReason, usage } = result
            done = { reply, messages, usage, finishReason, strategy }
            return Effect.as(end(messages, { begun, result }), done)
          }
          if (done !== undefined) return Effect.as(Deferred.await(over), done)
          const { taskId, text } = result
          const description = "the turn was left before its end"
          return Effect.fail(new StreamTruncatedError({ operation, taskId, text, description }))
        }))
      const turn = Effect.flatMap(Effect.tapError(run.finished, () => fail), finish)
      const parts = split(run.text, setting.reply).pipe(
        Stream.interruptWhenDeferred(cut),
        Stream.rechunk(1),
        Stream.tap((part) => Effect.sync(() => void delivered.push(part))),
        Stream.concat(Stream.drain(Stream.fromEffect(turn))),
        Stream.tapError(() => fail)
      )
      return { parts, turn }
    }

    return {
      /** The caller leaves before the end. */
      abandon,
      /** The session is closed during the turn. */
      close: Effect.zipRight(Deferred.fail(cut, closed(operation, true)), abandon),
      open: Effect.raceFirst(begin(() => keeps), Deferred.await(cut)).pipe(
        Scope.extend(running),
        Effect.onError(() => fail),
        Effect.map(opened)
      )
    }
  })
