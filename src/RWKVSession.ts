/**
 * Chats with a memory, over `StreamService`. `effect-rwkv/RWKVChat` has all of it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as budgets from "./internal/chat/budget.js"
import * as sessions from "./internal/chat/session.js"
import type * as strategies from "./internal/chat/strategy.js"
import type * as turns from "./internal/chat/turn.js"
import { keeperOf } from "./internal/stream/runs.js"
import type { RWKVValidationError } from "./RWKVError.js"
import { Message } from "./RWKVMessage.js"
import { StreamService } from "./StreamService.js"

/**
 * How a turn was sent: the whole chat to a new task, or the new messages to the task of the turn before.
 *
 * @since 0.2.0
 * @category models
 */
export type Strategy = strategies.Strategy

/**
 * How much of a history is sent with a turn.
 *
 * @since 0.2.0
 * @category models
 */
export type Budget = budgets.Budget

/**
 * The input of a turn: text is a message of the user.
 *
 * @since 0.2.0
 * @category models
 */
export type Input = sessions.Input

/**
 * The options of one turn; the session's own are used for those that are not given.
 *
 * @since 0.2.0
 * @category models
 */
export type TurnOptions = sessions.TurnOptions

/**
 * How a session is made: the options of its turns, the messages that it begins with, and how turns are sent.
 *
 * @since 0.2.0
 * @category models
 */
export type SessionOptions = sessions.SessionOptions

/**
 * A turn that has ended.
 *
 * @since 0.2.0
 * @category models
 */
export type Turn = turns.Turn

/**
 * A turn whose task the server has named.
 *
 * @since 0.2.0
 * @category models
 */
export type OpenTurn = turns.OpenTurn

/**
 * A chat with a memory. Its history always ends with whole turns, whatever fails or is interrupted.
 *
 * @since 0.2.0
 * @category models
 */
export type Session = sessions.Session

/**
 * What a session stores.
 *
 * @since 0.2.0
 * @category models
 */
export type SessionState = sessions.SessionState

/**
 * The Schema of {@link SessionState}: what it encodes is JSON. No task is in it, so another process can continue it.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const Stored = Schema.parseJson(RWKVChat.SessionState)
 *
 * const restored = (json: string) => Effect.flatMap(Schema.decode(Stored)(json), (state) => RWKVChat.resume(state))
 * ```
 *
 * @since 0.2.0
 * @category schemas
 */
export const SessionState: Schema.Schema<SessionState> = Schema.Struct({
  version: Schema.Literal(1),
  system: Schema.optional(Schema.String),
  messages: Schema.Array(Message)
})

/**
 * Begins a chat with a memory. It lives as long as the Scope: when that is closed, a turn that runs is left, its task
 * is stopped, and nothing of the session stays on the server; whoever waits or reads fails with `RWKVConnectionError`.
 *
 * Fails with `RWKVValidationError` for options that are out of range, and for a history that no prompt can have.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RWKV } from "effect-rwkv"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 * import { Emulator } from "effect-rwkv/testing"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const session = yield* RWKVChat.session({ system: "Be brief.", think: "short", generation: { maxTokens: 1000 } })
 *   yield* session.send("Why is the sky blue?")
 *   const { reply } = yield* session.send("And at sunset?")
 *   yield* Effect.log(reply.text)
 * }))
 *
 * await Effect.runPromise(program.pipe(Effect.provide(RWKV.layer()), Effect.provide(Emulator.layer())))
 * ```
 *
 * @since 0.2.0
 * @category sessions
 */
export const session = (
  options: SessionOptions = {}
): Effect.Effect<Session, RWKVValidationError, StreamService | Scope.Scope> =>
  Effect.flatMap(StreamService, (streams) =>
    sessions.make({
      open: (request, options) => streams.open(request, options),
      // A service that the program made has no keeper: each turn is a replay.
      keeper: keeperOf(streams)
    }, options))

/**
 * Continues a session from its `Session.state`, here or in another process. The first turn is a replay. The options are
 * those of {@link session}; a given `system` replaces the stored one. Fails with `RWKVValidationError` if the state or
 * an option is invalid.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as RWKVChat from "effect-rwkv/RWKVChat"
 *
 * const program = Effect.gen(function*() {
 *   const messages = [RWKVChat.user("Hi"), RWKVChat.assistant("Hello!")]
 *   const session = yield* RWKVChat.resume({ version: 1, messages })
 *   return yield* session.send("What did I say?")
 * })
 * ```
 *
 * @since 0.2.0
 * @category sessions
 */
export const resume = (
  state: SessionState,
  options: Omit<SessionOptions, "history"> = {}
): Effect.Effect<Session, RWKVValidationError, StreamService | Scope.Scope> =>
  session({ system: state.system, ...options, history: state.messages })
