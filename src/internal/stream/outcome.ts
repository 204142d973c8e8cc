/**
 * Decides how a run ended and what it cost, from all that is known.
 */
import * as Duration from "effect/Duration"
import type { FinishReason } from "../../Finish.js"
import type { TaskResult } from "../../Protocol.js"

export interface Known {
  /** The tokens of the run, counted after its end. */
  readonly tokens: number | undefined
  /** The most that its request allows, if that said so. */
  readonly maxTokens: number | undefined
  /** Whether this program has stopped the task. */
  readonly stopped: boolean
  /** The stop sequence that ended the text. */
  readonly sequence: string | undefined
  /** What a proxy named the request that started the run, if this program sent it. */
  readonly requestId: string | undefined
}

const reasonOf = ({ maxTokens = Infinity, sequence, stopped, tokens = NaN }: Known): FinishReason => {
  if (sequence !== undefined) return "stop-sequence"
  // All `maxTokens` were generated: a stop that was sent came too late.
  if (tokens === maxTokens) return "length"
  if (stopped) return "cancelled"
  return Number.isFinite(maxTokens) && tokens < maxTokens ? "stop" : "unknown"
}

/**
 * Whether these are just the run's tokens. More than `maxTokens` include those of forks (H15); fewer may not be all
 * while the generation time is missing (H31).
 */
const isCount = (tokens: number, generationTime: Duration.Duration, maxTokens = Infinity) =>
  Number.isInteger(tokens) && tokens >= 0 &&
  (Duration.equals(generationTime, Duration.zero) ? tokens === maxTokens : tokens <= maxTokens)

export const outcome = (result: TaskResult, known: Known): TaskResult => {
  const { maxTokens, requestId, sequence, tokens: told = NaN } = known
  const tokens = isCount(told, result.generationTime, maxTokens) ? told : undefined
  const seconds = Duration.toSeconds(result.generationTime)
  return {
    ...result,
    usage: { outputTokens: tokens },
    finishReason: reasonOf({ ...known, tokens }),
    ...(sequence === undefined ? {} : { stopSequence: sequence }),
    ...(requestId === undefined ? {} : { requestId }),
    tokensPerSecond: tokens === undefined || seconds <= 0 ? undefined : tokens / seconds
  }
}
