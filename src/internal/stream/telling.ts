/**
 * What a run is told as: its text alone, its events, or only its end.
 *
 * @internal
 */
import { constUndefined } from "effect/Function"
import { StreamEvent, type TaskId, type TaskResult } from "../../Protocol.js"

/** @internal */
export interface Telling<A> {
  readonly started: (taskId: TaskId, prefillTime: TaskResult["prefillTime"]) => A | undefined
  readonly text: (text: string) => A | undefined
  readonly finished: (result: TaskResult) => A | undefined
}

/** @internal */
export const texts: Telling<string> = { started: constUndefined, text: (text) => text, finished: constUndefined }

/** @internal */
export const events: Telling<StreamEvent> = {
  started: (taskId, prefillTime) => StreamEvent.Started({ taskId, prefillTime }),
  text: (text) => StreamEvent.Text({ text }),
  finished: (result) => StreamEvent.Finished({ result })
}

/** @internal */
export const ends: Telling<TaskResult> = {
  started: constUndefined,
  text: constUndefined,
  finished: (result) => result
}
