/**
 * The options that verbs take, as a caller without types may give them.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Polling from "../../Polling.js"
import type { RWKVValidationError } from "../../RWKVError.js"
import type {
  BulkOptions,
  DeleteOptions,
  StopOptions,
  StreamOptions,
  SubscribeOptions,
  WaitOptions
} from "../../Task.js"
import { isRecord } from "./json.js"
import { encoder } from "./request.js"
import * as rule from "./rules.js"
import { attempt } from "./validate.js"

const following = () => ({
  onInterrupt: rule.oneOf("stop", "detach"),
  idleTimeout: rule.anything<Duration.DurationInput>(),
  stallTimeout: rule.anything<Duration.DurationInput>(),
  queueTimeout: rule.anything<Duration.DurationInput>(),
  stopTimeout: rule.anything<Duration.DurationInput>(),
  retry: rule.aSchedule<Polling.RetrySchedule>()
})

const waiting = <Progress>() => ({
  timeout: rule.anything<Duration.DurationInput>(),
  queueTimeout: rule.anything<Duration.DurationInput>(),
  schedule: rule.aSchedule<Polling.WaitSchedule>(),
  by: rule.oneOf("polling", "subscription"),
  onProgress: rule.aFunction<Progress>()
})

/** Most calls give no options: the Schema is made by the first that does. What is no object counts as none. */
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
  Schema.Struct({ ...following(), transport: rule.oneOf("subscribe", "direct"), cleanup: rule.oneOf("delete", "keep") })
)

export const ofSubscribe = /*#__PURE__*/ reader<SubscribeOptions>(() =>
  Schema.Struct({ ...following(), fromToken: rule.anything<number>() })
)

export const ofWait = /*#__PURE__*/ reader<WaitOptions>(() => Schema.Struct(waiting<WaitOptions["onProgress"]>()))

export const ofBulk = /*#__PURE__*/ reader<BulkOptions>(() =>
  Schema.Struct({
    ...waiting<BulkOptions["onProgress"]>(),
    concurrency: rule.anything<number>(),
    failures: rule.oneOf("values", "fail")
  })
)

export const ofStop = /*#__PURE__*/ reader<StopOptions>(() =>
  Schema.Struct({ within: rule.anything<Duration.DurationInput>() })
)

export const ofDelete = /*#__PURE__*/ reader<DeleteOptions>(() => Schema.Struct({ force: rule.oneOf(true, false) }))
