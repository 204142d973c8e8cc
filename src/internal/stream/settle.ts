/**
 * Reading a text that is finished, which the server calls so a moment before it stores the last tokens: all of it, or
 * its end from a token on, which only the server can cut.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as HttpClient from "../../HttpClient.js"
import type * as Polling from "../../Polling.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import { RWKVConnectionError, type TaskFailure } from "../../RWKVError.js"
import { limited, within } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import { undecodable } from "../wire/sse.js"

/** Pauses between reads of a finished result whose generation time, which is stored last, is missing (H31). */
const delays = ["20 millis", "60 millis", "120 millis"] as const

/** Further pauses, for as long as the task may have more tokens. */
const laterDelays = ["250 millis", "500 millis", "1 second", "2 seconds"] as const

const isSettled = ({ finished, generationTime }: TaskResult) =>
  !finished || !Duration.equals(generationTime, Duration.zero)

const unknown = () => undefined

const tokensOf = (look: Effect.Effect<TaskInfo, unknown>) =>
  Effect.match(look, { onFailure: unknown, onSuccess: ({ generatedTokens }) => generatedTokens })

/**
 * Reads a result until it is settled, and once for `maxTokens: 0`. Restored tasks have no generation time and cost four
 * reads (H37). A run with known `maxTokens` is this program's and will have a time, so it is waited for longer, until
 * `look` says that all tokens are stored. Give no `maxTokens` for a stopped run, which may never have run (H6).
 */
export const settled = <E>(
  read: Effect.Effect<TaskResult, E>,
  maxTokens: number | undefined,
  look: Effect.Effect<TaskInfo, unknown>
): Effect.Effect<TaskResult, E> =>
  Effect.gen(function*() {
    let result = yield* read
    for (const delay of delays) {
      if (maxTokens === 0 || isSettled(result)) return result
      result = yield* Effect.delay(read, delay)
    }
    if (maxTokens === undefined) return result
    for (const delay of laterDelays) {
      if (isSettled(result)) return result
      const tokens = yield* within(tokensOf(look), "2 seconds", () => Effect.sync(unknown))
      // They may have been stored after the result was read.
      if (tokens !== undefined && tokens >= maxTokens) return yield* read
      result = yield* Effect.delay(read, delay)
    }
    return result
  })

/**
 * The text from a token on, or from up to three before it if it is inside a character (H12). Undefined if none can be
 * decoded.
 */
export const textFrom = (
  http: HttpClient.Service,
  { operation, taskId }: { readonly operation: string; readonly taskId: TaskId },
  { retry: schedule, stallTimeout }: {
    readonly retry: Polling.RetrySchedule
    readonly stallTimeout: Duration.Duration
  },
  whole: string,
  fromToken: number
): Effect.Effect<string | undefined, TaskFailure> => {
  const textAt = (token: number) =>
    limited(
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
      }),
      stallTimeout,
      { operation, taskId, kind: "stalled" }
    )
  return Effect.gen(function*() {
    for (let token = fromToken; token >= Math.max(0, fromToken - 3); token--) {
      const text = yield* retry.reads(schedule)(textAt(token))
      if (text !== undecodable) return text
    }
    return undefined
  })
}
