/**
 * The random numbers of the emulator: mulberry32.
 *
 * @since 0.1.0
 */

/**
 * A number in [0, 1), and the state to draw the next one from.
 *
 * @internal
 */
export const nextRandom = (state: number): readonly [value: number, state: number] => {
  const next = (state + 0x6d2b79f5) | 0
  let t = Math.imul(next ^ (next >>> 15), next | 1)
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
  return [((t ^ (t >>> 14)) >>> 0) / 4294967296, next]
}
