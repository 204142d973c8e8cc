/**
 * What operations tell tracers, metrics and hooks. An operation has one record, which goes where its context goes, and
 * all that happens on its behalf is noted there: a few lines for each run, and none for a frame.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { isRWKVError, type RWKVError } from "../../RWKVError.js"
import * as Telemetry from "../../Telemetry.js"
import { property } from "../input/json.js"
import * as Override from "../input/override.js"
import { isTaskId } from "../input/validate.js"

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

const observe = (about: About, span: Tracer.Span, run: Figures) => {
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

/** The record of the operation that a fiber works for, if there is one. */
class Current extends Context.Reference<Current>()("effect-rwkv/Observed", {
  defaultValue: (): Observed | undefined => undefined
}) {}

export const current: Effect.Effect<Observed | undefined> = Current

/** Notes something of the operation that a fiber works for. */
export const note = (write: (observed: Observed) => void): Effect.Effect<void> =>
  Effect.map(current, (observed) => observed && write(observed))

type Locally = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Runs an effect on behalf of an operation: it notes there what it does, and its spans are inside of the record's. */
const under = (observed: Observed): Locally => (effect) =>
  Effect.mapInputContext(
    effect,
    (context) => context.pipe(Context.add(Current, observed), Context.add(Tracer.ParentSpan, observed.span))
  )

/** How to run something later, on behalf of what it is done for here and under the overrides that hold here. */
export const keep: Effect.Effect<Locally> = Effect.zipWith(
  Override.keep,
  current,
  (locally, observed): Locally => observed === undefined ? locally : (effect) => locally(under(observed)(effect))
)

const spanOf = (name: string, kind: Tracer.SpanKind, attributes: Record<string, unknown>) =>
  Effect.makeSpan(name, { attributes, kind, captureStackTrace: false })

/** What goes on after an operation, in a span of its own. */
export const inside = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(current, (observed) =>
    observed === undefined ? effect : Effect.acquireUseRelease(
      Effect.map(spanOf(name, "internal", { [names.verb]: observed.about.operation }), observed.inside),
      (observed) => under(observed)(effect),
      ({ close }, exit) => Effect.sync(() => close(exit))
    ))

/** What its operation fails with, whatever becomes of its scope. */
const watched = <A, E, R>(observed: Observed, effect: Effect.Effect<A, E, R>) =>
  under(observed)(Effect.tapErrorCause(effect, (cause) => Effect.sync(() => observed.failed(cause))))

export type Spans = ReturnType<typeof make>

export const make = ({ baseUrl }: RWKVConfig.Service) => {
  const { hostname, port, protocol } = new URL(baseUrl)
  const server = {
    [names.provider]: "rwkv",
    [names.address]: hostname,
    [names.port]: port === "" ? protocol === "https:" ? 443 : 80 : Number(port)
  }

  const begin = (operation: string, kind: Kind, about: unknown): Effect.Effect<Observed> =>
    Effect.gen(function*() {
      const settings = yield* Telemetry.Telemetry
      const clock = yield* Effect.clock
      const { model } = settings
      const shared = {
        ...server,
        ...(kind !== "call" && { [names.operationName]: names.completion }),
        ...(model !== undefined && { [names.model]: model })
      }
      const name = kind === "call" ? operation : model === undefined ? names.completion : `${names.completion} ${model}`
      const span = yield* spanOf(name, operation === "TaskService.runAll" && kind === "call" ? "internal" : "client", {
        ...shared,
        [names.verb]: operation,
        ...(kind !== "call" && { [names.stream]: operation.startsWith("StreamService.") }),
        ...(isTaskId(about) && { [names.taskId]: about })
      })
      const labels = Object.entries(shared).map(([name, tag]) => MetricLabel.make(name, String(tag)))
      const outer = yield* FiberRef.get(FiberRef.currentMetricLabels)
      const begun = clock.unsafeCurrentTimeNanos()
      return observe({ operation, kind, settings, clock, begun, labels: [...outer, ...labels] }, span, {
        healed: 0,
        reconnects: 0,
        shared: false,
        counted: false
      })
    })

  const end = (observed: Observed, exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => observed.end(exit))

  /** A span until the end of the scope, and how to run what belongs to it. */
  const open = (operation: string, kind: Kind, about?: unknown): Effect.Effect<Observed, never, Scope.Scope> =>
    Effect.acquireRelease(begin(operation, kind, about), end)

  return {
    /** A span for all of an effect. */
    around: <A, E, R>(
      operation: string,
      kind: Kind,
      about: unknown,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, R> =>
      Effect.acquireUseRelease(begin(operation, kind, about), (observed) => watched(observed, effect), end),
    /** A span from the opening of a stream to the end of its scope. */
    opening: <A, E, R>(
      operation: string,
      kind: Kind,
      effect: Effect.Effect<A, E, R>,
      about?: unknown
    ): Effect.Effect<A, E, R | Scope.Scope> =>
      Effect.flatMap(open(operation, kind, about), (observed) => watched(observed, effect)),
    /** A span that others are inside of. */
    parent: (operation: string): Effect.Effect<Locally, never, Scope.Scope> =>
      Effect.map(open(operation, "call"), under)
  }
}
