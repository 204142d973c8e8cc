/** The books of a batch that was killed: what was asked for, what the server has made, what arrived. */
import { Chunk, Effect, Schedule } from "effect"
import { answer, type Created, Server } from "./server.js"
import { type Database, recorded, results } from "./database.js"
import { expect, note } from "./report.js"

/** A kill, and the tasks whose ids died with the runner: their prompts are sent again. */
export interface Kill {
  readonly at: number
  readonly lost: ReadonlyArray<Created>
}

/** When a runner stopped to record what it did, and for how long creates of it could still arrive, in milliseconds. */
export interface Moment {
  readonly at: number
  readonly within: number
}

export const prompt = (index: number) => `prompt ${index}`

/** The prompt that a key of the sink is for: keys end with its place in the batch. */
const promptOf = (key: string) => prompt(Number(key.split("/").at(-1)))

/** Waits until no create arrives any more: what was on its way at a kill reaches the server all the same. */
export const quiet = Effect.flatMap(Server, ({ created }) =>
  Effect.suspend(() => {
    const before = created.length
    return Effect.map(Effect.sleep("250 millis"), () => created.length === before)
  }).pipe(Effect.repeat({ until: (same) => same })))

/** The tasks that no record names, of those not known as lost yet. */
export const lost = (database: Database, known: ReadonlyArray<Kill>) =>
  Effect.gen(function*() {
    const { created } = yield* Server
    const gone = new Set(known.flatMap(({ lost }) => lost.map(({ taskId }) => taskId)))
    const ids = created.map(({ taskId }) => taskId).filter((taskId) => !gone.has(taskId))
    const kept = yield* recorded(database, ids)
    return created.filter(({ taskId }) => !gone.has(taskId) && !kept.has(taskId))
  })

/**
 * The tasks that no record names at the end, given to the kills that they can be of: made before it, and made anew after
 * it. Those of no kill are the second part.
 */
export const attributed = (database: Database, moments: ReadonlyArray<Moment>) =>
  Effect.gen(function*() {
    const { created } = yield* Server
    const gone = yield* lost(database, [])
    const killOf = (task: Created) => {
      const next = created.find(({ at, prompt }) => prompt === task.prompt && at > task.at)
      return moments.find(({ at, within }) => task.at <= at + within && next !== undefined && at <= next.at)
    }
    const kills = moments.map((moment) => ({ at: moment.at, lost: gone.filter((task) => killOf(task) === moment) }))
    return [kills, gone.filter((task) => killOf(task) === undefined)] as const
  })

/** Waits for something to become true, or says after the seconds that it did not. */
export const becomes = <E, R>(condition: Effect.Effect<boolean, E, R>, seconds: number) =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("50 millis") }),
    Effect.as(true),
    Effect.timeoutTo({ duration: `${seconds} seconds`, onSuccess: () => true, onTimeout: () => false })
  )

const listed = (created: Iterable<string>) => Array.from(created).slice(0, 8).join(", ")

/** What must hold at the end of a batch, whoever was killed under way. */
export const balance = (database: Database, prompts: number, kills: ReadonlyArray<Kill>) =>
  Effect.gen(function*() {
    const { created, emulator } = yield* Server
    const running = yield* emulator.running
    const rows = yield* results(database)
    const wanted = new Set(Array.from({ length: prompts }, (_, index) => prompt(index)))
    const keys = new Set(rows.map(({ key }) => promptOf(key)))
    yield* expect(
      `${prompts} results, each by its key once`,
      rows.length === prompts && Array.from(wanted).every((prompt) => keys.has(prompt)),
      `${rows.length} rows, missing: ${listed(Array.from(wanted).filter((prompt) => !keys.has(prompt)))}`
    )
    const wrong = rows.filter(({ key, text }) => !text.startsWith(answer(promptOf(key))))
    yield* expect("each is the answer to its prompt", wrong.length === 0, wrong.slice(0, 3))
    const gone = kills.flatMap(({ lost }) => lost)
    yield* expect(
      `${created.length} creates: one for each prompt and one more for each of the ${gone.length} whose answer no record holds`,
      created.length === prompts + gone.length,
      `${created.length - prompts - gone.length} more`
    )
    const times = Chunk.reduce(Chunk.fromIterable(created), new Map<string, number>(), (times, { prompt }) =>
      times.set(prompt, (times.get(prompt) ?? 0) + 1))
    const again = Chunk.reduce(Chunk.fromIterable(gone), new Map<string, number>(), (again, { prompt }) =>
      again.set(prompt, (again.get(prompt) ?? 0) + 1))
    const odd = Array.from(wanted).filter((prompt) =>
      times.get(prompt) !== 1 + (again.get(prompt) ?? 0)
    )
    yield* expect("and those are the prompts that were sent again", odd.length === 0, listed(odd))
    yield* expect(
      "no task runs at the end",
      yield* becomes(
        Effect.map(emulator.running, (n) =>
          n === 0),
        10
      )
    )
    const left = (yield* emulator.tasks).map(({ taskId }) =>
      taskId
    )
    const orphans = new Set(gone.map(({ taskId }) => taskId))
    const kept = left.filter((taskId) => !orphans.has(taskId))
    yield* expect(
      "every task whose result is recorded is deleted",
      kept.length === 0,
      `${kept.length}: ${listed(kept)}`
    )
    const repeated = rows.reduce((sum, { deliveries }) => sum + deliveries - 1, 0)
    yield* note(
      `${kills.length} kills, ${
        created.length - prompts
      } creates beyond ${prompts}, ${repeated} results handed over twice, ` +
        `${running} tasks ran on when the batch was done`
    )
  })
