/**
 * Counts the tokens of a POST stream's frames. All but the last hold the same number, 32 unless the operator changed
 * it. A frame's time and speed give its number up to 12 % too low, never too high (H1).
 */
import type { Frame } from "../wire/sse.js"

export interface Count {
  readonly frames: number
  /** How long the frames took, in seconds. */
  readonly seconds: number
  /** The fewest and the most tokens of a frame before the last; NaN if one had no figures. */
  readonly least: number
  readonly most: number
  readonly last: number
}

export const none: Count = { frames: 0, seconds: 0, least: Infinity, most: 0, last: 0 }

export const add = (
  count: Count,
  { generationTime = NaN, speed = NaN, text }: Extract<Frame, { readonly _tag: "Data" }>
): Count => {
  const tokens = generationTime * speed
  const isFirst = count.frames === 0
  return {
    frames: count.frames + 1,
    seconds: count.seconds + generationTime,
    least: isFirst ? Infinity : Math.min(count.least, count.last),
    most: isFirst ? 0 : Math.max(count.most, count.last),
    last: tokens > 0 || tokens === 0 && text === "" ? tokens : NaN
  }
}

/** A frame never holds more: no run has more tokens. */
const mostTokens = 40_960

const fits = (told: number, tokens: number) => told >= 0.88 * tokens && told <= 1.01 * tokens

/** How many tokens a full frame may hold. With a single frame it may be 32, or a larger power of two. */
const sizes = ({ frames, last, least, most }: Count): ReadonlyArray<number> => {
  if (frames < 2) return [32, 64, 128, 256].filter((size) => last <= 1.01 * size)
  if (!(most <= mostTokens)) return []
  const power = 2 ** Math.round(Math.log2(most))
  if (fits(most, power) && most > 0.985 * power && fits(least, power)) return [power]
  const found: Array<number> = []
  for (let size = Math.ceil(most / 1.01); 0.88 * size <= least; size++) found.push(size)
  return found
}

/**
 * Whether all frames of an ended run are there. `"short"`: fewer than `maxTokens` ask for, and the last is as long as
 * the last of all would be. A run that ended early proves nothing.
 */
export const judge = (count: Count, maxTokens: number | undefined): "whole" | "short" | "unknown" => {
  if (maxTokens === undefined) return "unknown"
  if (count.frames === 0) return "short"
  let isWhole = false
  for (const size of sizes(count)) {
    const frames = Math.ceil(maxTokens / size)
    const isLast = fits(count.last, maxTokens - (frames - 1) * size)
    if (count.frames < frames && isLast) return "short"
    isWhole = isWhole || count.frames >= frames && (isLast || count.frames > 1)
  }
  return isWhole ? "whole" : "unknown"
}
