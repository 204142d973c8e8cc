/**
 * Stop sequences: where a text ends that comes in pieces, and how much of it may be told before that is known.
 *
 * The text ends before the sequence that is complete first, or the longest of those that are complete at once. What
 * might be the beginning of a sequence is held back, and nothing else is.
 *
 * An automaton (Aho-Corasick): its places are the beginnings of sequences, and a text is at the longest of them that it
 * ends with. A sequence with another inside that is complete before it never ends a text, and is left out. Then nothing
 * that is held contains a sequence, and the text can go on so that the sequence that was begun ends it: all that is
 * held has to be. A place that goes no further is the end of a sequence, and the longest of those that end there.
 *
 * Sequences are well-formed: none begins or ends inside a surrogate pair, so no pair is told in two.
 */

/** Where a text is: the longest end of it that begins a sequence. */
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
  /** What is left to tell of a text that ends by itself. */
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
  // The short ones first, because the way back of a place is found by that of the one before it.
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

  /** What a piece adds to what can be told, but for its last units. */
  const told = ({ held }: Place, piece: string, but: number) => {
    const length = held.length + piece.length - but
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
        return { place: at, text: told(place, piece.slice(0, i + 1), at.held.length), matched: at.held }
      }
    }
    return { place: at, text: told(place, piece, at.held.length), matched: undefined }
  }

  return { start, push, end: (place) => isEnd(place) ? "" : place.held }
}
