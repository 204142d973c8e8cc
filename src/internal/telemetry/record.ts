/**
 * The record of one operation: what happens on its behalf is noted there, for its span, the metrics and the hooks. That
 * is a few lines for each run, and none for a frame.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { TaskResult } from "../../Protocol.js"
import { isRWKVError, type RWKVError } from "../../RWKVError.js"
import type * as Telemetry from "../../Telemetry.js"
import { property } from "../input/json.js"
import type { Newest } from "../input/newest.js"
import { bare, ownEnd } from "./bare.js"
import type { Operation } from "./recorder.js"

export type Labels = ReadonlyArray<MetricLabel.MetricLabel>
export type Tags = Readonly<Record<string, string>>
type LabelsOf = (tags?: Tags) => Labels

/** The table of names, the metrics, and the settings that hold where an operation begins. */
export interface Given extends
  Pick<
    typeof Telemetry,
    | "names"
    | "inferenceDuration"
    | "timeToFirstText"
    | "timePerOutputToken"
    | "outputTokens"
    | "outputTokensByRun"
    | "runningTasks"
    | "retries"
    | "reconnects"
    | "healedCharacters"
    | "tasksRunningOn"
  >
{
  readonly settings: typeof Telemetry.Telemetry
}

interface Begun extends Operation {
  readonly settings: Telemetry.Settings
  readonly clock: Clock.Clock
  readonly begun: bigint
  /** The attributes of the server by its address. */
  readonly serverOf: (baseUrl: string | undefined) => Readonly<Record<string, string | number>>
  readonly labels: (baseUrl: string | undefined) => LabelsOf
}

/** What is known of a run; the spans of one operation share it. */
interface Figures {
  /** When its first text was told, and when it was over. */
  first?: bigint
  over?: bigint
  healed: number
  reconnects: number
  /** Where it is done: of many servers, as soon as that is known. */
  baseUrl: string | undefined
  /** What its metrics are tagged with there. */
  labels: LabelsOf
  taskId?: string | undefined
  /** Whether it is counted among those that run. */
  running: boolean
  /** Whether others may have written what is counted at its end (H15). */
  shared: boolean
  tokens?: number | undefined
  counted: boolean
  text?: () => string
  failure?: Cause.Cause<unknown>
}

/** Told the end of a run that its operation only started, and since when the one who tells it has followed it. */
type Ending = (result: TaskResult, since: bigint) => void

export type Observed = ReturnType<ReturnType<typeof observing>>

/** In the form of the conventions: one message of one text. */
const message = (role: string, content: unknown) => JSON.stringify([{ role, parts: [{ type: "text", content }] }])

const tagOf = (error: unknown): string => isRWKVError(error) ? error._tag : "_OTHER"

const options = ["max_tokens", "temperature", "top_k", "top_p", "presence_penalty", "seed"]

const seconds = (from: bigint, to: bigint) => Number(to - from) / 1e9

/** Hooks hold up what they hear of, and cannot prevent it. */
const told = <A>(hook: ((told: A) => Effect.Effect<void>) | undefined, what: A): Effect.Effect<void> =>
  hook === undefined ? Effect.void : Effect.suspend(() => hook(what)).pipe(
    Effect.catchAllCause((cause) => Effect.logWarning("a hook of telemetry failed", cause)),
    Effect.annotateLogs({ package: "effect-rwkv" })
  )

export const spanOf = (name: string, kind: Tracer.SpanKind, attributes: Record<string, unknown>) =>
  Effect.makeSpan(name, { attributes, kind, captureStackTrace: false })

/** @param started by server and task, what this program started and nobody was told the end of */
export const observing = (given: Given, started: Newest<Ending>) => {
  const { names } = given
  const text = { [names.modality]: "text" }

  const observe = (about: Begun, span: Tracer.Span, run: Figures) => {
    const { begun, clock, kind, labels, operation, serverOf, settings } = about
    const now = () => clock.unsafeCurrentTimeNanos()
    const place = () => `${run.baseUrl} ${run.taskId}`

    const count = (
      metric: { unsafeUpdate(value: number, tags: Labels): void },
      value: number,
      tags?: Tags
    ) => metric.unsafeUpdate(value, run.labels(tags))

    const annotate = (attributes: Readonly<Record<string, unknown>>) => {
      for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
    }
    const event = (name: string, attributes?: Record<string, unknown>) => span.event(name, now(), attributes)

    const spent = (tokens: number) => {
      count(given.outputTokens, tokens, text)
      count(given.outputTokensByRun, tokens, text)
    }

    /** Counted once, when the run is over and somebody knows: its end, or the answer to its deletion. */
    const settle = (tokens: number | undefined) => {
      if (run.counted) return
      run.tokens ??= tokens
      if (run.tokens === undefined || run.over === undefined) return
      run.counted = true
      annotate({ [names.outputTokens]: run.tokens })
      if (kind !== "run") return
      spent(run.tokens)
      if (run.first === undefined || run.tokens < 2) return
      count(given.timePerOutputToken, seconds(run.first, run.over) / (run.tokens - 1))
    }

    /** Who came after the end of the run does not know when that was. */
    const ended: Ending = (result, since) => {
      const { usage: { outputTokens } } = result
      if (outputTokens !== undefined) spent(outputTokens)
      if (seconds(begun, since) < Duration.toSeconds(result.generationTime)) {
        count(given.inferenceDuration, seconds(begun, now()))
      }
    }

    return {
      span,
      close: (exit: Exit.Exit<unknown, unknown>) => span.end(now(), bare(exit)),
      /** One of many servers does it. */
      served: (baseUrl: string) => {
        if (baseUrl === run.baseUrl) return
        if (run.running) count(given.runningTasks, -1)
        run.baseUrl = baseUrl
        run.labels = labels(baseUrl)
        if (run.running) count(given.runningTasks, 1)
        annotate(serverOf(baseUrl))
      },
      /** What a request gives, beside its prompt. */
      sent: (body: object) => {
        annotate(Object.fromEntries(options.map((name) => [names.request + name, property(body, name)])))
        if (settings.content !== true) return
        const prompt = property(body, "prompt") ?? [property(body, "prefix"), property(body, "suffix")]
        annotate({ [names.input]: message("user", typeof prompt === "string" ? prompt : JSON.stringify(prompt)) })
      },
      stops: (sequences: ReadonlyArray<string> | undefined) => annotate({ [names.stopSequences]: sequences }),
      named: (taskId: string, prefillTime?: Duration.Duration) => {
        run.taskId = taskId
        if (kind === "start") started.set(place(), ended)
        if (kind === "run" && !run.running) {
          run.running = true
          count(given.runningTasks, 1)
        }
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
        if (kind === "run") count(given.timeToFirstText, waited)
      },
      retried: (error: RWKVError, delay: Duration.Duration) => {
        event(names.retry, { [names.errorType]: error._tag })
        count(given.retries, 1, { [names.verb]: operation, [names.errorType]: error._tag })
        return told(settings.onRetry, { operation, error, delay })
      },
      reconnected: (taskId: string, error: RWKVError | undefined) => {
        run.reconnects++
        const why = error && { [names.errorType]: error._tag }
        event(names.reconnect, why)
        count(given.reconnects, 1, { [names.verb]: operation, ...why })
        return told(settings.onReconnect, { operation, taskId, error })
      },
      /** The text was compared with the server's, which had so much more. */
      reconciled: (healed: number) => {
        run.healed += healed
        event(names.reconcile, { [names.healed]: healed })
        if (healed > 0) count(given.healedCharacters, healed, { [names.verb]: operation })
      },
      stopping: () => event(names.stop),
      stopMissed: () => event(names.stopMissed),
      runsOn: () => count(given.tasksRunningOn, 1, { [names.verb]: operation }),
      finished: (result: TaskResult) => {
        if (run.over !== undefined) return
        run.over = now()
        annotate({ [names.finishReasons]: [result.finishReason] })
        settle(result.usage.outputTokens)
        const ending = kind === "call" ? started.get(place()) : undefined
        started.delete(place())
        ending?.(result, begun)
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
        const how = ownEnd(kind === "call" ? operation : undefined, run.failure, exit)
        const type = Option.match(Exit.causeOption(how), {
          onNone: () => undefined,
          onSome: (cause) =>
            Cause.isInterruptedOnly(cause)
              ? undefined
              : { [names.errorType]: tagOf(Option.getOrUndefined(Cause.failureOption(cause))) }
        })
        annotate({
          ...type,
          [names.reconnects]: run.reconnects > 0 ? run.reconnects : undefined,
          [names.healed]: run.healed > 0 ? run.healed : undefined,
          [names.output]: run.text && message("assistant", run.text())
        })
        if (run.running) count(given.runningTasks, -1)
        if (kind === "run") count(given.inferenceDuration, seconds(begun, run.over), type)
        span.end(end, bare(how))
      },
      /** The span of what a task is told after its run. */
      release: spanOf(names.release, "internal", { [names.verb]: operation }),
      /** Where a span inside of this one writes. */
      inside: (inner: Tracer.Span) => observe(about, inner, run)
    }
  }
  return observe
}
