/**
 * Stop sequences: finds where a text that comes in pieces ends, and how much of it may be told before.
 *
 * The text ends before the sequence that is complete first, or the longest of those that are complete at once. Only
 * what might be the beginning of a sequence is held back.
 *
 * An Aho-Corasick automaton: its places are the beginnings of sequences, and a text is at the longest one that it ends
 * with. A sequence that contains another which is complete earlier never ends a text, and is left out. So held text
 * contains no whole sequence, and may always become one. A place without a next one is the end of a sequence.
 *
 * Sequences are well-formed: none begins or ends inside a surrogate pair, so no pair is told in two.
 */

/** Where a text is: its longest end that begins a sequence. */
export interface Place {
  readonly held: string
  readonly next: Map<number, Place>
  /** The longest shorter end of `held` that begins a sequence. */
  back: Place | undefined
}

interface Step {
  readonly place: Place
  /** What may be told now. */
  readonly text: string
  /** The sequence that ended the text. What comes after it is not told. */
  readonly matched: string | undefined
}

export interface Matcher {
  /** Where every text begins. */
  readonly start: Place
  readonly push: (place: Place, piece: string) => Step
  /** The held text, to be told when the run ends by itself. */
  readonly end: (place: Place) => string
}

const advance = (place: Place, unit: number): Place => {
  let at = place
  for (;;) {
    const next = at.next.get(unit)
    if (next !== undefined) return next
    if (at.back === undefined) return at
    at = at.back
  }
}

const build = (sequences: ReadonlyArray<string>): Place => {
  const start: Place = { held: "", next: new Map(), back: undefined }
  for (const sequence of sequences) {
    let at = start
    for (let i = 0; i < sequence.length; i++) {
      const unit = sequence.charCodeAt(i)
      const next = at.next.get(unit) ?? { held: sequence.slice(0, i + 1), next: new Map(), back: start }
      at.next.set(unit, next)
      at = next
    }
  }
  // Shorter places first: the `back` of a place is found through that of the one before it.
  const places = [start]
  for (const { back, next } of places) {
    for (const [unit, place] of next) {
      if (back !== undefined) place.back = advance(back, unit)
      places.push(place)
    }
  }
  return start
}

/** Finds the next unit that begins a sequence: the engine's own search is ten times as fast as a loop over units. */
const beginningsOf = ({ next }: Place): RegExp =>
  new RegExp(`[${Array.from(next.keys(), (unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")}]`)

export const make = (sequences: ReadonlyArray<string>): Matcher => {
  const start = build(
    sequences.filter((sequence) => !sequences.some((other) => sequence.slice(0, -1).includes(other)))
  )
  const beginnings = beginningsOf(start)

  const isEnd = (place: Place) => place !== start && place.next.size === 0

  /** The held text and the piece, without their last `omitted` units. */
  const tellable = ({ held }: Place, piece: string, omitted: number) => {
    const length = held.length + piece.length - omitted
    return length <= held.length ? held.slice(0, length) : held + piece.slice(0, length - held.length)
  }

  const push = (place: Place, piece: string): Step => {
    if (isEnd(place)) return { place, text: "", matched: place.held }
    let at = place
    for (let i = 0; i < piece.length; i++) {
      if (at === start) {
        const ahead = piece.slice(i).search(beginnings)
        if (ahead === -1) break
        i += ahead
      }
      at = advance(at, piece.charCodeAt(i))
      if (isEnd(at)) {
        return { place: at, text: tellable(place, piece.slice(0, i + 1), at.held.length), matched: at.held }
      }
    }
    return { place: at, text: tellable(place, piece, at.held.length), matched: undefined }
  }

  return { start, push, end: (place) => isEnd(place) ? "" : place.held }
}
