/**
 * How a generation ended, and what it cost.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as rule from "./internal/input/rules.js"

/**
 * Why a run ended:
 *
 * - `"stop"`: the model ended its text, or the stop of another program, or of another task (H29), hit this one, which
 *   the server does not tell apart.
 * - `"length"`: as many tokens were generated as the request's `maxTokens` allow.
 * - `"stop-sequence"`: the text reached a sequence of the option `stop`.
 * - `"cancelled"`: this program stopped the task.
 * - `"unknown"`: the request had no `maxTokens` (the server's own limit is the operator's to change), this program did
 *   not start the run, forks that ran at once share their count (H15), the count could not be read, or the run has not
 *   ended. A reason is never guessed.
 *
 * @since 0.1.0
 * @category models
 */
export type FinishReason = "stop" | "length" | "stop-sequence" | "cancelled" | "unknown"

/**
 * The Schema of {@link FinishReason}.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Finish } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Finish.FinishReason)("length")
 *
 * console.log(decoded) // length
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const FinishReason: Schema.Schema<FinishReason> = /*#__PURE__*/ Schema.Literal(
  "stop",
  "length",
  "stop-sequence",
  "cancelled",
  "unknown"
)

/**
 * What a run cost.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage {
  /**
   * The tokens that the server has generated in this run, those after a stop sequence and the end of text included.
   * Undefined where nobody knows, and never an estimate.
   */
  readonly outputTokens: number | undefined
}

/**
 * The Schema of {@link Usage}: an unknown number is no key in JSON.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Finish } from "effect-rwkv"
 *
 * const decoded = Schema.decodeUnknownSync(Finish.Usage)({ outputTokens: 20 })
 *
 * console.log(decoded.outputTokens) // 20
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const Usage: Schema.Schema<Usage, { readonly outputTokens?: number }> = /*#__PURE__*/ Schema.Struct({
  outputTokens: rule.known
})

/**
 * The usage of a run whose tokens were not counted.
 *
 * @example
 * ```ts
 * import { Finish } from "effect-rwkv"
 *
 * console.log(Finish.unknownUsage.outputTokens) // undefined
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export const unknownUsage: Usage = { outputTokens: undefined }
