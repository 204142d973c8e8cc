/**
 * What to generate: the options of a generation and the requests of the Task API, as Schemas.
 *
 * The type side is what programs write (camelCase), the encoded side what travels (snake_case). Encoding is strict: a
 * value out of range, an unknown field or an empty prompt never reaches the server, which answers some of them with a
 * bare 500 and stops for every client after one of them (H24, H25).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as rule from "./internal/input/rules.js"

/**
 * An entry of RWKV's World vocabulary: an integer from 0 to 65529. One beyond it at the end of a prompt stops the
 * server for every client (H25).
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const isTokenId = Schema.is(Generation.TokenId)
 *
 * console.log(isTokenId(65529), isTokenId(65530)) // true false
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const TokenId: Schema.Schema<number> = /*#__PURE__*/ rule.integer(0, 65529)

/**
 * The type of {@link TokenId}: an integer from 0 to 65529.
 *
 * @since 0.1.0
 * @category models
 */
export type TokenId = number

/**
 * What to continue: well-formed text of at most 67108864 UTF-16 units, or at most 16777216 token ids. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export type Prompt = string | ReadonlyArray<TokenId>

/**
 * A {@link Prompt}: the message of a failure tells the rule and the index of a bad token, never the text.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const isPrompt = Schema.is(Generation.Prompt)
 *
 * console.log(isPrompt("Hello"), isPrompt([33, 34]), isPrompt(""), isPrompt([65530])) // true true false false
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const Prompt: Schema.Schema<Prompt> = rule.prompt

/**
 * How long the server keeps a task: `"temporary"` in memory only (ids `TMP_`), `"persistent"` also in its database (ids
 * `TASK_`), to which it is written when it is evicted from memory or the server is shut down in good order (H36).
 *
 * @since 0.1.0
 * @category models
 */
export type Persistence = "temporary" | "persistent"

/**
 * The options of a generation. What is not given is not sent: the defaults named here are the server's, which its
 * operator may have changed.
 *
 * @since 0.1.0
 * @category models
 */
export interface GenerationOptions {
  /** The most tokens to generate: 0 to 40960 (from 1 in FIM, `continue` and `fork`); the server's default is 4096. */
  readonly maxTokens?: number | undefined
  /** Sampling temperature: 0 to 2; the server's default is 1. */
  readonly temperature?: number | undefined
  /** Sample from the k likeliest tokens: -1 to 100 (0 to 100 in `continue` and `fork`); the server's default is 50. */
  readonly topK?: number | undefined
  /** Nucleus sampling: 0 to 1; the server's default is 0.3. */
  readonly topP?: number | undefined
  /** Penalty for tokens that occurred at all: 0 to 10; the server's default is 2. */
  readonly presencePenalty?: number | undefined
  /** Penalty that grows with each occurrence: 0 to 10; the server's default is 0. */
  readonly repetitionPenalty?: number | undefined
  /** How penalties fade with each token: 0 to 1; the server's default is 1 (they do not). */
  readonly penaltyDecay?: number | undefined
  /** Seed of the sampler, not in `continue` and `fork`: 0 to 4294967295; the server's default is its clock. */
  readonly seed?: number | undefined
}

const persistence = Schema.Literal("temporary", "persistent").annotations(
  rule.says("must be \"temporary\" or \"persistent\"")
)

interface UpdateOptionsEncoded {
  readonly max_tokens?: number | undefined
  readonly temperature?: number | undefined
  readonly top_k?: number | undefined
  readonly top_p?: number | undefined
  readonly presence_penalty?: number | undefined
  readonly repetition_penalty?: number | undefined
  readonly penalty_decay?: number | undefined
}

interface GenerationOptionsEncoded extends UpdateOptionsEncoded {
  readonly seed?: number | undefined
}

const maxTokens = (least: number) => rule.optionalAs(rule.integer(least, 40960), "max_tokens")
const topK = (least: number) => rule.optionalAs(rule.integer(least, 100), "top_k")

const sampling = {
  temperature: rule.optional(rule.number(0, 2)),
  topP: rule.optionalAs(rule.number(0, 1), "top_p"),
  presencePenalty: rule.optionalAs(rule.number(0, 10), "presence_penalty"),
  repetitionPenalty: rule.optionalAs(rule.number(0, 10), "repetition_penalty"),
  penaltyDecay: rule.optionalAs(rule.number(0, 1), "penalty_decay")
}

const creation = {
  ...sampling,
  topK: topK(-1),
  seed: rule.optional(rule.integer(0, 4294967295))
}

/**
 * The options of a generation, as they are sent.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const encoded = Schema.encodeSync(Generation.GenerationOptions)({ maxTokens: 50, topP: 0.5 })
 *
 * console.log(encoded) // { top_p: 0.5, max_tokens: 50 }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const GenerationOptions: Schema.Schema<GenerationOptions, GenerationOptionsEncoded> = Schema.Struct({
  ...creation,
  maxTokens: maxTokens(0)
})

/**
 * What `create` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface CreateRequest extends GenerationOptions {
  /** The text to continue, or its token ids (0 to 65529). Never empty. */
  readonly prompt: Prompt
  /** How long the server keeps the task; `"temporary"` by default. */
  readonly persistence?: Persistence | undefined
}

/**
 * The body of `POST /v1/tasks/tmp` or, when persistent, of `POST /v1/tasks/create`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const encoded = Schema.encodeSync(Generation.CreateRequest)({ prompt: "Hello", maxTokens: 50 })
 *
 * console.log(encoded) // { prompt: "Hello", max_tokens: 50 }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const CreateRequest: Schema.Schema<
  CreateRequest,
  GenerationOptionsEncoded & { readonly prompt: Prompt; readonly persistence?: Persistence | undefined }
> = Schema.Struct({
  prompt: Prompt,
  persistence: rule.optional(persistence),
  ...creation,
  maxTokens: maxTokens(0)
})

/**
 * What `fim` (fill in the middle) takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface FimRequest extends GenerationOptions {
  /** The text before the gap; may be empty. */
  readonly prefix: string
  /** The text after the gap; nothing by default. */
  readonly suffix?: string | undefined
}

/**
 * The body of `POST /v1/tasks/fim`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const encoded = Schema.encodeSync(Generation.FimRequest)({ prefix: "a = ", suffix: ";" })
 *
 * console.log(encoded) // { prefix: "a = ", suffix: ";" }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const FimRequest: Schema.Schema<
  FimRequest,
  GenerationOptionsEncoded & { readonly prefix: string; readonly suffix?: string | undefined }
> = Schema.Struct({
  prefix: rule.text,
  suffix: rule.optional(rule.text),
  ...creation,
  maxTokens: maxTokens(1)
})

/**
 * What `continue` takes. The prompt is required: without one the server answers 200 and generates nothing (H3).
 *
 * @since 0.1.0
 * @category models
 */
export interface ContinueRequest extends Omit<GenerationOptions, "seed"> {
  /** The text to append before going on, or its token ids (0 to 65529). Never empty. */
  readonly prompt: Prompt
}

const update = {
  prompt: Prompt,
  ...sampling,
  topK: topK(0),
  maxTokens: maxTokens(1)
}

/**
 * The body of `POST /v1/tasks/{id}/continue`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const encoded = Schema.encodeSync(Generation.ContinueRequest)({ prompt: " And then?", topK: 0 })
 *
 * console.log(encoded) // { prompt: " And then?", top_k: 0 }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const ContinueRequest: Schema.Schema<ContinueRequest, UpdateOptionsEncoded & { readonly prompt: Prompt }> =
  Schema.Struct(update)

/**
 * What `fork` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface ForkRequest extends ContinueRequest {
  /** How long the server keeps the fork; `"persistent"` by default, which is the server's own. */
  readonly persistence?: Persistence | undefined
}

/**
 * The body of `POST /v1/tasks/{id}/fork`, and its query `tmp`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Generation } from "effect-rwkv"
 *
 * const encoded = Schema.encodeSync(Generation.ForkRequest)({ prompt: " And then?", persistence: "temporary" })
 *
 * console.log(encoded) // { prompt: " And then?", persistence: "temporary" }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const ForkRequest: Schema.Schema<
  ForkRequest,
  UpdateOptionsEncoded & { readonly prompt: Prompt; readonly persistence?: Persistence | undefined }
> = Schema.Struct({ ...update, persistence: rule.optional(persistence) })
