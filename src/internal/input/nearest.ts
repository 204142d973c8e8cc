/**
 * What a caller may have meant by a name that is not known.
 */

/** Names of other SDKs are written `max_tokens`. */
const plain = (name: string) => name.replace(/[_-]/g, "").toLowerCase()

/** How many letters have to be added, left out or changed. */
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
 * The known name that differs least, if it is alike at all. Names that are longer than any known one are not looked at.
 */
export const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  if (name.length > 40) return undefined
  const given = plain(name)
  const costOf = (candidate: string) =>
    given.length > 3 && (candidate.includes(given) || given.includes(candidate)) ? 1 : distance(given, candidate)
  const [best] = known
    .map((candidate) => ({ candidate, cost: costOf(plain(candidate)) }))
    .filter(({ candidate, cost }) => cost <= Math.max(1, candidate.length / 3))
    .sort((a, b) => a.cost - b.cost)
  return best?.candidate
}
