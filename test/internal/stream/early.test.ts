/** Rows of the table of docs/architecture.md about a question that waits for no silence. */
import type { Signal } from "../../../src/internal/stream/signals.js"
import { rows } from "./rows.js"
import { direct, hear, reset, status, subject, unanswered, unasked } from "./words.js"

const feared: Signal = { _tag: "Idle", early: true, silent: false, late: false, overdue: false }
const early = hear(subject, direct, feared).state

rows("silence that is only feared (H4)", [
  ["asks for the status, once", direct, feared, "", "AskStatus", { question: feared }],
  ["and the task has ended without a token", early, status("Finished", 0), "", "ReadResult", {}, "progress"],
  ["and the task has ended: its frames are on their way", early, status("Finished", 3), "", "Listen", {
    tokens: 3,
    witnessed: true
  }],
  ["and the task runs", early, status("Running", 0), "", "Listen", { witnessed: true }],
  ["and the task waits for its turn", early, status("Ready", 0), "", "Listen", {}, "queued"],
  ["and the question fails", early, unasked(reset), "", "Listen", { witnessed: true }],
  ["and the question is not answered", early, unanswered(false), "", "Listen", { witnessed: true }]
])
