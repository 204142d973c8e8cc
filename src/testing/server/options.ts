/**
 * Options of the emulator.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { Script } from "../model/script.js"
import type { PastRun } from "../model/session.js"

/**
 * Which server to be: `"current"` behaves like today's RWKV-Server, bugs included; `"documented"` keeps the promises
 * of its README (working templates, separate buffers for forks, no cut characters, immediate stop, durable tasks).
 *
 * @since 0.1.0
 * @category models
 */
export type Profile = "current" | "documented"

/**
 * What `Options.reply` is told about a prompt the server has just read.
 *
 * @since 0.1.0
 * @category models
 */
export interface PromptRequest {
  /** Which endpoint brought the prompt. */
  readonly endpoint: "tmp" | "create" | "fim" | "continue" | "fork"
  /** The task that read it (for a fork, the new one). */
  readonly taskId: string
  /** The prompt as text; of a prompt sent as ids, those that stand for bytes (1..256). */
  readonly text: string
  /** The ids, if the prompt was sent as ids. */
  readonly tokens?: ReadonlyArray<number> | undefined
  /** The `max_tokens` of the run that begins. */
  readonly maxTokens: number
  /**
   * What the task has read and said before, the oldest first; for a fork, what its source had. Empty for a new task.
   *
   * @since 0.2.0
   */
  readonly before: ReadonlyArray<PastRun>
}

/**
 * How the emulated server behaves. Every key is optional.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Default `"current"`. */
  readonly profile?: Profile | undefined
  /** Seed of ids and of runs that were given no seed. Default 0. */
  readonly seed?: number | undefined
  /**
   * What to say to a prompt. A string is sent one UTF-8 byte a token, then the text ends; a `Script` fixes the tokens;
   * undefined leaves the answer to the toy model. Called once for every prompt read. `Emulator.chat` makes one by the
   * messages of a chat.
   */
  readonly reply?: ((request: PromptRequest) => Script | string | undefined) | undefined
  /**
   * Time of a full pulse; one that ends early takes its share. Default 50 milliseconds. With 0 a run takes no time: it
   * ends under a TestClock that is never adjusted, and a status, result or stop finds the task finished. An
   * `idleDelay`, a `pollInterval`, a `prefillPerToken` or `lateTokens` that is given still takes its time.
   */
  readonly pulse?: Duration.DurationInput | undefined
  /** Tokens of a full pulse, and so of a full frame. Default 32. */
  readonly tokensPerPulse?: number | undefined
  /** Time an idle scheduler needs to see new work (the real one: up to 0.5 s). Default 0. */
  readonly idleDelay?: Duration.DurationInput | undefined
  /** How often a GET stream looks for new tokens; 0 = it learns of them at once. Default 100 ms; with `pulse: 0`, 0. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** Tasks that run at once; the others wait. Default 256. */
  readonly maxBatchSize?: number | undefined
  /** Tasks kept in memory; one more evicts the least recently used, even if it runs. Default 256. */
  readonly cacheCapacity?: number | undefined
  /** Time to read one token of a prompt. The current server serves nobody else meanwhile. Default 0. */
  readonly prefillPerToken?: Duration.DurationInput | undefined
  /** `max_tokens` of requests that name none. Default 4096. */
  readonly defaultMaxTokens?: number | undefined
  /**
   * Asked at each stop of a task; true = the scheduler overlooks it (current server only). Default: none is overlooked.
   * Even without it a stop goes to the slot that the task began in: once others have ended and the batch has shrunk, it
   * hits another task or none.
   */
  readonly stopMisses?: ((taskId: string) => boolean) | undefined
  /**
   * How long a task is FINISHED before its last tokens appear, and how long a stop of another one is erased (current
   * server only). Default 0.
   */
  readonly lateTokens?: Duration.DurationInput | undefined
  /**
   * Lets pages of any origin ask, as a proxy before the real server would: it answers preflights, which are neither
   * recorded nor hit by faults, and adds CORS headers to each answer, errors included. For `httpApp` and `layerServer`
   * only. Default false, as the real server has no CORS (H42).
   *
   * @since 0.2.0
   */
  readonly cors?: boolean | undefined
}

/** @internal */
export interface Settings {
  readonly profile: Profile
  readonly seed: number
  readonly reply: (request: PromptRequest) => Script | string | undefined
  readonly pulse: number
  readonly tokensPerPulse: number
  readonly idleDelay: number
  readonly pollInterval: number
  readonly maxBatchSize: number
  readonly cacheCapacity: number
  readonly prefillPerToken: number
  readonly defaultMaxTokens: number
  readonly stopMisses: (taskId: string) => boolean
  readonly lateTokens: number
  readonly cors: boolean
  /** Runs take no time of the Clock. */
  readonly instant: boolean
}

/**
 * Durations become milliseconds.
 *
 * @internal
 */
export const settings = (options: Options): Settings => {
  const pulse = Duration.toMillis(options.pulse ?? 50)
  const idleDelay = Duration.toMillis(options.idleDelay ?? 0)
  const lateTokens = options.profile === "documented" ? 0 : Duration.toMillis(options.lateTokens ?? 0)
  return {
    profile: options.profile ?? "current",
    seed: options.seed ?? 0,
    reply: options.reply ?? (() => undefined),
    pulse,
    tokensPerPulse: options.tokensPerPulse ?? 32,
    idleDelay,
    pollInterval: Duration.toMillis(options.pollInterval ?? (pulse === 0 ? 0 : 100)),
    maxBatchSize: options.maxBatchSize ?? 256,
    cacheCapacity: options.cacheCapacity ?? 256,
    prefillPerToken: Duration.toMillis(options.prefillPerToken ?? 0),
    defaultMaxTokens: options.defaultMaxTokens ?? 4096,
    stopMisses: options.stopMisses ?? (() => false),
    lateTokens,
    cors: options.cors ?? false,
    instant: pulse === 0 && idleDelay === 0 && lateTokens === 0
  }
}
