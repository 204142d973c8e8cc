/**
 * What all errors have in common: fields, categories, and how their messages are worded.
 */
import type { YieldableError } from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { type Categories, properties } from "./categories.js"

export const common = {
  operation: Schema.String,
  workBegun: Schema.optional(Schema.Boolean),
  requestId: Schema.optional(Schema.String)
}

type AllFields<Tag extends string, Fields> = { readonly _tag: Schema.tag<Tag> } & typeof common & Fields

/** The class that `Schema.TaggedError` makes; its instances have `Categories`. */
type ErrorClass<Self, Fields extends Schema.Struct.Fields> =
  & Schema.Class<
    Self,
    Fields,
    Schema.Struct.Encoded<Fields>,
    Schema.Struct.Context<Fields>,
    Schema.Struct.Constructor<Omit<Fields, "_tag">>,
    Categories,
    YieldableError
  >
  & { readonly _tag: string }

export function tagged<Self>(): <Tag extends string, Fields extends Schema.Struct.Fields>(
  tag: Tag,
  fields: Fields
) => ErrorClass<Self, AllFields<Tag, Fields>>
export function tagged(): (tag: string, fields: Schema.Struct.Fields) => object {
  return (tag, fields) => {
    const made = Schema.TaggedError<object>(`effect-rwkv/${tag}`)(tag, { ...common, ...fields })
    Object.defineProperties(made.prototype, properties)
    return made
  }
}

export const taskId = Schema.optional(Schema.String)

export const ofTask = { taskId: Schema.String }

export const answered = {
  taskId,
  status: Schema.Number,
  description: Schema.String,
  retryAfter: Schema.optional(Schema.Duration)
}

/** Marks the failure of an operation that had made the server work before: repeating it would do that work twice. */
export const begun = <E extends { readonly workBegun?: boolean | undefined }>(error: E): E =>
  Object.assign(error, { workBegun: true })

interface Named {
  readonly operation: string
  readonly taskId?: string | undefined
}

/** The fields that say what an error is about. */
export const about = ({ operation, taskId }: Named) => ({ operation, taskId })

const task = (taskId: string | undefined) => taskId === undefined ? "" : ` (task ${taskId})`

/** A message that names the task only at its end. */
export const line = ({ operation, taskId }: Named, what: string): string => `${operation}: ${what}${task(taskId)}`

/** An error's message without operation and task, to be quoted in a message that names both. */
export const bare = ({ message, operation, taskId }: Named & { readonly message: string }): string =>
  message.replace(`${operation}: `, "").replace(task(taskId), "").replace(`task ${taskId} `, "the task ")

/** Formats a duration in whole milliseconds: limits that are sums of pauses have fractions. */
export const time = (duration: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.round(Duration.toMillis(duration))))
