/** Work: what programs ask for, when, and what comes of it. */
import { nextRandom } from "../../src/testing/model/random.js"

/** Random numbers of [0, 1) by a seed. */
export const randomOf = (seed: number): () => number => {
  let state = seed
  return () => {
    const [value, next] = nextRandom(state)
    state = next
    return value
  }
}

export interface Task {
  readonly id: number
  /** Seconds. */
  readonly submitted: number
  /** UTF-16 units. */
  readonly prompt: number
  readonly maxTokens: number
  /** Tokens that it makes if nobody stops it. */
  readonly tokens: number
  /** Its entry stays in the cache for so many seconds after its end; 0 = it is deleted at its end. */
  readonly keptFor: number
  /** Which of the servers it was sent to last. */
  server: number
  /** Tokens made so far. */
  made: number
  /** Tokens that the client has counted. */
  told: number
  /** When it was given a slot; NaN before. */
  started: number
  /** When the client had its result; NaN before. */
  ended: number
  /** When its last token was made; NaN before. */
  finished: number
  /** When its stream was opened. */
  opened: number
  /** Whether a server was lost while it ran there, and it began anew. */
  replayed: boolean
}

/** As it was before it was sent. */
export const forget = (task: Task): void => {
  task.made = 0
  task.replayed = true
}

export interface Workload {
  readonly seed: number
  readonly count: number
  /** Tasks a second, at random times; Infinity = all at once. */
  readonly arrivals: number
  /** UTF-16 units of a prompt on average. */
  readonly prompt: number
  /** Tokens on average, if `maxTokens` do not end them before. */
  readonly tokens: number
  /** Each is as likely. */
  readonly maxTokens: ReadonlyArray<number>
  /** How many of all stay in the cache. */
  readonly kept: number
  /** Seconds. */
  readonly keptFor: number
}

/** Lengths that most often are short, and never 0. */
const exponential = (mean: number, random: number) => Math.max(1, Math.round(-mean * Math.log(1 - random)))

export const tasksOf = (workload: Workload): Array<Task> => {
  const random = randomOf(workload.seed)
  let submitted = 0
  return Array.from({ length: workload.count }, (_, id) => {
    submitted += workload.arrivals === Infinity ? 0 : -Math.log(1 - random()) / workload.arrivals
    const maxTokens = workload.maxTokens[Math.floor(random() * workload.maxTokens.length)] ?? 1
    return {
      id,
      submitted,
      prompt: exponential(workload.prompt, random()),
      maxTokens,
      tokens: Math.min(maxTokens, exponential(workload.tokens, random())),
      keptFor: random() < workload.kept ? workload.keptFor : 0,
      server: -1,
      made: 0,
      told: 0,
      started: Number.NaN,
      ended: Number.NaN,
      finished: Number.NaN,
      opened: 0,
      replayed: false
    }
  })
}
