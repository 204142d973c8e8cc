/**
 * Starts the run of a turn: a new task that reads the whole chat, or the task that has read the history and continues
 * with what is new.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { FinishReason } from "../../Finish.js"
import type { ContinueRequest, GenerationOptions } from "../../Generation.js"
import type { TaskId, TaskResult } from "../../Protocol.js"
import type { RWKVError } from "../../RWKVError.js"
import type { Message } from "../../RWKVMessage.js"
import { relabelled } from "../input/validate.js"
import { apply, type Budget } from "./budget.js"
import type { Checked, PromptOptions } from "./check.js"
import { between, json } from "./format.js"
import { render, renderTurns } from "./prompt.js"

/** How a turn was sent: `"replay"` the whole chat to a new task, `"continue"` the new messages to the task before. */
export type Strategy = "replay" | "continue"

/** A run whose task the server has named. */
interface Opened {
  readonly taskId: TaskId
  readonly text: Stream.Stream<string, RWKVError>
  readonly finished: Effect.Effect<TaskResult, RWKVError>
}

type Opening = Effect.Effect<Opened, RWKVError, Scope.Scope>

interface Stopping {
  readonly stop?: ReadonlyArray<string>
}

/** A task between two runs. */
interface Held {
  readonly taskId: TaskId
  /** Whether it was neither continued nor deleted yet. */
  readonly isHeld: () => boolean
  readonly take: () => void
  /** Deletes it in the background. */
  readonly drop: Effect.Effect<void>
}

/** Keeps tasks from run to run. `keeps` is asked when the run is left; a task that is not kept is deleted. */
export interface Keeper {
  readonly create: (
    request: GenerationOptions & { readonly prompt: string },
    options: Stopping,
    keeps: () => boolean
  ) => Opening
  readonly continue: (held: Held, request: ContinueRequest, options: Stopping, keeps: () => boolean) => Opening
  readonly hold: (id: TaskId) => Held
}

export interface Server {
  readonly open: (request: GenerationOptions & { readonly prompt: string }, options: Stopping) => Opening
  /** Undefined where tasks cannot be kept: each turn is a replay. */
  readonly keeper: Keeper | undefined
}

/** What a turn is sent with. */
export interface Sending {
  readonly prompt: PromptOptions
  readonly generation: Omit<GenerationOptions, "seed">
  readonly stop: ReadonlyArray<string>
}

/** A task that has read a history. */
export interface Live {
  readonly held: Held
  /** The history that the task has read, compared by identity. */
  readonly hasRead: ReadonlyArray<Message>
  /** The text of the last run, as the server has it; empty if it ends within a character. */
  readonly text: string
  readonly end: FinishReason
  readonly generation: Sending["generation"]
  readonly tools: string
}

interface Begin {
  readonly server: Server
  readonly operation: string
  readonly system: ReadonlyArray<Message>
  readonly history: ReadonlyArray<Message>
  readonly input: ReadonlyArray<Message>
  readonly sending: Sending
  readonly budget: Budget | undefined
  readonly live: Live | undefined
  readonly keeps: () => boolean
}

/** Maps the index of a refused message to its path in what the caller gave. */
const placed = ({ budget, input, operation, system }: Begin, kept: number) => {
  const place = (index: number) => {
    if (index < system.length) return "system"
    const at = index - system.length
    if (at < kept) return `${typeof budget === "function" ? "budget" : "history"}.${at}`
    return input.length === 1 ? "input" : `input.${at - kept}`
  }
  return relabelled(operation, (path) => path.replace(/^messages\.(\d+)/, (_, index) => place(Number(index))))
}

/** What is missing of the blank line that ends the last turn, if the model did not end it. */
const gapOf = ({ end, text }: Live): string =>
  end === "stop" ? "" : between.slice(Math.min(between.length, /\n*$/.exec(text)?.[0].length ?? 0))

/** The task keeps the value of an option that is not sent, so all that were set before must be set again. */
const isCovered = (before: Sending["generation"], now: Sending["generation"]) => {
  const given = new Map(Object.entries(now))
  return Object.entries(before).every(([key, value]) => value === undefined || given.get(key) !== undefined)
}

/** Whether the task has read just this history, which it has not after a stop sequence or an unknown end. */
const mayContinue = (live: Live, { history, sending }: Begin, kept: ReadonlyArray<Message>, tools: string): boolean =>
  live.hasRead === history && kept === history && live.held.isHeld() && live.tools === tools
  && (live.end === "stop" || live.end === "length") && isCovered(live.generation, sending.generation)

const isLost = ({ _tag }: RWKVError) =>
  _tag === "TaskNotFoundError" || _tag === "TaskBusyError" || _tag === "UnsupportedByServerError"

export interface Begun extends Pick<Live, "generation" | "tools"> {
  readonly run: Opened
  readonly strategy: Strategy
}

/** Starts the run; the task of the turn before is deleted unless it is continued. */
export const begin = (given: Begin): Effect.Effect<Begun, RWKVError, Scope.Scope> =>
  Effect.gen(function*() {
    const { budget, history, input, keeps, live, operation, sending, server, system } = given
    const { keeper } = server
    const options = sending.stop.length === 0 ? {} : { stop: sending.stop }
    const rendered = (kept: ReadonlyArray<Message>, text: Checked<{ readonly prompt: string }>) =>
      Effect.mapError(Effect.map(text, ({ prompt }) => prompt), placed(given, kept.length))
    const drop = live === undefined ? Effect.void : live.held.drop

    const kept = yield* Effect.mapError(apply(budget, history, input), placed(given, 0))
    const all = [...system, ...kept, ...input]
    const prompt = yield* rendered(kept, render(operation, all, sending.prompt))
    const { generation } = sending
    const tools = json(sending.prompt.tools ?? [])
    const replay = Effect.gen(function*() {
      yield* drop
      const request = { ...generation, prompt }
      const run = yield* keeper === undefined ? server.open(request, options) : keeper.create(request, options, keeps)
      return { run, strategy: "replay" as const, generation, tools }
    })
    if (keeper === undefined || live === undefined || !mayContinue(live, given, kept, tools)) return yield* replay
    const turns = yield* rendered(kept, renderTurns(operation, all, all.length - input.length, sending.prompt))
    return yield* keeper.continue(live.held, { ...generation, prompt: gapOf(live) + turns }, options, keeps).pipe(
      Effect.map((run) => ({ run, strategy: "continue" as const, generation, tools })),
      Effect.catchIf(isLost, () => replay)
    )
  })
