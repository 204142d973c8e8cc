/**
 * What the toy model knows: how often each id followed each context of up to four ids, with back-off to shorter ones.
 *
 * @since 0.1.0
 */
import { documents } from "./corpus.js"
import { encode, openBytes } from "./text.js"

/**
 * Ids of the longest context.
 *
 * @internal
 */
export const order = 4

const symbols = 258
const weights = [0.001, 0.009, 0.04, 0.2, 0.75]

/** Ids that followed one context, and how often, at the same index. */
interface Entry {
  readonly ids: Array<number>
  readonly counts: Array<number>
  total: number
}

/** One map for each length of contexts. */
type Table = ReadonlyArray<Map<number, Entry>>

const count = (entries: Map<number, Entry>, key: number, id: number): void => {
  const entry = entries.get(key)
  if (entry === undefined) {
    entries.set(key, { ids: [id], counts: [1], total: 1 })
    return
  }
  const index = entry.ids.indexOf(id)
  if (index < 0) {
    entry.ids.push(id)
    entry.counts.push(1)
  } else entry.counts[index] = (entry.counts[index] ?? 0) + 1
  entry.total++
}

const train = (): Table => {
  const table = Array.from({ length: order + 1 }, () => new Map<number, Entry>())
  for (const document of documents) {
    let keys: ReadonlyArray<number> = [0, 0]
    const learn = (id: number): void => {
      keys.forEach((key, length) => {
        const entries = table[length]
        if (entries !== undefined) count(entries, key, id)
      })
      keys = [0, ...keys.slice(0, order).map((key) => key * symbols + id)]
    }
    for (const byte of encode(document)) learn(byte + 1)
    learn(0)
  }
  return table
}

let trained: Table | undefined
const table = (): Table => trained ??= train()

const contextKey = (context: ReadonlyArray<number>, length: number): number => {
  let key = 0
  for (let i = context.length - length; i < context.length; i++) key = key * symbols + (context[i] ?? 0)
  return key
}

/**
 * Ids that may come next and the logarithms of their weights at the same index, best first, the lower id first among
 * equals.
 *
 * @internal
 */
export interface Candidates {
  readonly ids: ReadonlyArray<number>
  readonly scores: ReadonlyArray<number>
}

/** Ids beyond the single bytes count as an ASCII byte: they begin and end no character. */
const byteOf = (id: number): number => id > 256 ? 0 : id - 1

/** Skips contexts that are shorter than the character that has begun: what follows them could break it. */
const score = (context: ReadonlyArray<number>): Candidates => {
  const found = new Map<number, number>()
  const open = openBytes(context.length, (index) => byteOf(context[index] ?? 0))
  for (let length = Math.min(order, context.length); length >= open; length--) {
    const entry = table()[length]?.get(contextKey(context, length))
    if (entry === undefined || (length < 2 && found.size > 0)) continue
    entry.ids.forEach((id, index) => {
      const continues = id > 128 && id <= 192
      if (continues !== open > 0) return
      const weight = (weights[length] ?? 0) * (entry.counts[index] ?? 0) / entry.total
      found.set(id, (found.get(id) ?? 0) + weight)
    })
  }
  if (found.size === 0) return { ids: [33], scores: [0] }
  const scored = Array.from(found, ([id, weight]) => ({ id, score: Math.log(weight) }))
    .sort((a, b) => b.score - a.score || a.id - b.id)
  return { ids: scored.map(({ id }) => id), scores: scored.map(({ score }) => score) }
}

const scored = new Map<number, Candidates>()
const scoredContexts = 20_000

/** @internal */
export const candidates = (context: ReadonlyArray<number>): Candidates => {
  const key = contextKey(context, context.length) * (order + 1) + context.length
  const known = scored.get(key)
  if (known !== undefined) return known
  if (scored.size >= scoredContexts) scored.clear()
  const found = score(context)
  scored.set(key, found)
  return found
}
