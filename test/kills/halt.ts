/** Batches that are cancelled, and runners that are told to end: which tasks are stopped, and which run on. */
import { Clock, Effect, Random } from "effect"
import { balance, becomes, lost, quiet } from "./account.js"
import type { Database } from "./database.js"
import { expect, note } from "./report.js"
import type { Runner } from "./runner.js"
import { Server } from "./server.js"

/** How a runner over this database is started. */
export interface Way {
  readonly database: Database
  readonly start: (prompts: number) => Effect.Effect<Runner>
}

/** Of the programs' batch. */
const inFlight = 16

const stops = Effect.map(
  Effect.flatMap(Server, ({ emulator }) => emulator.requests),
  (requests) => requests.filter(({ path }) => path.endsWith("/stop")).length
)

const running = Effect.flatMap(Server, ({ emulator }) => emulator.running)

const told = (runner: Runner) => Effect.map(runner.output, (output) => output.slice(-3000))

/** Waits until so many tasks run, as many as ever do if nothing is said, and all of them are recorded. */
const busy = (database: Database, runners: ReadonlyArray<Runner>, tasks = inFlight) =>
  Effect.gen(function*() {
    for (const runner of runners) yield* runner.said(/running/)
    yield* becomes(Effect.map(running, (running) => running >= tasks), 120)
    yield* quiet
    yield* becomes(Effect.map(lost(database, []), (tasks) => tasks.length === 0), 30)
    return yield* running
  })

const ending = (runner: Runner, seconds: number) =>
  Effect.timeoutTo(runner.ended, {
    duration: `${seconds} seconds`,
    onSuccess: (end) => end,
    onTimeout: () => `no end within ${seconds} seconds`
  })

/** Waits for the end of runners whose batch was cancelled. */
const cancelledEnds = (runners: ReadonlyArray<Runner>) =>
  Effect.forEach(runners, (runner) =>
    Effect.gen(function*() {
      const end = yield* ending(runner, 60)
      const output = yield* told(runner)
      yield* expect("a runner ends and says so", end === 0 && output.includes("cancelled"), `${end}\n${output}`)
      return output
    }))

/** Endless runs, cancelled while as many as may are under way; started again, nothing of it goes on. */
export const cancelled = ({ database, start }: Way, runners: number, least = inFlight) =>
  Effect.gen(function*() {
    const { created } = yield* Server
    const begin = Effect.tap(start(200), (runner) => runner.said(/running/))
    const all = yield* Effect.replicateEffect(begin, runners)
    const tasks = yield* busy(database, all, least)
    const begun = yield* Clock.currentTimeMillis
    yield* all[0]?.type("cancel") ?? Effect.void
    const stopped = yield* becomes(Effect.map(running, (tasks) => tasks === 0), 30)
    const millis = (yield* Clock.currentTimeMillis) - begun
    yield* expect(
      `${tasks} tasks are stopped within 10 seconds`,
      stopped && millis <= 10_000 && tasks >= least,
      `${millis} ms`
    )
    yield* note(`stopped ${tasks} tasks in ${millis} ms`)
    const made = created.length
    yield* cancelledEnds(all)
    const again = yield* start(200)
    const end = yield* ending(again, 60)
    yield* expect("started again it stays cancelled", end === 0, `${end}\n${yield* told(again)}`)
    yield* expect("no task was made after that", created.length === made, `${created.length - made}`)
    yield* expect("no task runs", (yield* running) === 0)
  })

/** The same on a server whose stops may miss (H29): what runs on is told of, and can be found. */
export const missed = ({ database, start }: Way) =>
  Effect.gen(function*() {
    const { emulator } = yield* Server
    const runner = yield* start(200)
    const tasks = yield* busy(database, [runner], 8)
    yield* runner.type("cancel")
    const [output = ""] = yield* cancelledEnds([runner])
    const left = (yield* emulator.tasks).filter(({ status }) => status < 3)
    yield* note(`${tasks - left.length} of ${tasks} tasks were stopped`)
    yield* expect("a warning names each that runs on", left.every(({ taskId }) => output.includes(taskId)), output)
    yield* expect("and none of them was deleted", left.every(({ cached }) => cached), left)
  })

/** Cancelled when its runner was killed: the one that takes over stops what is known. */
export const cancelledLater = ({ database, start }: Way) =>
  Effect.gen(function*() {
    const first = yield* start(200)
    const tasks = yield* busy(database, [first])
    yield* first.kill("SIGKILL")
    const second = yield* start(200)
    yield* second.type("cancel")
    yield* second.said(/running/)
    const begun = yield* Clock.currentTimeMillis
    const stopped = yield* becomes(Effect.map(running, (tasks) => tasks === 0), 30)
    const millis = (yield* Clock.currentTimeMillis) - begun
    yield* expect(
      `${tasks} tasks of a killed runner are stopped within 10 seconds of the next one's start`,
      stopped && millis <= 10_000 && tasks === inFlight,
      `${millis} ms\n${yield* told(second)}`
    )
    const end = yield* ending(second, 60)
    yield* expect("it ends", end === 0, `${end}\n${yield* told(second)}`)
  })

/** SIGTERM, some times: every task runs on and is waited for by the next runner; none is made twice. */
export const restarted = ({ database, start }: Way, options: { readonly prompts: number; readonly times: number }) =>
  Effect.gen(function*() {
    const { created } = yield* Server
    const moments = yield* Effect.replicateEffect(Random.nextIntBetween(0, options.prompts - 40), options.times)
    for (const tasks of moments.sort((a, b) => a - b)) {
      const runner = yield* start(options.prompts)
      yield* runner.said(/running/)
      yield* becomes(Effect.sync(() => created.length >= tasks), 120)
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 2500))
      const begun = yield* Clock.currentTimeMillis
      yield* runner.kill("SIGTERM")
      const millis = (yield* Clock.currentTimeMillis) - begun
      yield* expect("told to end it does, within 20 seconds", millis < 20_000, `${millis} ms\n${yield* told(runner)}`)
      yield* note(`it ended in ${millis} ms, ${created.length} tasks made, ${yield* running} run on`)
    }
    const last = yield* start(options.prompts)
    yield* expect("the last one finishes the batch", (yield* ending(last, 300)) === 0, yield* told(last))
    yield* expect("no task was ever stopped", (yield* stops) === 0, yield* stops)
    yield* balance(database, options.prompts, [])
  })
