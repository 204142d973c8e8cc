/**
 * How work in the server fails.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * Any exception in a handler.
 *
 * @internal
 */
export class Crash extends Data.TaggedError("Crash") {}

/**
 * The process ended while it worked.
 *
 * @internal
 */
export class Died extends Data.TaggedError("Died") {}
