/**
 * The record of one operation: what happens on its behalf is noted there, for its span, the metrics and the hooks. That
 * is a few lines for each run, and none for a frame.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { TaskResult } from "../../Protocol.js"
import { isRWKVError, type RWKVError } from "../../RWKVError.js"
import * as Telemetry from "../../Telemetry.js"
import { property } from "../input/json.js"

const { names } = Telemetry

/** Whether an operation follows the run that it starts, only starts one, or is a span by the name of its verb. */
export type Kind = "run" | "start" | "call"

interface About {
  readonly operation: string
  readonly kind: Kind
  readonly settings: Telemetry.Settings
  readonly labels: ReadonlyArray<MetricLabel.MetricLabel>
  readonly clock: Clock.Clock
  readonly begun: bigint
}

type Attributes = Readonly<Record<string, unknown>>

/** What is known of a run; the spans of one operation share it. */
interface Figures {
  /** When its first text was told, and when it was over. */
  first?: bigint
  over?: bigint
  healed: number
  reconnects: number
  taskId?: string
  /** Whether others may have written what is counted at its end (H15). */
  shared: boolean
  tokens?: number | undefined
  counted: boolean
  text?: () => string
  failure?: Cause.Cause<unknown>
}

/** In the form of the conventions: one message of one text. */
const message = (role: string, content: unknown) => JSON.stringify([{ role, parts: [{ type: "text", content }] }])

/** A failure in our words, without what its error holds: servers repeat prompts in theirs, which messages quote. */
const worded = (error: unknown) =>
  isRWKVError(error)
    ? Object.assign(new Error([error.operation, property(error, "status")].filter(Boolean).join(": ")), {
      name: error._tag
    })
    : `${property(error, "_tag")}: ${property(error, "reason")}`

/** What a span may be told of its end: errors, defects and answers hold the request, with key, prompt and text. */
export const bare = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  Exit.match(exit, {
    onSuccess: () => Exit.void,
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => Cause.isInterrupted(cause) ? Exit.interrupt(FiberId.none) : Exit.die("a defect"),
        onSome: (error) => Exit.fail(worded(error))
      })
  })

const tagOf = (error: unknown): string => isRWKVError(error) ? error._tag : "_OTHER"

const options = ["max_tokens", "temperature", "top_k", "top_p", "presence_penalty", "seed"]

export type Observed = ReturnType<typeof observe>

export const observe = (about: About, span: Tracer.Span, run: Figures) => {
  const { begun, clock, kind, labels, operation, settings } = about
  const now = () => clock.unsafeCurrentTimeNanos()
  const seconds = (from: bigint, to: bigint) => Number(to - from) / 1e9

  const count = (
    metric: { unsafeUpdate(value: number, tags: ReadonlyArray<MetricLabel.MetricLabel>): void },
    value: number,
    tags: Readonly<Record<string, string>> = {}
  ) =>
    metric.unsafeUpdate(value, [...labels, ...Object.entries(tags).map(([name, tag]) => MetricLabel.make(name, tag))])

  const annotate = (attributes: Attributes) => {
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
  }
  const event = (name: string, attributes?: Record<string, unknown>) => span.event(name, now(), attributes)

  /** Counted once, when the run is over and somebody knows: its end, or the answer to its deletion. */
  const settle = (tokens: number | undefined) => {
    if (run.counted) return
    run.tokens ??= tokens
    if (run.tokens === undefined || run.over === undefined) return
    run.counted = true
    annotate({ [names.outputTokens]: run.tokens })
    if (kind !== "run") return
    const text = { [names.modality]: "text" }
    count(Telemetry.outputTokens, run.tokens, text)
    count(Telemetry.outputTokensByRun, run.tokens, text)
    if (run.first === undefined || run.tokens < 2) return
    count(Telemetry.timePerOutputToken, seconds(run.first, run.over) / (run.tokens - 1))
  }

  const close = (exit: Exit.Exit<unknown, unknown>) => span.end(now(), bare(exit))

  return {
    about,
    span,
    close,
    annotate,
    event,
    /** What a request gives, beside its prompt. */
    sent: (body: object) => {
      annotate(Object.fromEntries(options.map((name) => [names.request + name, property(body, name)])))
      if (settings.content !== true) return
      const prompt = property(body, "prompt") ?? [property(body, "prefix"), property(body, "suffix")]
      annotate({ [names.input]: message("user", typeof prompt === "string" ? prompt : JSON.stringify(prompt)) })
    },
    named: (taskId: string, prefillTime?: Duration.Duration) => {
      if (run.taskId === undefined && kind === "run") count(Telemetry.runningTasks, 1)
      run.taskId = taskId
      annotate({
        [names.taskId]: taskId,
        [names.responseId]: kind === "call" ? undefined : taskId,
        [names.prefillTime]: prefillTime === undefined ? undefined : Duration.toSeconds(prefillTime)
      })
    },
    /** How the text can be had at the end, if that is asked for. */
    tells: (text: () => string) => {
      if (settings.content === true) run.text = text
    },
    forks: (source: string) => {
      run.shared = true
      annotate({ [names.forkSource]: source })
    },
    firstText: () => {
      run.first = now()
      event(names.firstText)
      const waited = seconds(begun, run.first)
      annotate({ [names.timeToFirstChunk]: waited })
      if (kind === "run") count(Telemetry.timeToFirstText, waited)
    },
    retried: (error: RWKVError, delay: Duration.Duration) => {
      event(names.retry, { [names.errorType]: error._tag })
      count(Telemetry.retries, 1, { [names.verb]: operation, [names.errorType]: error._tag })
      return told(settings.onRetry, { operation, error, delay })
    },
    reconnected: (taskId: string, error: RWKVError | undefined) => {
      run.reconnects++
      const why = error && { [names.errorType]: error._tag }
      event(names.reconnect, why)
      count(Telemetry.reconnects, 1, { [names.verb]: operation, ...why })
      return told(settings.onReconnect, { operation, taskId, error })
    },
    /** The text was compared with the server's, which had so much more. */
    reconciled: (healed: number) => {
      run.healed += healed
      event(names.reconcile, { [names.healed]: healed })
      if (healed > 0) count(Telemetry.healedCharacters, healed, { [names.verb]: operation })
    },
    runsOn: () => count(Telemetry.tasksRunningOn, 1, { [names.verb]: operation }),
    finished: ({ finishReason, usage }: TaskResult) => {
      if (run.over !== undefined) return
      run.over = now()
      annotate({ [names.finishReasons]: [finishReason] })
      settle(usage.outputTokens)
    },
    /** What the answer to a deletion says of the run. */
    deleted: (tokens: number | undefined) => {
      if (!run.shared) settle(tokens)
    },
    failed: (cause: Cause.Cause<unknown>) => {
      run.over = now()
      run.failure = cause
    },
    end: (exit: Exit.Exit<unknown, unknown>) => {
      const end = now()
      run.over ??= end
      settle(undefined)
      // What others do while a stream is open is no failure of it.
      const how = run.failure === undefined ? Exit.isInterrupted(exit) ? exit : Exit.void : Exit.failCause(run.failure)
      const failure = Option.flatMap(
        Exit.causeOption(how),
        (cause) =>
          Cause.isInterruptedOnly(cause)
            ? Option.none()
            : Option.some(tagOf(Option.getOrUndefined(Cause.failureOption(cause))))
      )
      const type = Option.match(failure, { onNone: () => ({}), onSome: (tag) => ({ [names.errorType]: tag }) })
      annotate({
        ...type,
        [names.reconnects]: run.reconnects > 0 ? run.reconnects : undefined,
        [names.healed]: run.healed > 0 ? run.healed : undefined,
        [names.output]: run.text && message("assistant", run.text())
      })
      if (kind === "run") {
        if (run.taskId !== undefined) count(Telemetry.runningTasks, -1)
        count(Telemetry.inferenceDuration, seconds(begun, run.over), type)
      }
      span.end(end, bare(how))
    },
    /** Where a span inside of this one writes. */
    inside: (inner: Tracer.Span) => observe(about, inner, run)
  }
}

/** Hooks hold up what they hear of, and cannot prevent it. */
const told = <A>(hook: ((told: A) => Effect.Effect<void>) | undefined, what: A): Effect.Effect<void> =>
  hook === undefined ? Effect.void : Effect.suspend(() => hook(what)).pipe(
    Effect.catchAllCause((cause) => Effect.logWarning("a hook of telemetry failed", cause)),
    Effect.annotateLogs({ package: "effect-rwkv" })
  )
