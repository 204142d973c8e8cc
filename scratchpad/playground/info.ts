/** What the server tells its page. */
import { Schema } from "effect"

export const Info = Schema.Struct({
  /** The real server, where there is one behind the page. */
  server: Schema.optional(Schema.String),
  /** Where streams are read. */
  streamPorts: Schema.Array(Schema.Number)
})

export type Info = typeof Info.Type
