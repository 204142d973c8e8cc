/**
 * The options that verbs take, as a caller without types may give them.
 *
 * @internal
 */
import type {
  BulkOptions,
  DeleteOptions,
  FollowOptions,
  StopOptions,
  StreamOptions,
  SubscribeOptions,
  WaitOptions
} from "../Task.js"
import { aFunction, anything, aSchedule, given, oneOf } from "./validate.js"

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

/** @internal */
export const ofStream = (operation: string, options: StreamOptions | undefined) =>
  given(operation, options, {
    ...following,
    transport: oneOf("subscribe", "direct"),
    cleanup: oneOf("delete", "keep")
  })

/** @internal */
export const ofSubscribe = (operation: string, options: SubscribeOptions | undefined) =>
  given<SubscribeOptions & FollowOptions>(operation, options, { ...following, fromToken: anything })

/** @internal */
export const ofWait = (operation: string, options: WaitOptions | undefined) => given(operation, options, waiting)

/** @internal */
export const ofBulk = (operation: string, options: BulkOptions | undefined) =>
  given(operation, options, { ...waiting, concurrency: anything, failures: oneOf("values", "fail") })

/** @internal */
export const ofStop = (operation: string, options: StopOptions | undefined) =>
  given(operation, options, { within: anything })

/** @internal */
export const ofDelete = (operation: string, options: DeleteOptions | undefined) =>
  given(operation, options, { force: oneOf(true, false) })
