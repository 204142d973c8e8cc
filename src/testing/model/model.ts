/**
 * A byte n-gram model with back-off. Ids 1..256 are the single bytes (byte = id - 1), 0 ends the text; every other
 * id has no bytes but stirs the random state.
 *
 * @since 0.1.0
 */
import { nextRandom } from "./random.js"
import { type Candidates, candidates, order } from "./table.js"

/** @internal */
export interface Sampling {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly presencePenalty: number
  readonly repetitionPenalty: number
  readonly penaltyDecay: number
}

/** @internal */
export interface ModelState {
  /** The last ids, newest last, clamped to 0..257. */
  context: ReadonlyArray<number>
  random: number
  /** Penalty statistics: how often each id was produced. */
  counts: Float32Array
}

const unknownSymbol = 257

/** @internal */
export const makeState = (seed: number): ModelState => ({
  context: [0],
  random: seed | 0,
  counts: new Float32Array(257)
})

/** @internal */
export const cloneState = (state: ModelState): ModelState => ({ ...state, counts: state.counts.slice() })

/** @internal */
export const observe = (state: ModelState, id: number): void => {
  const context = state.context.slice(1 - order)
  context.push(id > 256 || id < 0 ? unknownSymbol : id)
  state.context = context
}

/** @internal */
export const prefill = (state: ModelState, ids: ReadonlyArray<number>): void => {
  let hash = state.random
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193)
  for (const id of ids.slice(-order)) observe(state, id)
  state.random = hash | 0
}

/** The candidates after the penalties, again best first. What was never produced keeps its score and so its order. */
const punish = (found: Candidates, counts: Float32Array, sampling: Sampling): Candidates => {
  if (!found.ids.some((id) => (counts[id] ?? 0) > 0)) return found
  const ids: Array<number> = []
  const scores: Array<number> = []
  for (let i = 0; i < found.ids.length; i++) {
    const id = found.ids[i] ?? 0
    const count = counts[id] ?? 0
    const penalty = count > 0 ? sampling.presencePenalty + sampling.repetitionPenalty * count : 0
    const score = (found.scores[i] ?? 0) - penalty
    let at = ids.length
    while (at > 0 && ((scores[at - 1] ?? 0) < score || (scores[at - 1] === score && (ids[at - 1] ?? 0) > id))) {
      ids[at] = ids[at - 1] ?? 0
      scores[at] = scores[at - 1] ?? 0
      at--
    }
    ids[at] = id
    scores[at] = score
  }
  return { ids, scores }
}

/** The index of the candidate drawn. */
const draw = (state: ModelState, ranked: Candidates, sampling: Sampling, greedy: boolean): number => {
  const all = ranked.scores.length
  const kept = greedy ? Math.min(1, all) : sampling.topK > 0 ? Math.min(sampling.topK, all) : all
  const best = ranked.scores[0] ?? 0
  const heat = greedy ? 1 : sampling.temperature
  const shares: Array<number> = []
  let total = 0
  for (let i = 0; i < kept; i++) {
    const share = Math.exp(((ranked.scores[i] ?? 0) - best) / heat)
    shares.push(share)
    total += share
  }
  let nucleus = 0
  let size = 0
  while (size < kept && (size === 0 || nucleus < sampling.topP * total)) nucleus += shares[size++] ?? 0
  const [value, random] = nextRandom(state.random)
  state.random = random
  let rest = value * nucleus
  let index = 0
  while (index < size - 1 && rest >= (shares[index] ?? 0)) rest -= shares[index++] ?? 0
  return index
}

/**
 * Draws the next id and feeds it back. Temperature 0 and `top_p` 0 are greedy; `top_k` of 0 or less is no limit;
 * penalties are subtracted from the logarithm of the weight.
 *
 * @internal
 */
export const sample = (state: ModelState, sampling: Sampling): number => {
  const ranked = punish(candidates(state.context), state.counts, sampling)
  const greedy = sampling.temperature === 0 || sampling.topP === 0
  const id = ranked.ids[draw(state, ranked, sampling, greedy)] ?? 0
  const { counts } = state
  if (sampling.penaltyDecay !== 1) counts.forEach((count, at) => counts[at] = count * sampling.penaltyDecay)
  counts[id] = (counts[id] ?? 0) + 1
  if (id !== 0) observe(state, id)
  return id
}
