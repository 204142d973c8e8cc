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

/** Where the median of such figures is, in 95 of 100 cases: by drawing from them as many, again and again. */
export const medianInterval = (figures: ReadonlyArray<number>): readonly [number, number] => {
  const draw = () => figures[Math.floor(Math.random() * figures.length)] ?? Number.NaN
  const medians = Array.from({ length: 2000 }, () => quantile(figures.map(draw), 0.5))
  return [quantile(medians, 0.025), quantile(medians, 0.975)]
}
