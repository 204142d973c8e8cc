/**
 * What a stream follows, and what it remembers of it: the machine's state, what was told and nobody took, and how often
 * it failed since the last new text.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Polling from "../../Polling.js"
import type { TaskId } from "../../Protocol.js"
import type { Run } from "../owner/ledger.js"
import type { Observed } from "../telemetry/record.js"
import { tame } from "../wire/retry.js"
import type { Connection } from "./connection.js"
import * as Machine from "./machine.js"
import type { How, Parting } from "./parting.js"
import type { Command, FollowFailure, Signal, State, Step, Told } from "./signals.js"
import type { Matcher } from "./stops.js"
import type { Telling } from "./telling.js"
import type { Watchdog } from "./watchdog.js"

export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  /** Known from the answer to a create, otherwise told by the first frame. */
  readonly prefillTime?: Duration.Duration | undefined
  /** The open POST stream of a direct transport, and what was read of it already. */
  readonly opened?: { readonly connection: Connection; readonly signals: ReadonlyArray<Signal> } | undefined
  /**
   * Present if other tasks may write to the buffer that `get_result` reads: then a whole POST stream is the better
   * witness.
   */
  readonly run?: Run | undefined
  /** The most tokens of the run, where they are known. */
  readonly maxTokens?: number | undefined
  readonly fromToken: number
}

export interface Policy {
  readonly idleTimeout: Duration.Duration
  readonly stallTimeout: Duration.Duration
  readonly queueTimeout: Duration.Duration
  /** How long the end of a connection may take. */
  readonly stopTimeout: Duration.Duration
  readonly retry: Polling.RetrySchedule
  readonly stops?: Matcher | undefined
  readonly parting: Parting
}

/** From when on a connection was not cut at once, and the least pause where the schedule of failures begins anew. */
export const breath = "1 second"

export type Mind = Pick<ReturnType<typeof make>, "failing" | "hear" | "hold" | "pause">

/** How a task is parted from after a command. */
const howOf = (command: Command): How => {
  if (command._tag === "Conclude" && command.result === undefined) return "cut"
  return command._tag === "Conclude" || command._tag === "End" ? "finished" : "left"
}

/** What the watchdog is told of a signal that the machine heard. */
const heed = (watchdog: Watchdog, signal: Signal, life: Step["life"]): void => {
  if (signal._tag === "Frames" && life !== "none") watchdog.heard(life === "progress")
  else if (life === "progress" || life === "queued") watchdog.moved(life === "queued")
}

const isCut = ({ _tag }: Signal) => _tag === "Ended" || _tag === "Broken"

/** What failed since the last new text, and how long it may go on to fail. */
const makeFailures = (retry: Polling.RetrySchedule) => {
  let driver: Schedule.ScheduleDriver<unknown, FollowFailure> | undefined
  /**
   * Whether the task was seen to be queued, or to move, since the schedule of failures began, or to run after a
   * connection that held.
   */
  let alive = false
  let held = false
  /** Whether the server has answered since the connection was cut. */
  let answered = false
  let last: FollowFailure | undefined
  return {
    /** The failure for which the text is read anew, unless the server has answered since. */
    last: () => last,
    end: () => {
      driver = last = undefined
    },
    /** The connection was not cut at once. */
    hold: () => {
      held = true
    },
    heed: (signal: Signal, life: Step["life"]) => {
      answered = signal._tag === "Status" || answered && !isCut(signal)
      if (signal._tag === "Status") alive = alive || held || life !== "none"
      if (signal._tag === "Connected") held = false
    },
    /** Waits as the retry schedule says, which begins anew with new text, and where it ended for a task that lives. */
    pause: ({ error, otherwise }: Extract<Command, { readonly _tag: "Retry" }>) =>
      Effect.gen(function*() {
        if (driver === undefined) alive = false
        last = answered ? undefined : error
        const steps = driver ??= yield* Schedule.driver(Polling.respectRetryAfter(tame(retry)))
        const paused = Effect.mapError(steps.next(error), () => otherwise)
        yield* Effect.catchAll(paused, (otherwise) => {
          if (!alive) return Effect.fail(otherwise)
          alive = false
          return Effect.zipLeft(Effect.zipRight(steps.reset, paused), Effect.sleep(breath))
        })
      })
  }
}

export const make = <A>(
  subject: Subject,
  policy: Policy,
  telling: Telling<A>,
  watchdog: Watchdog,
  observed: Observed | undefined
) => {
  const { opened, prefillTime, run, taskId } = subject
  const { parting } = policy
  const machine = Machine.step({ ...subject, ...policy, counts: telling.counts })
  let state: State = Machine.initial(opened !== undefined, prefillTime !== undefined)
  let command: Command = { _tag: "Listen" }
  let how: How = "left"
  let line: Array<A> = []
  const failures = makeFailures(policy.retry)
  let hasText = false
  observed?.tells(() => state.delivered.slice(0, state.told))

  const tell = (told: Told) => {
    const made = telling.element(told, taskId)
    if (made !== undefined) line.push(made)
    if (told._tag === "Text") {
      failures.end()
      if (!hasText) observed?.firstText()
      hasText = true
    }
    if (told._tag === "Finished") {
      parting.keep(told.result)
      // What the server has ended writes to no buffer any more; one that was cut may (H29).
      if (state.sequence === undefined) run?.leave()
      observed?.finished(told.result)
    }
  }
  return {
    tell,
    command: () => command,
    failing: failures.last,
    how: (): How => how === "left" && state.ended ? "finished" : how,
    hold: failures.hold,
    pause: failures.pause,
    hear: (signal: Signal) => {
      // Between connections nobody hears of silence.
      if (isCut(signal)) state = { ...state, question: watchdog.silence() }
      const step = machine(run === undefined ? state : { ...state, alone: run.alone() }, signal)
      if (signal._tag === "Result" || signal._tag === "Tail") {
        observed?.reconciled(step.state.delivered.length - state.delivered.length)
      }
      state = step.state
      command = step.command
      if (state.sequence !== undefined) parting.cut()
      if (how === "left") how = howOf(command)
      step.told.forEach(tell)
      heed(watchdog, signal, step.life)
      failures.heed(signal, step.life)
    },
    take: () => {
      const told = line
      line = []
      return told
    }
  }
}
