import { describe, expect, it } from "@effect/vitest"
import * as Stops from "../../../src/internal/stream/stops.js"

/** What is told piece by piece, what is told at the end, and the sequence that ended the text. */
const read = (sequences: ReadonlyArray<string>, pieces: ReadonlyArray<string>) => {
  const matcher = Stops.make(sequences)
  let place = matcher.start
  let matched: string | undefined
  const told = pieces.map((piece) => {
    const step = matcher.push(place, piece)
    place = step.place
    matched = step.matched
    return step.text
  })
  return { told, end: matcher.end(place), matched }
}

const turns = ["\n\nUser:", "\nUser"]

describe("stop sequences", () => {
  it("a text without any is told as it comes", () => {
    expect(read(turns, ["Hello", " world", ".\n"])).toEqual({
      told: ["Hello", " world", "."],
      end: "\n",
      matched: undefined
    })
  })

  it("a turn of the user ends the text before its line breaks, however it is cut", () => {
    for (
      const pieces of [["Yes.\n\nUser: more"], ["Yes.", "\n\n", "User", ": more"], Array.from("Yes.\n\nUser: more")]
    ) {
      const { end, matched, told } = read(["\n\nUser:"], pieces)
      expect([told.join(""), end, matched]).toEqual(["Yes.", "", "\n\nUser:"])
    }
  })

  it("of two the one that is complete first ends the text, though the other began before it", () => {
    // "\nUser" is complete one unit before "\n\nUser:" is, which therefore never is.
    expect(read(turns, ["Yes.\n\nUser:"])).toEqual({ told: ["Yes.\n"], end: "", matched: "\nUser" })
    expect(read(["abcd", "bc"], ["xab", "cd"])).toEqual({ told: ["xa", ""], end: "", matched: "bc" })
  })

  it("of two that are complete at once the longest ends the text", () => {
    expect(read(["User:", "\n\nUser:", "\nUser:"], ["Yes.\n\nUse", "r:"])).toEqual({
      told: ["Yes.", ""],
      end: "",
      matched: "\n\nUser:"
    })
  })

  it("what cannot end the text any more is told at once, and no more of it is held than might", () => {
    expect(read(["\n\nUser:"], ["Yes.\n\nUse", "ful.", "\n", "\n", "\n", "U"])).toEqual({
      told: ["Yes.", "\n\nUseful.", "", "", "\n", ""],
      end: "\n\nU",
      matched: undefined
    })
  })

  it("a sequence with another inside, complete before it, holds nothing back", () => {
    expect(read(["User: \n", "User"], ["a User"]).matched).toBe("User")
    // Without "bc" this "a" would have to wait for "abcd".
    expect(read(["abcd", "bc"], ["a"])).toEqual({ told: ["a"], end: "", matched: undefined })
  })

  it("after the end nothing is told, whatever comes", () => {
    expect(read(["END"], ["a END", "b", "END"])).toEqual({ told: ["a ", "", ""], end: "", matched: "END" })
  })

  it("characters of two units are told whole, also where another shares their first half", () => {
    expect("😀"[0]).toBe("😁"[0])
    expect(read(["😀😀"], ["a😀", "😁", "😀😀b"])).toEqual({ told: ["a", "😀😁", ""], end: "", matched: "😀😀" })
    expect(read(["😀"], ["a😁"])).toEqual({ told: ["a😁"], end: "", matched: undefined })
  })

  it("a piece that ends in the middle of a character is joined with the next", () => {
    const [high = "", low = ""] = "😀".split("")
    expect(read(["😀!"], [`a${high}`, low, "!"])).toEqual({ told: ["a", "", ""], end: "", matched: "😀!" })
    expect(read(["😀!"], [`a${high}`, low, "?"])).toEqual({ told: ["a", "", "😀?"], end: "", matched: undefined })
  })

  it("characters that mean something in a pattern are characters", () => {
    expect(read(["]", "^", "\\"], ["a.-[", "b]"])).toEqual({ told: ["a.-[", "b"], end: "", matched: "]" })
    expect(read(["-]"], ["a-", "b", "-", "]"])).toEqual({ told: ["a", "-b", "", ""], end: "", matched: "-]" })
  })

  it("without a sequence every text is told", () => {
    expect(read([], ["a", "]"])).toEqual({ told: ["a", "]"], end: "", matched: undefined })
  })
})
