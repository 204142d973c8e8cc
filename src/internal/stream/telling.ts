/**
 * What a run is told as: its text alone, its events, or only its end.
 */
import { constUndefined } from "effect/Function"
import { StreamEvent, type TaskId, type TaskResult } from "../../Protocol.js"

export interface Telling<A> {
  readonly started: (taskId: TaskId, prefillTime: TaskResult["prefillTime"]) => A | undefined
  readonly text: (text: string) => A | undefined
  readonly finished: (result: TaskResult) => A | undefined
}

export const texts: Telling<string> = { started: constUndefined, text: (text) => text, finished: constUndefined }

export const events: Telling<StreamEvent> = {
  started: (taskId, prefillTime) => StreamEvent.Started({ taskId, prefillTime }),
  text: (text) => StreamEvent.Text({ text }),
  finished: (result) => StreamEvent.Finished({ result })
}

export const ends: Telling<TaskResult> = {
  started: constUndefined,
  text: constUndefined,
  finished: (result) => result
}
