/**
 * Reading a prompt: what `prefill` does to a task.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { compile } from "../model/script.js"
import * as Session from "../model/session.js"
import { decodeLossy, encode } from "../model/text.js"
import { between, seconds } from "./clock.js"
import { Crash, type Died } from "./failure.js"
import type { Machine } from "./machine.js"
import type { PromptRequest } from "./options.js"
import { FINISHED, PREFILL, READY, RUNNING, type Task, touch } from "./task.js"

/**
 * Text, or token ids as written.
 *
 * @internal
 */
type Prompt = string | ReadonlyArray<string>

/** @internal */
type Endpoint = PromptRequest["endpoint"]

const embeddings = 65536

const tokenize = (prompt: Prompt): ReadonlyArray<number> =>
  typeof prompt === "string" ? Array.from(encode(prompt), (byte) => byte + 1) : prompt.map(Number)

const isUnknown = (id: number): boolean => id < 0 || id >= embeddings

/** No number that a slot of the batch can hold. */
const isTooLong = (id: number): boolean => id < -(2 ** 31) || id >= 2 ** 31

/** Text that cannot be written as UTF-8 cannot be read. */
const isReadable = (prompt: Prompt): boolean => typeof prompt !== "string" || prompt.isWellFormed()

const promptText = (prompt: Prompt, ids: ReadonlyArray<number>): string =>
  typeof prompt === "string" ?
    prompt :
    decodeLossy(Uint8Array.from(ids.filter((id) => id > 0 && id <= 256).map((id) => id - 1)))

/** The session as it is after the prompt; a run that is to begin asks the user's `reply` what to say. */
const readInto = (
  machine: Machine,
  endpoint: Endpoint,
  taskId: string,
  task: Task,
  prompt: Prompt,
  ids: ReadonlyArray<number>
): Session.Session | undefined => {
  const text = promptText(prompt, ids)
  const reply = machine.settings.reply({
    endpoint,
    taskId,
    text,
    tokens: typeof prompt === "string" ? undefined : ids,
    maxTokens: task.parameters.maxTokens,
    before: Session.runs(task.session)
  })
  if (reply === undefined && ids.length === 0) return undefined
  return Session.read(task.session, text, ids, reply === undefined ? undefined : compile(reply))
}

const begin = (task: Task): void => {
  task.status = task.parameters.maxTokens === 0 ? FINISHED : READY
  task.endedBy = "length"
  touch(task)
}

/** @internal */
export const isBusy = (machine: Machine, task: Task): boolean =>
  task.status === RUNNING || (machine.documented && task.status === READY)

/**
 * The failures come after the damage: an empty or unreadable prompt has already wiped the result (H24).
 *
 * @internal
 */
export const prefill = (
  machine: Machine,
  endpoint: Endpoint,
  taskId: string,
  task: Task,
  prompt: Prompt
): Effect.Effect<void, Crash | Died> =>
  Effect.gen(function*() {
    if (isBusy(machine, task)) return yield* new Crash()
    task.buffer.length = 0
    task.status = PREFILL
    const ids = isReadable(prompt) ? tokenize(prompt) : []
    if (!task.handle || ids.length === 0 || ids.slice(0, -1).some(isUnknown)) return yield* new Crash()
    const before = yield* seconds
    if (machine.settings.prefillPerToken > 0) {
      yield* Effect.raceFirst(Effect.sleep(ids.length * machine.settings.prefillPerToken), machine.death)
    }
    const after = yield* seconds
    const last = ids.at(-1) ?? 0
    task.poison = isTooLong(last) ? "task" : isUnknown(last) ? "server" : undefined
    task.prefillTime = between(before, after)
    task.integerTimes = false
    task.session = readInto(machine, endpoint, taskId, task, prompt, ids) ?? task.session
    if (task.parameters.maxTokens === 0) task.finish = after
    begin(task)
  })

/**
 * The documented server goes on generating without a prompt.
 *
 * @internal
 */
export const proceed = (machine: Machine, endpoint: Endpoint, taskId: string, task: Task): void => {
  task.buffer.length = 0
  task.session = readInto(machine, endpoint, taskId, task, "", []) ?? task.session
  begin(task)
}
