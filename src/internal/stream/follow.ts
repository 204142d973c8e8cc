/**
 * Follows a task's text: carries out what the state machine asks for, and hands over what it tells.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskFailure } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import { atMost, type Lifetime } from "../owner/lifetime.js"
import type { Observed } from "../telemetry/record.js"
import { within } from "../wire/limit.js"
import * as retry from "../wire/retry.js"
import * as telemetry from "../wire/telemetry.js"
import { note, unwatched, watched } from "../wire/trouble.js"
import { connect } from "./connection.js"
import * as Mind from "./mind.js"
import { settled, textFrom } from "./settle.js"
import type { Command, FollowFailure, Signal } from "./signals.js"
import type { Pull, Telling } from "./telling.js"
import * as Watchdog from "./watchdog.js"

/** The least time that a question about the status is given, and the time of one after a cut, in milliseconds. */
const shortestQuestion = 1000
const cutQuestion = 5000

type Question = Extract<Command, { readonly _tag: "ReadResult" | "ReadTail" | "AskStatus" }>

/** What the machine asks the server, as the signal that answers it. */
const makeQuestions = (
  http: HttpClient.Service,
  subject: Mind.Subject,
  policy: Mind.Policy,
  watchdog: Watchdog.Watchdog
) => {
  const { fromToken, operation, taskId } = subject
  const reads = retry.polls(policy.retry)
  /** Of a run that this program has begun, and not stopped: such a run has a time, however late (H31). */
  const most = () => {
    if (policy.parting.isStopped()) return undefined
    return subject.maxTokens ?? (subject.prefillTime === undefined ? undefined : Infinity)
  }
  const answer = <A>(read: Effect.Effect<A, TaskFailure>, signal: (answer: A) => Signal): Effect.Effect<Signal> =>
    Effect.match(read, { onFailure: (error): Signal => ({ _tag: "Unread", error }), onSuccess: signal })
  return (question: Question, isUnread: () => boolean): Effect.Effect<Signal> => {
    switch (question._tag) {
      case "ReadResult":
        return answer(
          settled(reads(http.result(taskId, { operation })), most(), http.status(taskId, { operation })),
          (result) => ({ _tag: "Result", result })
        )
      case "ReadTail":
        return answer(
          textFrom(http, subject, policy, question.whole, fromToken),
          (text) => ({ _tag: "Tail", text })
        )
      case "AskStatus":
        return watched((trouble) =>
          within(
            Effect.match((question.again ? reads : identity)(http.status(taskId, { operation })), {
              onFailure: (error): Signal => ({ _tag: "Unasked", error, unread: isUnread() }),
              onSuccess: (info): Signal => ({ _tag: "Status", info })
            }),
            question.again ? Math.max(shortestQuestion, watchdog.left()) : cutQuestion,
            () => {
              const error = trouble.last()
              return Effect.sync((): Signal => ({ _tag: "Unanswered", unread: isUnread(), error }))
            }
          )
        )
    }
  }
}

type Open = ReturnType<typeof connect>

/** The connection of now, and what came over it that was not heard yet. */
const makeLink = (open: Open, opened: Mind.Subject["opened"], stopTimeout: Duration.Duration) =>
  Effect.map(opened === undefined ? open : Effect.succeed(opened.connection), (first) => {
    let connection = first
    let signals: ReadonlyArray<Signal> = opened?.signals ?? []
    let left = false
    /** A body that does not let go is not waited for for longer than the stop. */
    const close = Effect.flatMap(
      Effect.suspend(() => Effect.forkDaemon(connection.close)),
      (closing) => atMost(Fiber.join(closing), stopTimeout)
    )
    return {
      current: () => connection,
      isLeft: () => left,
      /** No connection is opened to be read any more; what is returned closes the one of now. */
      leave: () => {
        left = true
        return connection.close
      },
      /** The next signal that came, if there is one. */
      next: (): Signal | undefined => {
        const [next, ...later] = signals
        signals = later
        return next
      },
      take: () =>
        Effect.map(connection.take, (taken) => {
          signals = taken
        }),
      renew: Effect.gen(function*() {
        yield* close
        connection = yield* open
        signals = []
        if (left) yield* close
      })
    }
  })

interface Hands {
  readonly subject: Mind.Subject
  readonly lifetime: Lifetime
  readonly mind: Mind.Mind
  readonly link: Effect.Effect.Success<ReturnType<typeof makeLink>>
  readonly observed: Observed | undefined
  readonly scope: Scope.Scope
  readonly listen: Effect.Effect<void>
  readonly ask: (question: Question) => Effect.Effect<void>
  readonly conclude: (command: Extract<Command, { readonly _tag: "Conclude" }>) => Effect.Effect<void>
}

/** Carries out what the machine asks for. The end is `None`. */
const makeHands = ({ ask, conclude, lifetime, link, listen, mind, observed, scope, subject }: Hands) => {
  const { operation, prefillTime, taskId } = subject

  /** Ends with the service. */
  const unlessClosing = <A>(effect: Effect.Effect<A, Option.Option<FollowFailure>>) =>
    lifetime.unlessClosing(effect, operation, taskId).pipe(
      Effect.mapError((error) => Option.isOption(error) ? error : Option.some(error))
    )

  /** A run that has started and then fails is not safe to be started again. */
  const failure = (error: FollowFailure) => Option.some(prefillTime === undefined ? error : begun(error))

  const reconnect = (error?: FollowFailure) =>
    Effect.uninterruptible(Effect.gen(function*() {
      if (observed !== undefined && !link.isLeft()) yield* unwatched(observed.reconnected(taskId, error))
      yield* link.renew
      mind.hear({ _tag: link.isLeft() ? "Closing" : "Connected" })
      const opened = link.current()
      const hold = Effect.sync(() => {
        if (link.current() === opened) mind.hold()
      })
      yield* Effect.forkIn(Effect.interruptible(Effect.delay(hold, Mind.breath)), scope)
    }))

  return (command: Command): Effect.Effect<void, Option.Option<FollowFailure>> => {
    switch (command._tag) {
      case "Listen":
        return listen
      case "Reconnect":
        return reconnect()
      case "Retry":
        return note(mind.failing).pipe(
          Effect.zipRight(unlessClosing(Effect.mapError(mind.pause(command), failure))),
          Effect.zipRight(reconnect(command.error))
        )
      case "ReadResult":
      case "ReadTail":
      case "AskStatus":
        return unlessClosing(ask(command))
      case "Conclude":
        return conclude(command)
      case "Fail":
        return Effect.fail(failure(command.error))
      case "End":
        return Effect.fail(Option.none())
    }
  }
}

export const follow = <A>(
  http: HttpClient.Service,
  lifetime: Lifetime,
  subject: Mind.Subject,
  policy: Mind.Policy,
  telling: Telling<A>
): Effect.Effect<Pull<A>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { fromToken, opened, operation, prefillTime, taskId } = subject
    const { parting, stopTimeout } = policy
    const scope = yield* Effect.scope
    const link = yield* makeLink(connect(http.stream(taskId, { fromToken, operation })), opened, stopTimeout)
    /** Whether the task's state is being asked for: then silence is known. */
    let asking = false
    const watchdog = yield* Watchdog.make(policy, (silence) => {
      if (!asking) link.current().offer({ _tag: "Idle", ...silence })
    })
    const observed = yield* telemetry.current
    const locally = yield* telemetry.keep
    observed?.named(taskId, prefillTime)
    const mind = Mind.make(subject, policy, telling, watchdog, observed)
    if (prefillTime !== undefined) mind.tell({ _tag: "Started", prefillTime })
    const questions = makeQuestions(http, subject, policy, watchdog)

    const leave = yield* lifetime.own(Effect.suspend(() => parting.farewell(mind.how(), link.leave())))
    yield* Effect.addFinalizer(() => leave)
    const part = Effect.suspend(() => mind.how() === "cut" || parting.deletes ? lifetime.watch(leave) : Effect.void)

    const listen = Effect.suspend(() => {
      const next = link.next()
      if (next === undefined) return link.take()
      mind.hear(next)
      // The stop does not wait for a consumer that is slow to take the text before it.
      return mind.how() === "cut" ? Effect.asVoid(part) : Effect.void
    })
    const ask: Hands["ask"] = (question) =>
      Effect.suspend(() => {
        asking = true
        return Effect.map(questions(question, link.current().unread), (answer) => {
          asking = false
          mind.hear(answer)
        })
      })
    const conclude: Hands["conclude"] = ({ result }) =>
      Effect.map(Effect.zipRight(part, parting.conclude(result)), (concluded) =>
        mind.hear({ _tag: "Concluded", ...concluded }))
    const perform = makeHands({ ask, conclude, lifetime, link, listen, mind, observed, scope, subject })

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
