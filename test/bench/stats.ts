/** The middle of some figures, and how far they spread. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const quantile = (figures: ReadonlyArray<number>, at: number): number => {
  const sorted = [...figures].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))] ?? Number.NaN
}

export const spread = (figures: ReadonlyArray<number>): Spread => ({
  median: quantile(figures, 0.5),
  min: Math.min(...figures),
  max: Math.max(...figures)
})
