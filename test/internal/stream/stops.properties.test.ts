/**
 * Stop sequences against a search that is too simple to be wrong, and too slow to be used. FC_RUNS sets the number of
 * runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Stops from "../../../src/internal/stream/stops.js"
import { certain, search } from "./search.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 600)

const cutBy = (text: string, cuts: ReadonlyArray<number>, parts = text.split("")) => {
  const pieces: Array<string> = []
  for (let i = 0, n = 0; i < parts.length; n++) {
    const length = cuts[n % cuts.length] ?? 1
    pieces.push(parts.slice(i, i + length).join(""))
    i += length
  }
  return pieces
}

// Few characters, two of which share their first half.
const unit = FastCheck.constantFrom(...Array.from("aaabb\n😀😁"))

const string = (minLength: number, maxLength: number) => FastCheck.string({ unit, minLength, maxLength, size: "max" })

const cuts = FastCheck.array(FastCheck.nat(5), { minLength: 1, maxLength: 6 }).filter((cuts) => cuts.some((n) => n > 0))

/** Sequences of any kind, or parts of the text that are changed at the end: these almost match again and again. */
const cases = FastCheck.tuple(
  string(0, 40),
  FastCheck.array(string(1, 6), { minLength: 1, maxLength: 5 }),
  FastCheck.array(FastCheck.tuple(FastCheck.nat(40), FastCheck.integer({ min: 2, max: 12 }), unit), { maxLength: 5 }),
  FastCheck.boolean()
).map(([text, free, parts, mixed]) => {
  const characters = Array.from(text)
  const near = parts.map(([from, length, last]) => characters.slice(from, from + length - 1).join("") + last)
  return { text, sequences: near.length === 0 || mixed ? [...free, ...near] : near }
})

const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

describe("stop sequences, of any kind and in any text", () => {
  it.prop("at every moment all is told that is certain, and nothing else", { cases, cuts }, ({ cases, cuts }) => {
    const { sequences, text } = cases
    const matcher = Stops.make(sequences)
    let place = matcher.start
    let told = ""
    let read = ""
    for (const piece of cutBy(text, cuts)) {
      read += piece
      const step = matcher.push(place, piece)
      place = step.place
      told += step.text
      const { length, matched } = search(sequences, read)
      expect(step.matched).toBe(matched)
      expect(told).toBe(read.slice(0, matched === undefined ? certain(sequences, read) : length))
    }
    expect(told + matcher.end(place)).toBe(text.slice(0, search(sequences, text).length))
  }, { fastCheck: { numRuns } })

  it.prop("pieces of whole characters are told in whole characters", { cases, cuts }, ({ cases, cuts }) => {
    const { sequences, text } = cases
    const matcher = Stops.make(sequences)
    let place = matcher.start
    for (const piece of cutBy(text, cuts, Array.from(text))) {
      const step = matcher.push(place, piece)
      place = step.place
      expect(step.text).not.toMatch(lone)
    }
    expect(matcher.end(place)).not.toMatch(lone)
  }, { fastCheck: { numRuns } })

  it.prop("a place is a value: a text may go on from it twice", { cases, rest: string(0, 12) }, ({ cases, rest }) => {
    const { push, start } = Stops.make(cases.sequences)
    const { place } = push(start, cases.text)
    const once = push(place, rest)
    push(place, `${rest}a`)
    expect(push(place, rest)).toEqual(once)
  }, { fastCheck: { numRuns: Math.ceil(numRuns / 6) } })
})

/** All places of a matcher, each once. */
const placesOf = (start: Stops.Place): ReadonlyArray<Stops.Place> => [
  start,
  ...Array.from(start.next.values()).flatMap(placesOf)
]

describe("the cost of stop sequences", () => {
  const almost = Array.from({ length: 16 }, (_, i) => `${"a".repeat(240 + i)}${String.fromCharCode(98 + i)}`)
  const nested = Array.from({ length: 16 }, (_, i) => `${"ab".repeat(16 * i)}${"b".repeat(8)}${i}`)
  const hostile: ReadonlyArray<readonly [name: string, sequences: ReadonlyArray<string>, text: string]> = [
    ["a text that is all but a sequence everywhere", almost, "a".repeat(20_000)],
    ["a text that is all but a sequence again and again", almost, `${"a".repeat(239)}z`.repeat(80)],
    ["sequences inside sequences", nested, "ababababb".repeat(2000)],
    ["the usual sequences, and line breaks only", ["\n\nUser:", "\nUser"], "\n".repeat(20_000)]
  ]
  for (const [name, sequences, text] of hostile) {
    for (const length of [1, 100, text.length]) {
      it(`is linear for ${name}, in pieces of ${length}`, () => {
        const { push, start } = Stops.make(sequences)
        let steps = 0
        for (const { next } of placesOf(start)) {
          const get = next.get.bind(next)
          next.get = (unit) => {
            steps++
            return get(unit)
          }
        }
        let place = start
        let told = 0
        for (const piece of cutBy(text, [length])) {
          const step = push(place, piece)
          place = step.place
          told += step.text.length
        }
        expect(told + place.held.length).toBe(text.length)
        // A step goes on by a unit, or back in what the steps before it went on.
        expect(steps).toBeLessThanOrEqual(2 * text.length)
      })
    }
  }

  it("has a place for a unit at most, and of usual sequences no more than they are long", () => {
    expect(placesOf(Stops.make(almost).start)).toHaveLength(1 + 255 + 16)
    expect(placesOf(Stops.make(["\n\nUser:", "\nUser"]).start)).toHaveLength(1 + 5)
  })
})
