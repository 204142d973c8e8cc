/**
 * What one stream remembers: the machine's state and command, the elements that were told and not taken yet, and the
 * retry schedule since the last new text.
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
  /** Known from the answer to a create, otherwise from the first frame. */
  readonly prefillTime?: Duration.Duration | undefined
  /** The open POST stream of a direct transport, and what was read of it already. */
  readonly opened?: { readonly connection: Connection; readonly signals: ReadonlyArray<Signal> } | undefined
  /**
   * Present if other tasks may write to the buffer that `get_result` reads (H15): then a whole POST stream is trusted
   * instead.
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

/** How long a connection lasts that was not cut at once, and the least pause before a spent retry schedule restarts. */
export const breath = "1 second"

export type Mind = Pick<ReturnType<typeof make>, "failing" | "hear" | "hold" | "pause">

/** How a task is parted from after a command. */
const howOf = (command: Command): How => {
  if (command._tag === "Conclude" && command.result === undefined) return "cut"
  return command._tag === "Conclude" || command._tag === "End" ? "finished" : "left"
}

/** Tells the watchdog of text, progress and queueing. */
const tellWatchdog = (watchdog: Watchdog, signal: Signal, life: Step["life"]): void => {
  if (signal._tag === "Frames" && life !== "none") watchdog.heard(life === "progress")
  else if (life === "progress" || life === "queued") watchdog.moved(life === "queued")
}

const isCut = ({ _tag }: Signal) => _tag === "Ended" || _tag === "Broken"

/** The last failure since new text, and the retry schedule that says when to try again. */
const makeFailures = (retry: Polling.RetrySchedule) => {
  let driver: Schedule.ScheduleDriver<unknown, FollowFailure> | undefined
  /**
   * Whether a status since the retry schedule began said that the task is queued or moved, or came after a connection
   * that held.
   */
  let alive = false
  let held = false
  /** Whether the server has answered since the connection was cut. */
  let answered = false
  let last: FollowFailure | undefined
  return {
    /** The failure that led to a reconnect, unless the server has answered since. */
    last: () => last,
    end: () => {
      driver = last = undefined
    },
    /** Called once the connection has lasted for `breath`. */
    hold: () => {
      held = true
    },
    onSignal: (signal: Signal, life: Step["life"]) => {
      answered = signal._tag === "Status" || answered && !isCut(signal)
      if (signal._tag === "Status") alive = alive || held || life !== "none"
      if (signal._tag === "Connected") held = false
    },
    /** Waits as the retry schedule says. It restarts with new text, and once spent, if the task is known to live. */
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
  let untaken: Array<A> = []
  const failures = makeFailures(policy.retry)
  let hasText = false
  observed?.tells(() => state.delivered.slice(0, state.told))

  const tell = (told: Told) => {
    const made = telling.element(told, taskId)
    if (made !== undefined) untaken.push(made)
    if (told._tag === "Text") {
      failures.end()
      if (!hasText) observed?.firstText()
      hasText = true
    }
    if (told._tag === "Finished") {
      parting.keep(told.result)
      // An ended run writes to no buffer any more; one that was cut may, if its stop misses (H29).
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
      // No `Idle` comes between connections, so the silence of a cut is read here.
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
      tellWatchdog(watchdog, signal, step.life)
      failures.onSignal(signal, step.life)
    },
    take: () => {
      const told = untaken
      untaken = []
      return told
    }
  }
}
