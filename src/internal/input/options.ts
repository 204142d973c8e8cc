/**
 * Checks the options of verbs, which a caller without types may get wrong.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Polling from "../../Polling.js"
import type { RWKVValidationError } from "../../RWKVError.js"
import type {
  BranchOptions,
  BulkOptions,
  DeleteOptions,
  StopOptions,
  Stopping,
  StreamOptions,
  SubscribeOptions,
  WaitOptions
} from "../../Task.js"
import { isRecord } from "./json.js"
import { encoder } from "./request.js"
import * as rule from "./rules.js"
import { sequences } from "./sequences.js"
import { attempt } from "./validate.js"

const following = () => ({
  onInterrupt: rule.oneOf("stop", "detach"),
  idleTimeout: rule.anything<Duration.DurationInput>(),
  stallTimeout: rule.anything<Duration.DurationInput>(),
  queueTimeout: rule.anything<Duration.DurationInput>(),
  stopTimeout: rule.anything<Duration.DurationInput>(),
  retry: rule.aSchedule<Polling.RetrySchedule>()
})

const branching = () => ({ allowPastStop: rule.oneOf(true, false) })

/** The options of both ways of waiting; `by` decides which of them may be given. */
export interface Waiting extends Pick<WaitOptions, keyof WaitOptions> {}

/** The options of a run. */
export interface Running extends Waiting, Stopping {}

interface Bulk extends Stopping, Pick<BulkOptions, keyof BulkOptions> {}

const waiting = <Progress>() => ({
  timeout: rule.anything<Duration.DurationInput>(),
  queueTimeout: rule.anything<Duration.DurationInput>(),
  schedule: rule.aSchedule<Polling.WaitSchedule>(),
  by: rule.oneOf("polling", "subscription"),
  onProgress: rule.aFunction<Progress>()
})

type Given = Readonly<Record<string, unknown>>

/** Refuses options of polling, which a subscription would ignore. */
const pollingOnly = (...keys: ReadonlyArray<string>) => (given: Given) =>
  given["by"] !== "subscription" || keys.filter((key) => given[key] !== undefined)
    .map((key) => ({ path: [key], message: "must not be given for by: \"subscription\"" }))

/** Refuses `stop` with polling or its options: a status has no text to search. */
const stopNeedsText = (...pollingKeys: ReadonlyArray<string>) => (given: Given) =>
  given["stop"] === undefined || given["by"] !== "polling" && pollingKeys.every((key) => given[key] === undefined) ||
  { path: ["stop"], message: "must not be given where the end is waited for by polling" }

/** Makes the Schema at the first call with options, for most have none. A value that is no object counts as none. */
const reader = <A extends object>(schema: () => Schema.Schema<A>) => {
  const none: Effect.Effect<Partial<A>> = Effect.succeed({})
  let check: ReturnType<typeof encoder<A, A>> | undefined
  return (operation: string, options: A | undefined): Effect.Effect<Partial<A>, RWKVValidationError> =>
    options === undefined ? none : Effect.flatMap(
      attempt(operation, "", () => isRecord(options)),
      (given) => given ? (check ??= encoder(schema()))(operation, options) : none
    )
}

export const ofStream = /*#__PURE__*/ reader<StreamOptions>(() =>
  Schema.Struct({
    ...following(),
    ...branching(),
    transport: rule.oneOf("subscribe", "direct"),
    cleanup: rule.oneOf("delete", "keep"),
    stop: rule.optional(sequences)
  })
)

export const ofBranch = /*#__PURE__*/ reader<BranchOptions>(() => Schema.Struct(branching()))

export const ofSubscribe = /*#__PURE__*/ reader<SubscribeOptions>(() =>
  Schema.Struct({ ...following(), fromToken: rule.option<number>(Number.isSafeInteger, "must be an integer") })
)

export const ofWait = /*#__PURE__*/ reader<Waiting>(() =>
  Schema.Struct(waiting<WaitOptions["onProgress"]>()).pipe(Schema.filter(pollingOnly("schedule", "onProgress")))
)

export const ofRun = /*#__PURE__*/ reader<Running>(() =>
  Schema.Struct({ ...waiting<WaitOptions["onProgress"]>(), stop: rule.optional(sequences) }).pipe(
    Schema.filter(pollingOnly("schedule", "onProgress")),
    Schema.filter(stopNeedsText("schedule", "onProgress"))
  )
)

export const ofBulk = /*#__PURE__*/ reader<Bulk>(() =>
  Schema.Struct({
    ...waiting<BulkOptions["onProgress"]>(),
    concurrency: rule.option<number>((u) => Number.isInteger(u) && Number(u) > 0, "must be a positive integer"),
    failures: rule.oneOf("values", "fail"),
    stop: rule.optional(sequences)
  }).pipe(Schema.filter(pollingOnly("schedule")), Schema.filter(stopNeedsText("schedule")))
)

export const ofStop = /*#__PURE__*/ reader<StopOptions>(() =>
  Schema.Struct({ within: rule.anything<Duration.DurationInput>() })
)

export const ofDelete = /*#__PURE__*/ reader<DeleteOptions>(() => Schema.Struct({ force: rule.oneOf(true, false) }))
