/**
 * A byte n-gram model with back-off. Ids 1..256 are the single bytes (byte = id - 1), 0 ends the text; every other
 * id has no bytes but stirs the random state.
 *
 * @since 0.1.0
 */
import { documents } from "./corpus.js"

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

interface Entry {
  readonly ids: ReadonlyArray<number>
  readonly counts: ReadonlyArray<number>
  readonly total: number
}

type Table = ReadonlyArray<ReadonlyMap<number, Entry>>

const order = 4
const symbols = 258
const unknownSymbol = 257
const weights = [0.001, 0.009, 0.04, 0.2, 0.75]

const contextKey = (context: ReadonlyArray<number>, length: number): number => {
  let key = 0
  for (let i = context.length - length; i < context.length; i++) key = key * symbols + (context[i] ?? 0)
  return key
}

const train = (): Table => {
  const counters: Array<Map<number, Map<number, number>>> = Array.from({ length: order + 1 }, () => new Map())
  const encoder = new TextEncoder()
  for (const document of documents) {
    let context: ReadonlyArray<number> = [0]
    for (const id of [...Array.from(encoder.encode(document), (byte) => byte + 1), 0]) {
      counters.forEach((counter, length) => {
        if (length > context.length) return
        const key = contextKey(context, length)
        const next = counter.get(key) ?? new Map<number, number>()
        next.set(id, (next.get(id) ?? 0) + 1)
        counter.set(key, next)
      })
      context = [...context, id].slice(-order)
    }
  }
  return counters.map((counter) => {
    const entries = new Map<number, Entry>()
    for (const [key, next] of counter) {
      const counts = Array.from(next.values())
      entries.set(key, { ids: Array.from(next.keys()), counts, total: counts.reduce((sum, n) => sum + n, 0) })
    }
    return entries
  })
}

let trained: Table | undefined
const table = (): Table => trained ??= train()

/** @internal */
export const nextRandom = (state: number): readonly [value: number, state: number] => {
  const next = (state + 0x6d2b79f5) | 0
  let t = Math.imul(next ^ (next >>> 15), next | 1)
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
  return [((t ^ (t >>> 14)) >>> 0) / 4294967296, next]
}

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
  state.context = [...state.context.slice(1 - order), id > 256 || id < 0 ? unknownSymbol : id]
}

/** @internal */
export const prefill = (state: ModelState, ids: ReadonlyArray<number>): void => {
  let hash = state.random
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193)
  for (const id of ids.slice(-order)) observe(state, id)
  state.random = hash | 0
}

/** Bytes of the character begun at the end of the context; 0 at a character border. */
const openBytes = (context: ReadonlyArray<number>): number => {
  for (let back = 1; back <= context.length && back < order; back++) {
    const byte = (context[context.length - back] ?? 0) - 1
    if (byte < 0x80 || byte > 0xff) return 0
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return back < length ? back : 0
    }
  }
  return 0
}

interface Candidate {
  readonly id: number
  /** Logarithm of the weight. */
  readonly score: number
}

/** Contexts shorter than the character begun are not asked: their answers could break it. */
const score = (context: ReadonlyArray<number>): ReadonlyArray<Candidate> => {
  const found: Array<{ readonly id: number; weight: number }> = []
  const open = openBytes(context)
  for (let length = Math.min(order, context.length); length >= open; length--) {
    const entry = table()[length]?.get(contextKey(context, length))
    if (entry === undefined || (length < 2 && found.length > 0)) continue
    entry.ids.forEach((id, index) => {
      const continues = id > 128 && id <= 192
      if (continues !== open > 0) return
      const weight = (weights[length] ?? 0) * (entry.counts[index] ?? 0) / entry.total
      const known = found.find((candidate) => candidate.id === id)
      if (known === undefined) found.push({ id, weight })
      else known.weight += weight
    })
  }
  return found.length > 0 ? found.map(({ id, weight }) => ({ id, score: Math.log(weight) })) : [{ id: 33, score: 0 }]
}

const scored = new Map<number, ReadonlyArray<Candidate>>()
const scoredContexts = 20_000

const candidates = (context: ReadonlyArray<number>): ReadonlyArray<Candidate> => {
  const key = contextKey(context, context.length) * (order + 1) + context.length
  const known = scored.get(key)
  if (known !== undefined) return known
  if (scored.size >= scoredContexts) scored.clear()
  const found = score(context)
  scored.set(key, found)
  return found
}

/**
 * Draws the next id and feeds it back. Temperature 0 and `top_p` 0 are greedy; `top_k` of 0 or less is no limit;
 * penalties are subtracted from the logarithm of the weight.
 *
 * @internal
 */
export const sample = (state: ModelState, sampling: Sampling): number => {
  const ranked = candidates(state.context).map(({ id, score }) => {
    const count = state.counts[id] ?? 0
    const penalty = count > 0 ? sampling.presencePenalty + sampling.repetitionPenalty * count : 0
    return { id, score: score - penalty }
  }).sort((a, b) => b.score - a.score || a.id - b.id)
  const greedy = sampling.temperature === 0 || sampling.topP === 0
  const kept = greedy ? ranked.slice(0, 1) : sampling.topK > 0 ? ranked.slice(0, sampling.topK) : ranked
  const best = kept[0]?.score ?? 0
  const shares = kept.map(({ score }) => Math.exp((score - best) / (greedy ? 1 : sampling.temperature)))
  const total = shares.reduce((sum, share) => sum + share, 0)
  let nucleus = 0
  let size = 0
  while (size < shares.length && (size === 0 || nucleus < sampling.topP * total)) nucleus += shares[size++] ?? 0
  const [draw, random] = nextRandom(state.random)
  state.random = random
  let rest = draw * nucleus
  let index = 0
  while (index < size - 1 && rest >= (shares[index] ?? 0)) rest -= shares[index++] ?? 0
  const id = kept[index]?.id ?? 0
  if (sampling.penaltyDecay !== 1) state.counts.forEach((count, at) => state.counts[at] = count * sampling.penaltyDecay)
  state.counts[id] = (state.counts[id] ?? 0) + 1
  if (id !== 0) observe(state, id)
  return id
}
