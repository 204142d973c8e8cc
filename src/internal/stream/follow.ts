/**
 * Follows a task's text: carries out what the state machine asks for, and hands over what it tells.
 */
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import * as Polling from "../../Polling.js"
import type { TaskId } from "../../Protocol.js"
import type { TaskFailure } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import type { Run } from "../owner/ledger.js"
import { atMost, type Lifetime } from "../owner/lifetime.js"
import type { Observed } from "../telemetry/record.js"
import { within } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import * as telemetry from "../wire/telemetry.js"
import { connect, type Connection } from "./connection.js"
import * as Machine from "./machine.js"
import type { How, Parting } from "./parting.js"
import { settled, textFrom } from "./settle.js"
import type { Command, FollowFailure, Signal, State, Told } from "./signals.js"
import type { Matcher } from "./stops.js"
import type { Pull, Telling } from "./telling.js"
import * as Watchdog from "./watchdog.js"

export interface Subject {
  readonly operation: string
  readonly taskId: TaskId
  /** Known from the answer to a create, otherwise told by the first frame. */
  readonly prefillTime: Duration.Duration | undefined
  /** The open POST stream of a direct transport, and what was read of it already. */
  readonly opened: { readonly connection: Connection; readonly signals: ReadonlyArray<Signal> } | undefined
  /**
   * Present if other tasks may write to the buffer that `get_result` reads: then a whole POST stream is the better
   * witness.
   */
  readonly run: Run | undefined
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

/** The least time that a question about the status is given, and the time of one after a cut, in milliseconds. */
const shortestQuestion = 1000
const cutQuestion = 5000

/** From when on a connection was not cut at once, and the least pause where the schedule of failures begins anew. */
const breath = "1 second"

/** The machine with its state, what it has told and nobody took, and how often it failed since the last new text. */
const makeMind = <A>(
  subject: Subject,
  policy: Policy,
  telling: Telling<A>,
  watchdog: Watchdog.Watchdog,
  observed: Observed | undefined
) => {
  const { opened, prefillTime, run, taskId } = subject
  const { counts, element } = telling
  const { parting } = policy
  const machine = Machine.step({ ...subject, ...policy, counts })
  let state: State = Machine.initial(opened !== undefined, prefillTime !== undefined)
  let command: Command = { _tag: "Listen" }
  let how: How = "left"
  let line: Array<A> = []
  let failures: Schedule.ScheduleDriver<unknown, FollowFailure> | undefined
  /**
   * Whether the task was seen to be queued, or to move, since the schedule of failures began, or to run after a
   * connection that held.
   */
  let alive = false
  let held = false
  let hasText = false
  observed?.tells(() => state.delivered.slice(0, state.told))

  const tell = (told: Told) => {
    const made = element(told, taskId)
    if (made !== undefined) line.push(made)
    if (told._tag === "Text") {
      failures = undefined
      if (!hasText) observed?.firstText()
      hasText = true
    }
    if (told._tag === "Finished") {
      parting.keep(told.result)
      observed?.finished(told.result)
    }
  }
  return {
    tell,
    command: () => command,
    how: (): How => how === "left" && state.ended ? "finished" : how,
    /** The connection was not cut at once. */
    hold: () => {
      held = true
    },
    hear: (signal: Signal) => {
      // Between connections nobody hears of silence.
      if (signal._tag === "Ended" || signal._tag === "Broken") state = { ...state, question: watchdog.silence() }
      const step = machine(run === undefined ? state : { ...state, alone: run.alone() }, signal)
      if (signal._tag === "Result" || signal._tag === "Tail") {
        observed?.reconciled(step.state.delivered.length - state.delivered.length)
      }
      state = step.state
      command = step.command
      if (state.sequence !== undefined) parting.cut()
      if (how === "left" && command._tag === "Conclude") how = command.result === undefined ? "cut" : "finished"
      if (how === "left" && command._tag === "End") how = "finished"
      step.told.forEach(tell)
      const { life } = step
      if (signal._tag === "Frames" && life !== "none") watchdog.heard(life === "progress")
      else if (life === "progress" || life === "queued") watchdog.moved(life === "queued")
      if (signal._tag === "Status") alive = alive || held || life !== "none"
      if (signal._tag === "Connected") held = false
    },
    /** Waits as the retry schedule says. That begins anew with new text, and where it has ended for a task that lives. */
    pause: ({ error, otherwise }: Extract<Command, { readonly _tag: "Retry" }>) =>
      Effect.gen(function*() {
        if (failures === undefined) alive = false
        const driver = failures ??= yield* Schedule.driver(Polling.respectRetryAfter(policy.retry))
        const next = Effect.mapError(driver.next(error), () => otherwise)
        yield* Effect.catchAll(next, (otherwise) => {
          if (!alive) return Effect.fail(otherwise)
          alive = false
          return Effect.zipLeft(Effect.zipRight(driver.reset, next), Effect.sleep(breath))
        })
      }),
    take: () => {
      const told = line
      line = []
      return told
    }
  }
}

type Question = Extract<Command, { readonly _tag: "ReadResult" | "ReadTail" | "AskStatus" }>

/** What the machine asks the server, as the signal that answers it. */
const makeQuestions = (http: HttpClient.Service, subject: Subject, policy: Policy, watchdog: Watchdog.Watchdog) => {
  const { fromToken, operation, taskId } = subject
  const reads = retry.polls(policy.retry)
  const answer = <A>(read: Effect.Effect<A, TaskFailure>, signal: (answer: A) => Signal): Effect.Effect<Signal> =>
    Effect.match(read, { onFailure: (error): Signal => ({ _tag: "Unread", error }), onSuccess: signal })
  return (question: Question, isUnread: () => boolean): Effect.Effect<Signal> => {
    switch (question._tag) {
      case "ReadResult":
        return answer(
          settled(reads(http.result(taskId, { operation })), subject.maxTokens),
          (result) => ({ _tag: "Result", result })
        )
      case "ReadTail":
        return answer(
          textFrom(http, subject, policy, question.whole, fromToken),
          (text) => ({ _tag: "Tail", text })
        )
      case "AskStatus":
        return within(
          Effect.match((question.again ? reads : identity)(http.status(taskId, { operation })), {
            onFailure: (error): Signal => ({ _tag: "Unasked", error, unread: isUnread() }),
            onSuccess: (info): Signal => ({ _tag: "Status", info })
          }),
          question.again ? Math.max(shortestQuestion, watchdog.left()) : cutQuestion,
          () => Effect.sync((): Signal => ({ _tag: "Unanswered", unread: isUnread() }))
        )
    }
  }
}

export const follow = <A>(
  http: HttpClient.Service,
  lifetime: Lifetime,
  subject: Subject,
  policy: Policy,
  telling: Telling<A>
): Effect.Effect<Pull<A>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { fromToken, opened, operation, prefillTime, taskId } = subject
    const open = connect(http.stream(taskId, { fromToken, operation }))
    const scope = yield* Effect.scope
    let connection = opened?.connection ?? (yield* open)
    /** Whether the task's state is being asked for: then silence is known. */
    let asking = false
    const watchdog = yield* Watchdog.make(policy, (silence) => {
      if (!asking) connection.offer({ _tag: "Idle", ...silence })
    })
    const observed = yield* telemetry.current
    const locally = yield* telemetry.keep
    observed?.named(taskId, prefillTime)
    const mind = makeMind(subject, policy, telling, watchdog, observed)
    if (prefillTime !== undefined) mind.tell({ _tag: "Started", prefillTime })
    const questions = makeQuestions(http, subject, policy, watchdog)
    let signals: ReadonlyArray<Signal> = opened?.signals ?? []
    let left = false

    /** A body that does not let go is not waited for for longer than the stop. */
    const close = Effect.flatMap(
      Effect.suspend(() => Effect.forkDaemon(connection.close)),
      (closing) => atMost(Fiber.join(closing), policy.stopTimeout)
    )
    const leave = yield* lifetime.own(Effect.suspend(() => {
      left = true
      return policy.parting.farewell(mind.how(), connection.close)
    }))
    yield* Effect.addFinalizer(() => leave)

    /** Ends with the service. */
    const unlessClosing = <A>(effect: Effect.Effect<A, Option.Option<FollowFailure>>) =>
      lifetime.unlessClosing(effect, operation, taskId).pipe(
        Effect.mapError((error) => Option.isOption(error) ? error : Option.some(error))
      )

    /** A run that has started and then fails is not safe to be started again. */
    const failure = (error: FollowFailure) => Option.some(prefillTime === undefined ? error : begun(error))

    const { parting } = policy
    const part = Effect.suspend(() => mind.how() === "cut" || parting.deletes ? lifetime.watch(leave) : Effect.void)

    const listen = Effect.suspend(() => {
      const [next, ...later] = signals
      signals = later
      if (next !== undefined) {
        mind.hear(next)
        // The stop does not wait for a consumer that is slow to take the text before it.
        return mind.how() === "cut" ? Effect.asVoid(part) : Effect.void
      }
      return Effect.map(connection.take, (taken) => {
        signals = taken
      })
    })

    const reconnect = (error?: FollowFailure) =>
      Effect.uninterruptible(Effect.gen(function*() {
        if (observed !== undefined && !left) yield* observed.reconnected(taskId, error)
        yield* close
        connection = yield* open
        signals = []
        if (left) yield* close
        mind.hear({ _tag: left ? "Closing" : "Connected" })
        const opened = connection
        const hold = Effect.sync(() => {
          if (connection === opened) mind.hold()
        })
        yield* Effect.forkIn(Effect.interruptible(Effect.delay(hold, breath)), scope)
      }))

    const perform = (command: Command): Effect.Effect<void, Option.Option<FollowFailure>> => {
      switch (command._tag) {
        case "Listen":
          return listen
        case "Reconnect":
          return reconnect()
        case "Retry":
          return Effect.zipRight(unlessClosing(Effect.mapError(mind.pause(command), failure)), reconnect(command.error))
        case "ReadResult":
        case "ReadTail":
        case "AskStatus":
          asking = true
          return Effect.map(unlessClosing(questions(command, connection.unread)), (answer) => {
            asking = false
            mind.hear(answer)
          })
        case "Conclude":
          return Effect.map(Effect.zipRight(part, parting.conclude(command.result)), (concluded) =>
            mind.hear({ _tag: "Concluded", ...concluded }))
        case "Fail":
          return Effect.fail(failure(command.error))
        case "End":
          return Effect.fail(Option.none())
      }
    }

    /** Pulled by others, and done for the operation. */
    const act = (command: Command) =>
      command._tag === "Listen" ? listen : Effect.tapError(
        locally(perform(command)),
        Option.match({
          onNone: () =>
            Effect.void,
          onSome: (error) => Effect.sync(() => observed?.failed(Cause.fail(error)))
        })
      )

    const pull: Pull<A> = Effect.suspend(() => {
      const told = mind.take()
      watchdog.waiting(told.length === 0)
      return told.length === 0
        ? Effect.zipRight(act(mind.command()), pull)
        : Effect.succeed(Chunk.unsafeFromArray(told))
    })
    return pull
  })
