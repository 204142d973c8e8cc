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
 * - `"stop-sequence"`: one of the option `stop` came.
 * - `"cancelled"`: this program stopped the task.
 * - `"unknown"`: nobody knows. So it is where the request had no `maxTokens`, because the server's own limit is the
 *   operator's to change; where this program did not start the run; where forks that ran at once share their count
 *   (H15); where the count could not be read; and while the run has not ended. It is never guessed.
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
 * What nobody knows: the usage of a run whose tokens were not counted.
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
