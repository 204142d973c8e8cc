/**
 * Suggests a known name for a misspelt one.
 */

/** Case, `_` and `-` do not count: other SDKs write `max_tokens`. */
const normalized = (name: string) => name.replace(/[_-]/g, "").toLowerCase()

/** The Levenshtein distance: letters to add, remove or change. */
const distance = (a: string, b: string): number => {
  let costs = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of Array.from(a).entries()) {
    let left = i + 1
    costs = [
      left,
      ...costs.slice(1).map((above, j) => {
        const diagonal = costs[j] ?? 0
        left = Math.min(above + 1, left + 1, letter === b[j] ? diagonal : diagonal + 1)
        return left
      })
    ]
  }
  return costs.at(-1) ?? 0
}

/**
 * The known name at the least distance, if that is small enough. Names over 40 characters are longer than any known.
 */
export const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  if (name.length > 40) return undefined
  const given = normalized(name)
  const costOf = (candidate: string) =>
    given.length > 3 && (candidate.includes(given) || given.includes(candidate)) ? 1 : distance(given, candidate)
  const [best] = known
    .map((candidate) => ({ candidate, cost: costOf(normalized(candidate)) }))
    .filter(({ candidate, cost }) => cost <= Math.max(1, candidate.length / 3))
    .sort((a, b) => a.cost - b.cost)
  return best?.candidate
}
