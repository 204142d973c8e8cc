/**
 * The options that verbs take, as a caller without types may give them.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type {
  BulkOptions,
  DeleteOptions,
  FollowOptions,
  StopOptions,
  StreamOptions,
  SubscribeOptions,
  WaitOptions
} from "../../Task.js"
import { aFunction, anything, aSchedule, given, oneOf, type OptionRule } from "./validate.js"

const following = {
  onInterrupt: oneOf("stop", "detach"),
  idleTimeout: anything,
  stallTimeout: anything,
  stopTimeout: anything,
  retry: aSchedule
}

const waiting = {
  timeout: anything,
  schedule: aSchedule,
  by: oneOf("polling", "subscription"),
  onProgress: aFunction
}

/** Options that were not given, as nearly always, are not looked through. */
const reader = <A extends object>(rules: { readonly [K in keyof Required<A>]: OptionRule }) => {
  const nothing: Effect.Effect<Partial<A>> = Effect.succeed({})
  return (operation: string, options: A | undefined) =>
    options === undefined ? nothing : given<A>(operation, options, rules)
}

/** @internal */
export const ofStream = reader<StreamOptions>({
  ...following,
  transport: oneOf("subscribe", "direct"),
  cleanup: oneOf("delete", "keep")
})

/** @internal */
export const ofSubscribe = reader<SubscribeOptions & FollowOptions>({ ...following, fromToken: anything })

/** @internal */
export const ofWait = reader<WaitOptions>(waiting)

/** @internal */
export const ofBulk = reader<BulkOptions>({ ...waiting, concurrency: anything, failures: oneOf("values", "fail") })

/** @internal */
export const ofStop = reader<StopOptions>({ within: anything })

/** @internal */
export const ofDelete = reader<DeleteOptions>({ force: oneOf(true, false) })
