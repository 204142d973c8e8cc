/** The table of docs/architecture.md, row by row: a state and a signal give text, a state and a command. */
import { describe, expect, it } from "@effect/vitest"
import { Duration } from "effect"
import type { Signal, State, Subject } from "../../../src/internal/stream/signals.js"
import { rows } from "./rows.js"
import {
  after,
  beginning,
  broken,
  closing,
  connected,
  data,
  direct,
  done,
  ended,
  frames,
  gap,
  gone,
  head,
  hear,
  idle,
  reset,
  result,
  resultOf,
  say,
  slow,
  status,
  subject,
  tail,
  textOf,
  toldBy,
  unanswered,
  unasked,
  undecoded,
  unread,
  unreadable
} from "./words.js"

const abc = after("abc")
const again = hear(subject, abc, connected).state
const lost = hear(subject, abc, frames(gap)).state
const none = { silent: false, late: false, overdue: false }
const shared = (state: State): State => ({ ...state, alone: false })

rows("frames", [
  ["none say nothing", beginning, frames(), "", "Listen", { heard: false }, "none"],
  ["a head is heard, and is no text", beginning, frames(head), "", "Listen", { heard: true, started: true }, "none"],
  ["text is delivered", beginning, frames(head, data("ab"), data("c")), "abc", "Listen", { offset: 3 }, "progress"],
  ["text goes on", abc, frames(data("de")), "de", "Listen", { offset: 5, letPass: 0 }, "progress"],
  ["an empty frame is no text", abc, frames(data("")), "", "Listen", { offset: 3 }, "none"],
  ["U+FFFD inside other text is text (F51)", abc, frames(data("\uFFFDx")), "\uFFFDx", "Listen"],
  ["the end asks for the result", abc, frames(done), "", "ReadResult"],
  ["text before the end is delivered", abc, frames(data("d"), done), "d", "ReadResult", {}, "progress"],
  ["nothing is read after the end (F34)", abc, frames(done, data("d")), "", "ReadResult"],
  ["a damaged one asks for another connection (F31)", abc, frames(unreadable, data("d")), "", "Retry RWKVDecodeError"],
  ["text before a damaged one is delivered", abc, frames(data("d"), unreadable), "d", "Retry RWKVDecodeError"],
  [
    "a failure of the server fails (F79)",
    abc,
    frames(data("d"), { _tag: "Failed", description: "out of memory" }),
    "d",
    "Fail RWKVServerError"
  ],
  ["one that is too large fails (F32)", abc, frames({ _tag: "TooLarge" }), "", "Fail RWKVDecodeError"]
])

rows("a connection that reads anew", [
  ["begins at the start of the text", { ...lost, passed: 2 }, connected, "", "Listen", {
    offset: 0,
    passed: 0,
    aligned: true,
    witnessed: false
  }],
  ["is no witness of a direct run (H15)", after("abc", direct), connected, "", "Listen", { witnessed: false }],
  ["repeats what is known", again, frames(head, data("ab")), "", "Listen", { offset: 2 }, "repeated"],
  ["goes on inside a frame", again, frames(data("abcd"), data("e")), "de", "Listen", { offset: 5 }, "progress"],
  ["goes on at the border of a frame", again, frames(data("abc"), data("d")), "d", "Listen", { offset: 4 }],
  ["contradicts what was delivered (F52)", again, frames(data("abx")), "", "Fail StreamTruncatedError"],
  ["contradicts it in a later frame", again, frames(data("ab"), data("x")), "", "Fail StreamTruncatedError"],
  ["is not believed where others wrote to the buffer (H15)", shared(abc), connected, "", "Fail StreamTruncatedError"]
])

rows("a frame that the server could not decode (H10)", [
  ["is a gap", abc, frames(gap), "", "Listen", { aligned: false, passed: 0 }, "repeated"],
  ["ends the text of its connection", abc, frames(data("d"), gap), "d", "Listen", { aligned: false }, "progress"],
  ["makes the next frame ask for another connection", lost, frames(data("e")), "", "Reconnect", { letPass: 1 }],
  ["is followed by the end: no other connection is needed", lost, frames(done), "", "ReadResult"],
  ["lets as many frames pass as there is letPass", { ...lost, letPass: 1 }, frames(data("e")), "", "Listen", {
    passed: 1
  }],
  [
    "asks when letPass has ended",
    { ...lost, letPass: 1, passed: 1 },
    frames(data("e")),
    "",
    "Reconnect",
    { letPass: 3 },
    "repeated"
  ],
  ["is not read around where others write (H15)", shared(lost), frames(data("e")), "", "Fail StreamTruncatedError"]
])

describe("frames that the server could not decode", () => {
  it("once: the text is complete, exactly once", () => {
    const step = hear(subject, abc, frames(gap), frames(data("f")), connected, frames(data("abcdé"), data("f")))
    expect(textOf(step)).toBe("déf")
    expect(step.state).toMatchObject({ delivered: "abcdéf", letPass: 0 })
  })

  it("at every border, for ever: each connection lets more of them pass, up to 63", () => {
    const passes: Array<number> = []
    let state = abc
    for (let connection = 0; connection < 8; connection++) {
      state = hear(subject, state, connected, frames(head, gap)).state
      for (let passed = 1;; passed++) {
        const step = hear(subject, state, frames(gap))
        state = step.state
        expect(step.told).toEqual([])
        if (step.command._tag === "Listen") continue
        expect(say(step.command)).toBe("Reconnect")
        passes.push(passed)
        break
      }
    }
    expect(passes).toEqual([1, 2, 4, 8, 16, 32, 64, 64])
    expect(state.letPass).toBe(63)
  })

  it("new text makes it impatient again", () => {
    expect(hear(subject, { ...again, letPass: 31 }, frames(data("abc"))).state.letPass).toBe(31)
    expect(hear(subject, { ...again, letPass: 31 }, frames(data("abcd"))).state.letPass).toBe(0)
  })
})

rows("the end of a connection", [
  ["without its mark, before anything (F91)", beginning, ended, "", "AskStatus", { question: none }],
  ["without its mark, later (H9)", abc, ended, "", "Retry StreamTruncatedError"],
  ["without its mark, where others write (H15)", shared(abc), ended, "", "Fail StreamTruncatedError"],
  ["without its mark, and without news (F91)", again, ended, "", "AskStatus", { question: none }],
  ["by a failure, before anything (F91)", beginning, broken(reset), "", "AskStatus", { question: none }],
  ["by a failure, without news (F91)", again, broken(reset), "", "AskStatus"],
  ["by a failure, later", abc, broken(reset), "", "Retry RWKVConnectionError, then StreamTruncatedError"],
  ["by a failure, where others write (H15)", shared(abc), broken(reset), "", "Fail StreamTruncatedError"],
  ["by what cannot be repeated, before anything", beginning, broken(gone), "", "Fail TaskNotFoundError"],
  ["by what cannot be repeated, later (F44)", abc, broken(gone), "", "Fail StreamTruncatedError"],
  ["by a whole request's time for nothing", beginning, broken(slow), "", "AskStatus"],
  ["by a request's time, later", abc, broken(slow), "", "Retry RWKVTimeoutError, then StreamTruncatedError"],
  ["by what cannot be repeated, without news", again, broken(gone), "", "Fail StreamTruncatedError"]
])

const cut = hear(subject, { ...again, tokens: 5 }, broken(reset)).state
const late = hear(subject, beginning, broken(slow)).state
const over = { cut: undefined }

rows("the status after a cut without news (F91)", [
  [
    "it waits for its turn",
    cut,
    status("Ready", 0),
    "",
    "Retry RWKVConnectionError, then StreamTruncatedError",
    over,
    "queued"
  ],
  [
    "the task moved",
    cut,
    status("Running", 6),
    "",
    "Retry RWKVConnectionError, then StreamTruncatedError",
    over,
    "progress"
  ],
  [
    "the task stands still",
    cut,
    status("Running", 5),
    "",
    "Retry RWKVConnectionError, then StreamTruncatedError",
    over,
    "none"
  ],
  ["the task is finished", cut, status("Finished", 9), "", "ReadResult", over],
  ["it is not known", cut, unasked(reset), "", "Retry RWKVConnectionError, then StreamTruncatedError", over, "none"],
  ["no answer", cut, unanswered(false), "", "Retry RWKVConnectionError, then StreamTruncatedError", over, "none"],
  ["a whole request's time, and it waits for its turn", late, status("Ready", 0), "", "Retry RWKVTimeoutError", over],
  ["a whole request's time, and the task moved", late, status("Running", 1), "", "Retry RWKVTimeoutError", over],
  ["a whole request's time, and nothing moved", late, status("Running", 0), "", "Retry RWKVTimeoutError", over],
  [
    "nothing moved for too long",
    { ...cut, question: { ...none, late: true } },
    status("Running", 5),
    "",
    "Fail RWKVTimeoutError"
  ],
  [
    "it moved, though late",
    { ...cut, question: { ...none, late: true } },
    status("Running", 6),
    "",
    "Retry RWKVConnectionError, then StreamTruncatedError",
    over,
    "progress"
  ],
  [
    "it waits for too long",
    { ...cut, question: { ...none, overdue: true } },
    status("Ready", 0),
    "",
    "Fail RWKVTimeoutError"
  ],
  ["a whole request's time, and no status", late, unasked(slow), "", "Fail RWKVTimeoutError", over]
])

const asked = (silent: boolean, late: boolean, tokens = -1, state = abc, overdue = false) =>
  hear(subject, { ...state, tokens }, idle(silent, late, overdue)).state

rows("silence", [
  ["asks for the status", abc, idle(true, false), "", "AskStatus", { question: { ...none, silent: true } }],
  ["and the task is finished (H1)", asked(true, true), status("Finished", 9), "", "ReadResult", {
    witnessed: false
  }, "progress"],
  ["and the task is finished, at a later look", asked(true, true, 9), status("Finished", 9), "", "ReadResult", {}],
  [
    "and the task is finished: the witness has not told all",
    asked(true, false, 9, after("abc", direct)),
    status("Finished", 9),
    "",
    "ReadResult",
    { witnessed: false }
  ],
  ["the task moved, and this connection tells nothing", asked(true, false, 5), status("Running", 6), "", "Reconnect", {
    tokens: 6
  }, "progress"],
  ["the task moved, and this connection repeats text", asked(false, false, 5), status("Running", 6), "", "Listen", {
    tokens: 6
  }, "progress"],
  [
    "the task moved, and others may have moved it (H15)",
    shared(asked(true, false, 5)),
    status("Running", 6),
    "",
    "Listen"
  ],
  ["the first look: it runs, and something was told", asked(true, false), status("Running", 6), "", "Listen", {}],
  [
    "the first look: it runs, and nothing was told",
    asked(true, false, -1, again),
    status("Running", 6),
    "",
    "Reconnect"
  ],
  ["the first look: it has not begun", asked(true, false, -1, again), status("Ready", 0), "", "Listen", {
    tokens: 0
  }, "queued"],
  ["the task stands still, not for long", asked(true, false, 5), status("Running", 5), "", "Listen", {}, "none"],
  ["the task stands still for too long (F41)", asked(true, true, 5), status("Running", 5), "", "Fail RWKVTimeoutError"],
  ["late, but the task moved", asked(false, true, 5), status("Running", 6), "", "Listen", {}, "progress"],
  ["late, and it waits for its turn (F91)", asked(true, true, 0), status("Prefill", 0), "", "Listen", {}, "queued"],
  ["it is ready", asked(true, true, 0), status("Ready", 0), "", "Listen", {}, "queued"],
  [
    "it has waited for too long (H32)",
    asked(true, false, 0, abc, true),
    status("Ready", 0),
    "",
    "Fail RWKVTimeoutError"
  ],
  ["it had waited, and runs now", asked(true, false, 0, abc, true), status("Running", 0), "", "Listen", {}, "none"],
  ["no status, not for long (H35)", asked(true, false), unasked(gone), "", "Listen"],
  ["no status for too long", asked(true, true), unasked(gone), "", "Fail StreamTruncatedError"],
  ["a server that fails", asked(true, false), unasked(reset), "", "Fail StreamTruncatedError"],
  ["a server that fails, but signals came", asked(true, false), unasked(reset, true), "", "Listen"],
  [
    "no status for too long, and nothing was heard",
    asked(true, true, -1, beginning),
    unasked(gone),
    "",
    "Fail TaskNotFoundError"
  ],
  ["no answer, but signals came", asked(true, false), unanswered(true), "", "Listen"],
  ["no answer, and nothing came", asked(true, false), unanswered(false), "", "Fail RWKVTimeoutError"],
  ["no answer for too long", asked(true, true), unanswered(true), "", "Fail RWKVTimeoutError"]
])

rows("the result", [
  ["ends the text", abc, result("abc"), "", "End"],
  ["brings the rest (H31)", abc, result("abcde"), "de", "End", {}, "progress"],
  ["is all there is", beginning, result("abc"), "abc", "End", { started: true }],
  ["is empty", beginning, result(""), "", "End", { started: true }],
  ["contradicts what was delivered (F52)", abc, result("abx"), "", "Fail StreamTruncatedError"],
  ["is shorter than what was delivered", abc, result("ab"), "", "Fail StreamTruncatedError"],
  ["is not finished", abc, result("abcde", { finished: false }), "", "Retry StreamTruncatedError"],
  [
    "is not finished, and others write (H15)",
    shared(abc),
    result("ab", { finished: false }),
    "",
    "Fail StreamTruncatedError"
  ],
  ["cannot be decoded (H11)", abc, undecoded, "", "End"],
  ["is of a buffer that others wrote to (H15)", shared(abc), result("xyz"), "", "Fail StreamTruncatedError"],
  ["is of such a buffer, and its own connection told all", shared(after("abc", direct)), result("xyz"), "", "End"],
  [
    "is of such a buffer, and its own connection had a gap",
    shared({ ...after("abc", direct), aligned: false }),
    result("xyz"),
    "",
    "Fail StreamTruncatedError"
  ],
  ["could not be read", abc, unread(reset), "", "Fail StreamTruncatedError"],
  [
    "could not be read after the end",
    hear(subject, abc, frames(done)).state,
    unread(reset),
    "",
    "Fail StreamTruncatedError"
  ],
  ["could not be read, and nothing was heard", beginning, unread(reset), "", "Fail RWKVConnectionError"]
])

describe("what the result says", () => {
  const finished = (state: State, signal: Signal) => hear(subject, state, signal).told.at(-1)

  it("is the server's", () => {
    expect(finished(abc, result("abcde"))).toEqual({ _tag: "Finished", result: resultOf("abcde") })
  })

  it("is what was delivered where the server cannot decode the end (H11)", () => {
    expect(finished(abc, undecoded)).toMatchObject({ result: { text: "abc", undecodedTail: true } })
    // Its own connection has told everything.
    expect(finished(after("abc", direct), undecoded)).toMatchObject({ result: { text: "abc", undecodedTail: false } })
  })

  it("is what its own connection told where others wrote to the buffer (H15)", () => {
    expect(finished(shared(after("abc", direct)), result("xyz"))).toMatchObject({ result: { text: "abc" } })
  })
})

const fromToken: Subject = { ...subject, fromToken: 3 }
const awaitsTail = hear(fromToken, abc, result("0 abcd")).state

rows("the text from a token", [
  ["needs its own tail", abc, result("0 abcd"), "", "ReadTail 0 abcd"],
  ["ends with it", awaitsTail, tail("abcd"), "d", "End"],
  ["contradicts what was delivered", awaitsTail, tail("bcd"), "", "Fail StreamTruncatedError"],
  ["ends with what is known where the tail cannot be read", awaitsTail, tail(undefined), "", "End"],
  ["could not be read", awaitsTail, unread(reset), "", "Fail StreamTruncatedError"],
  ["was not asked for", abc, tail("abcd"), "", "Listen"],
  ["cannot be decoded (H11)", abc, undecoded, "", "End"]
], fromToken)

rows("the end of the client", [
  ["fails", abc, closing, "", "Fail RWKVConnectionError"],
  ["fails before anything", beginning, closing, "", "Fail RWKVConnectionError"]
])

rows("a run that others write over (H15)", [
  ["is told by its own connection", shared(after("abc", direct)), frames(data("d")), "d", "Listen"],
  ["is not told by another one", shared(again), frames(data("abcd")), "", "Fail StreamTruncatedError"]
])

describe("what is told first", () => {
  it("is that the task began, by the head", () => {
    const step = hear(subject, beginning, frames(head, data("a")))
    expect(step.told).toEqual([{ _tag: "Started", prefillTime: Duration.seconds(0.5) }, { _tag: "Text", text: "a" }])
    expect(toldBy(hear(subject, step.state, connected, frames(head, data("ab"))))).toEqual(["Text"])
  })

  it("is the same without a head", () => {
    expect(toldBy(hear(subject, beginning, frames(data("a"))))).toEqual(["Started", "Text"])
    expect(hear(subject, beginning, result("a")).told[0]).toEqual({
      _tag: "Started",
      prefillTime: Duration.seconds(0.25)
    })
  })

  it("is not said twice where the answer to a create said it", () => {
    expect(toldBy(hear(subject, { ...beginning, started: true }, frames(head, data("a"))))).toEqual(["Text"])
  })
})

describe("a text without end", () => {
  it("fails beyond what a run can have", () => {
    const long = "x".repeat(64 * 1024 * 1024)
    const step = hear(subject, { ...abc, delivered: long, offset: long.length }, frames(data("y")))
    expect(say(step.command)).toBe("Fail RWKVDecodeError")
    expect(step.told).toEqual([])
  })
})
