/**
 * Reading a text that is whole: the server calls a task finished a moment before it stores the last tokens.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { TaskResult } from "../../Protocol.js"

/** When a finished result is read again while its time of generation, which is stored last, is missing. */
const delays = ["20 millis", "60 millis", "120 millis"] as const

const isSettled = ({ finished, generationTime }: TaskResult) =>
  !finished || !Duration.equals(generationTime, Duration.zero)

/**
 * Reads until the result is settled. Tasks without a time of their own (restored, prefill-only) cost these reads in
 * vain.
 */
export const settled = <E>(
  read: Effect.Effect<TaskResult, E>,
  [delay, ...later]: ReadonlyArray<Duration.DurationInput> = delays
): Effect.Effect<TaskResult, E> =>
  Effect.flatMap(
    read,
    (result) =>
      delay === undefined || isSettled(result) ? Effect.succeed(result) : settled(Effect.delay(read, delay), later)
  )
