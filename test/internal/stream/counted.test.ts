/** What the tokens of a direct run's frames tell: rows of docs/architecture.md. */
import { describe, expect, it } from "@effect/vitest"
import { Duration } from "effect"
import type { RWKVError } from "effect-rwkv"
import type { State, Subject } from "../../../src/internal/stream/signals.js"
import type { Frame } from "../../../src/internal/wire/sse.js"
import { rows } from "./rows.js"
import {
  after,
  connected,
  direct,
  done,
  frames,
  gap,
  gone,
  head,
  hear,
  reset,
  result,
  resultOf,
  subject,
  undecoded,
  unread
} from "./words.js"

const counted: Subject = { ...subject, maxTokens: 72, prefillTime: Duration.seconds(2) }
const abc = after("abc")
const again = hear(subject, abc, connected).state
const shared = (state: State): State => ({ ...state, alone: false })

/** A frame of a `POST` stream that tells of so many tokens. */
const told = (text: string, tokens: number): Frame => ({ _tag: "Data", text, generationTime: 0.5, speed: 2 * tokens })
const frame = told("x".repeat(32), 32)
const shorter = told("y".repeat(8), 8)
const heard = (...all: ReadonlyArray<Frame>) => hear(counted, direct, frames(head, ...all, done)).state
const whole = heard(frame, frame, shorter)
const short = heard(frame, shorter)
const early = heard(frame, told("z".repeat(20), 20))
const allOfIt = "x".repeat(64) + "y".repeat(8)

rows("tokens of a direct run that asked for 72 (F98)", [
  ["are all there, and others write", shared(whole), result("?"), "", "End"],
  ["are too few, and others write", shared(short), result("?"), "", "Fail StreamTruncatedError"],
  ["ended early: nothing tells", shared(early), result("?"), "", "End"],
  ["are too few, and the result cannot be decoded", short, undecoded, "", "Fail StreamTruncatedError"],
  ["are too few: the buffer tells what is missing", short, result(allOfIt), "", "Fail StreamTruncatedError"],
  ["are all there: the buffer tells the same", whole, result(allOfIt), "", "End"]
], counted)

describe("an end that the server cannot be asked about (F99)", () => {
  const unconfirmed = (state: State, error: RWKVError.TaskFailure, about = counted) =>
    hear(about, state, unread(error)).command

  it("is proven by tokens that add up", () => {
    for (const error of [reset, gone]) {
      const { command, told } = hear(counted, shared(whole), unread(error))
      expect(command._tag).toBe("End")
      expect(told).toEqual([{
        _tag: "Finished",
        result: resultOf(allOfIt, {
          generationTime: Duration.seconds(1.5),
          prefillTime: Duration.seconds(2),
          speed: 72 / 1.5
        })
      }])
    }
  })

  it("is not confirmed by others", () => {
    const text = "x".repeat(32) + "z".repeat(20)
    expect(unconfirmed(early, reset)).toMatchObject({ error: { unconfirmed: true, text, cause: reset } })
    expect(unconfirmed(whole, reset, subject)).toMatchObject({ error: { unconfirmed: true, text: allOfIt } })
    const subscribed = hear(subject, abc, frames(done)).state
    expect(unconfirmed(subscribed, reset)).toMatchObject({ error: { unconfirmed: true, text: "abc" } })
  })

  it("is none where text is missing, the end mark is, or the server answered", () => {
    expect(unconfirmed(short, reset)).toMatchObject({ error: { unconfirmed: false } })
    expect(unconfirmed(abc, reset)).toMatchObject({ error: { unconfirmed: false } })
    expect(unconfirmed(hear(subject, abc, frames(gap, done)).state, reset)).toMatchObject({
      error: { unconfirmed: false }
    })
    expect(unconfirmed(hear(subject, again, frames(done)).state, reset)).toMatchObject({
      error: { unconfirmed: false }
    })
    expect(unconfirmed(early, gone)).toMatchObject({ error: { unconfirmed: false, cause: gone } })
  })
})
