/**
 * A chat with a memory: its turns one after the other, and the history that they leave.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RWKVError, RWKVValidationError } from "../../RWKVError.js"
import type { Message, ReplyPart } from "../../RWKVMessage.js"
import { encoder } from "../input/request.js"
import * as rule from "../input/rules.js"
import { attempt, relabelled } from "../input/validate.js"
import * as Budgets from "./budget.js"
import { type Checked, messagesAt, type PromptOptions, refuse } from "./check.js"
import { stops, type Think, type ToolChoice } from "./format.js"
import { render } from "./prompt.js"
import * as Queue from "./queue.js"
import { begin, type Keeper, type Live, type Sending, type Server } from "./strategy.js"
import * as Turns from "./turn.js"

/** The options of a turn; the session's own are used for those that are not given. */
export interface TurnOptions extends PromptOptions {
  /** Generation options, merged with the session's key by key, such as `RWKVChat.presets.rwkvPip` and `maxTokens`. */
  readonly generation?: Sending["generation"] | undefined
  /** Stop sequences of the reply; `RWKVChat.stops` by default, `[]` for none. */
  readonly stop?: ReadonlyArray<string> | undefined
}

export interface SessionOptions extends TurnOptions {
  /** The system's message, for the whole chat. It is no part of the history. */
  readonly system?: string | undefined
  /** The messages that the chat begins with; none by default. */
  readonly history?: ReadonlyArray<Message> | undefined
  /**
   * `"replay"`, the default, sends the whole chat to a new task with each turn: right on every server. `"continue"`
   * sends only what is new to the task of the turn before; it needs `maxTokens`, without which nobody knows how a run
   * has ended, and replays where that task cannot be continued.
   */
  readonly strategy?: "replay" | "continue" | undefined
  /**
   * What becomes of a turn that is left before its end, by an interrupt or a stream's reader. `"drop"`, the default,
   * leaves the history as it was; `"keep"` adds what was sent and the parts of the reply that were delivered, if there
   * are any.
   */
  readonly onInterrupt?: "drop" | "keep" | undefined
  /**
   * How much of the history is sent; all of it by default. A function gets the history without the new input, and
   * returns the messages to send in its place. The history itself stays whole. A turn fails with `RWKVValidationError`
   * if the function throws, or returns messages that make no prompt.
   */
  readonly budget?: Budgets.Budget | undefined
}

/** What a session stores: plain JSON by its Schema. */
export interface SessionState {
  readonly version: 1
  readonly system?: string | undefined
  readonly messages: ReadonlyArray<Message>
}

/** Text is a message of the user. Results of tools are sent as messages. */
export type Input = string | Message | ReadonlyArray<Message>

export interface Session {
  /**
   * Sends a turn and reads its reply. Turns are sent one after the other, in the order in which they came. If it is
   * interrupted, the task is stopped. A turn that fails leaves the history as it was.
   */
  readonly send: (input: Input, options?: TurnOptions) => Effect.Effect<Turns.Turn, RWKVError>
  /** The parts of a reply while it comes. Leaving it early leaves the turn. */
  readonly stream: (input: Input, options?: TurnOptions) => Stream.Stream<ReplyPart, RWKVError>
  /**
   * Sends a turn and yields once the server has named its task. Closing the Scope early leaves the turn. Until the turn
   * has ended no other begins: read its parts, or wait for it, or close the Scope.
   */
  readonly open: (
    input: Input,
    options?: TurnOptions
  ) => Effect.Effect<Turns.OpenTurn, RWKVError, Scope.Scope>
  /** The messages so far, whole turns only, without the system's. */
  readonly history: Effect.Effect<ReadonlyArray<Message>>
  /** What `RWKVChat.resume` goes on from, here or in another process. */
  readonly state: Effect.Effect<SessionState>
  /**
   * Removes the user's last message and all after it, and returns them; none if there is none. It waits like a turn.
   */
  readonly undo: Effect.Effect<ReadonlyArray<Message>>
  /** A session of its own with the history of now, and with other options if they are given. */
  readonly branch: (
    options?: Omit<SessionOptions, "history">
  ) => Effect.Effect<Session, RWKVValidationError, Scope.Scope>
}

const operation = "RWKVChat.session"

const turnFields = () => ({
  think: rule.anything<Think>(),
  toolChoice: rule.anything<ToolChoice>(),
  tools: rule.anything<PromptOptions["tools"]>(),
  generation: rule.anything<Sending["generation"]>(),
  stop: rule.anything<ReadonlyArray<string>>()
})

const turnOptions = encoder(Schema.Struct(turnFields()))

const sessionOptions = encoder(Schema.Struct({
  ...turnFields(),
  system: rule.optional(rule.text),
  history: rule.anything<ReadonlyArray<Message>>(),
  strategy: rule.oneOf("replay", "continue"),
  onInterrupt: rule.oneOf("drop", "keep"),
  budget: rule.anything<Budgets.Budget>()
}))

const named = <A>(check: Checked<A>): Checked<A> => Effect.mapError(check, relabelled(operation))

/** The input as a list of messages. */
const listOf = (input: Input): unknown =>
  typeof input === "string" ? [{ _tag: "User", content: input }] : Array.isArray(input) ? input : [input]

const isSystem = ({ _tag }: Message) => _tag === "System"

const inputOf = (input: Input): Checked<ReadonlyArray<Message>> =>
  Effect.filterOrElse(
    messagesAt("input", listOf(input)),
    (messages) => messages.length > 0 && !messages.some(isSystem),
    () => refuse("input", "must be messages, none of them the system's")
  )

/** The options of a turn, copied because the caller may change its objects later. */
const sendingOf = (usual: Sending, given: TurnOptions): Checked<Sending> =>
  Effect.map(
    Effect.all({
      generation: attempt(operation, "generation", () => ({ ...usual.generation, ...given.generation })),
      stop: attempt(operation, "stop", () => Array.from(given.stop ?? usual.stop))
    }),
    ({ generation, stop }) => {
      const { think = usual.prompt.think, toolChoice = usual.prompt.toolChoice, tools = usual.prompt.tools } = given
      return { generation, stop, prompt: { think, toolChoice, tools } }
    }
  )

const nothing: Sending = { prompt: {}, generation: {}, stop: stops }

/** Fails if the history cannot be rendered as a prompt. */
const checkHistory = (system: ReadonlyArray<Message>, history: ReadonlyArray<Message>, prompt: PromptOptions) =>
  Effect.mapError(
    render(operation, [...system, ...history, { _tag: "User", content: "?" }], prompt),
    relabelled(
      operation,
      (path) =>
        path.replace(
          /^messages\.(\d+)/,
          (_, at) => Number(at) < system.length ? "system" : `history.${Number(at) - system.length}`
        )
    )
  )

/** Checks the options. A system's message at the start of the history becomes the session's. */
const beginning = (given: SessionOptions) =>
  Effect.gen(function*() {
    const options = yield* sessionOptions(operation, given)
    yield* named(Budgets.check(options.budget))
    const usual = yield* sendingOf(nothing, options)
    const [first, ...rest] = yield* named(messagesAt("history", options.history ?? []))
    const begins = first?._tag === "System" && options.system === undefined
    const text = begins ? first.content : options.system
    const system: ReadonlyArray<Message> = text === undefined ? [] : [{ _tag: "System", content: text }]
    const history: ReadonlyArray<Message> = begins || first === undefined ? rest : [first, ...rest]
    yield* checkHistory(system, history, usual.prompt)
    return { options, usual, text, system, history }
  })

/** The task that the next turn may continue; undefined if nobody knows how its run ended. */
const liveOf = (keeper: Keeper, hasRead: ReadonlyArray<Message>, { begun, result }: Turns.Ended): Live | undefined => {
  const { finishReason: end } = result
  if (end !== "stop" && end !== "length") return undefined
  const { generation, run, tools } = begun
  // An undecodable tail follows the known text, whose line breaks are then not at the end.
  const text = result.undecodedTail ? "" : result.text
  return { held: keeper.hold(run.taskId), hasRead, text, end, generation, tools }
}

export const make = (
  server: Server,
  given: SessionOptions = {}
): Effect.Effect<Session, RWKVValidationError, Scope.Scope> =>
  Effect.gen(function*() {
    const { history, options, system, text, usual } = yield* beginning(given)
    let messages = history
    const enter = Queue.make()
    let live: Live | undefined
    let isClosed = false
    let closeCurrent: Effect.Effect<void> = Effect.void
    const drop = Effect.suspend(() => live?.held.drop ?? Effect.void)
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isClosed = true
        return Effect.zipRight(closeCurrent, drop)
      })
    )

    const keeper = options.strategy === "continue" ? server.keeper : undefined
    const commit: Turns.Setting["commit"] = (added, ended) => {
      messages = [...messages, ...added]
      if (ended === undefined || keeper === undefined || isClosed) return false
      const next = liveOf(keeper, messages, ended)
      live = next ?? live
      return next !== undefined
    }
    const about = { server: { ...server, keeper }, operation, system, budget: options.budget }

    const open: Session["open"] = (input, given = {}) =>
      Effect.gen(function*() {
        const own = yield* turnOptions(operation, given)
        const sending = yield* sendingOf(usual, own)
        const sent = yield* named(inputOf(input))
        return yield* Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const leave = yield* enter(restore)
            if (isClosed) return yield* Effect.zipRight(leave, closedBefore)
            const turn = yield* Turns.make({
              operation,
              input: sent,
              reply: sending.prompt,
              keepsPart: options.onInterrupt === "keep",
              begin: (keeps) =>
                Effect.suspend(() => begin({ ...about, history: messages, input: sent, sending, live, keeps })),
              commit,
              leave
            })
            closeCurrent = turn.close
            yield* Effect.addFinalizer(() => turn.abandon)
            return yield* restore(turn.open)
          })
        )
      })
    const closedBefore = Effect.suspend(() => Effect.fail(Turns.closed(operation, false)))

    const session: Session = {
      open,
      stream: (input, options) => Stream.unwrapScoped(Effect.map(open(input, options), ({ parts }) => parts)),
      send: (input, options) =>
        Effect.scoped(
          Effect.flatMap(open(input, options), ({ parts, turn }) => Effect.zipRight(Stream.runDrain(parts), turn))
        ),
      history: Effect.sync(() => messages),
      state: Effect.sync(() => ({ version: 1, ...(text === undefined ? {} : { system: text }), messages })),
      undo: Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(enter(restore), (leave) =>
          Effect.suspend(() => {
            const at = messages.findLastIndex(({ _tag }) => _tag === "User")
            const undone = at < 0 ? [] : messages.slice(at)
            if (at >= 0) messages = messages.slice(0, at)
            return Effect.as(undone.length > 0 ? drop : Effect.void, undone)
          }).pipe(Effect.ensuring(leave)))
      ),
      branch: (other) => Effect.suspend(() => make(server, { ...options, system: text, ...other, history: messages }))
    }
    return session
  })
