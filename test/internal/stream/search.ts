/** A search for stop sequences that is too simple to be wrong, and too slow to be used. */
/** Where a text ends, and by which sequence: before the one that is complete first, the longest of several. */
export const search = (sequences: ReadonlyArray<string>, text: string) => {
  for (let end = 1; end <= text.length; end++) {
    const [longest] = sequences
      .filter((sequence) => text.slice(0, end).endsWith(sequence))
      .sort((a, b) => b.length - a.length)
    if (longest !== undefined) return { length: end - longest.length, matched: longest }
  }
  return { length: text.length, matched: undefined }
}

/** How much of a text is certain: as much as is left of it however it goes on. */
export const certain = (sequences: ReadonlyArray<string>, text: string) => {
  // Only the rest of a sequence can take anything away.
  const rests = sequences.flatMap((sequence) => sequence.split("").map((_, i) => sequence.slice(i)))
  return Math.min(...["", ...rests].map((rest) => search(sequences, text + rest).length), text.length)
}
