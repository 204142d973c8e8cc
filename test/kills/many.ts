/** Many machines: PostgreSQL, and two runners of which one at a time is killed and replaced. */
import { FileSystem } from "@effect/platform"
import { Clock, Effect, Exit, Random, Scope } from "effect"
import { attributed, balance, becomes, quiet } from "./account.js"
import { type Database, postgres } from "./database.js"
import * as Postgres from "./postgres.js"
import type { Way } from "./halt.js"
import { expect, note } from "./report.js"
import { type Runner, start } from "./runner.js"
import { Server } from "./server.js"

/** A runner that can be replaced. */
interface Slot {
  readonly runner: Runner
  readonly port: number
}

export const database = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { url } = yield* Postgres.make(yield* fs.makeTempDirectoryScoped({ prefix: "durable-postgres-" }))
  return yield* postgres(url)
})

const environment = (database: Database, prompts: number, port: number) =>
  Effect.map(Server, ({ url }) => ({
    ...database.env,
    RWKV_BASE_URL: url,
    PROMPTS: `${prompts}`,
    PORT: `${port}`,
    // A killed runner is missed after so long, in place of 35 seconds. On a busy machine less is too little: a runner
    // that does not get to tell that it lives within a third of this gives its work away.
    SHARD_LOCK_EXPIRATION: "15 seconds",
    // Each shard that moves to another runner costs two queries, one after the other: 300 are a second on an idle machine.
    SHARDS_PER_GROUP: "32"
  }))

export const way = Effect.gen(function*() {
  const storage = yield* database
  const scope = yield* Effect.scope
  const server = yield* Server
  const begin = (prompts: number) =>
    Effect.flatMap(
      Effect.flatMap(Postgres.freePort, (port) => environment(storage, prompts, port)),
      (env) => start("many", env)
    ).pipe(
      Scope.extend(scope),
      Effect.provideService(Server, server)
    )
  return { database: storage, start: begin } satisfies Way
})

const open = (database: Database, prompts: number, port: number) =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const runner = yield* Scope.extend(start("many", yield* environment(database, prompts, port)), scope)
    return { runner, port } satisfies Slot
  })

const ending = (runner: Runner) =>
  Effect.timeoutTo(runner.ended, {
    duration: "5 minutes",
    onSuccess: (end) => end,
    onTimeout: () => "no end within 5 minutes"
  })

interface Options {
  readonly prompts: number
  readonly times: number
  readonly signal: "SIGKILL" | "SIGTERM"
}

/** Ends one of the runners at a random moment and lets another one take its place. */
const replace = (slots: Array<Slot>, storage: Database, tasks: number, options: Options) =>
  Effect.gen(function*() {
    const { created } = yield* Server
    const index = yield* Random.nextIntBetween(0, slots.length)
    const slot = yield* Effect.fromNullable(slots[index])
    // One kill in four comes while the runner is starting.
    const isEarly = options.signal === "SIGKILL" && (yield* Random.nextIntBetween(0, 4)) === 0
    if (!isEarly) yield* slot.runner.said(/running/)
    yield* becomes(Effect.sync(() => created.length >= tasks), 120)
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 2500))
    const lives = !(yield* Effect.map(slot.runner.output, (output) => output.includes("done")))
    const before = yield* Clock.currentTimeMillis
    yield* slot.runner.kill(options.signal)
    const now = yield* Clock.currentTimeMillis
    yield* expect(
      `runner ${index} lived until its end, with ${created.length} tasks made, and ended within 20 seconds`,
      lives && now - before < 20_000,
      `${now - before} ms`
    )
    // It comes back on the same machine, or another one takes its place.
    slots[index] = yield* open(
      storage,
      options.prompts,
      (yield* Random.nextBoolean) ? slot.port : yield* Postgres.freePort
    )
    return [slot.runner, now] as const
  })

/** Two runners, of which one at a time is ended and replaced. */
export const replaced = (options: Options) =>
  Effect.gen(function*() {
    const storage = yield* database
    const first = yield* open(storage, options.prompts, yield* Postgres.freePort)
    // It makes the engine's tables: two who do at once fail.
    yield* first.runner.said(/running/)
    const slots = [first, yield* open(storage, options.prompts, yield* Postgres.freePort)]
    // Ending in good order takes 15 seconds, in which the other one does a third of 500.
    const latest = options.signal === "SIGTERM" ? Math.floor(options.prompts / 4) : options.prompts - 60
    const thresholds = yield* Effect.replicateEffect(Random.nextIntBetween(0, latest), options.times)
    const begun = yield* Clock.currentTimeMillis
    const ended = yield* Effect.forEach(
      thresholds.sort((a, b) => a - b),
      (tasks) => replace(slots, storage, tasks, options)
    )
    const last = slots.map(({ runner }) => runner)
    const ends = yield* Effect.forEach(last, ending, { concurrency: "unbounded" })
    yield* expect("the last two finish the batch", ends.every((end) => end === 0), [
      ends,
      ...yield* Effect.forEach(last, ({ output }) => Effect.map(output, (output) => output.slice(-3000)))
    ])
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - begun) / 1000)
    yield* quiet
    // A runner that cannot refresh its locks in time is as good as killed, and says so.
    const expelled = [...ended.map(([runner]) => runner), ...last].flatMap(({ moments }) =>
      moments("is unhealthy").map((at) => ({ at, within: 5000 }))
    )
    const killed = options.signal === "SIGKILL" ? ended.map(([, at]) => ({ at, within: 500 })) : []
    const [kills, rest] = yield* attributed(storage, [...killed, ...expelled].sort((a, b) => a.at - b.at))
    yield* note(
      `${seconds} seconds, ${expelled.length} times a runner lost its locks; ` +
        `sent again after each kill: ${kills.map(({ lost }) => lost.length).join(" ")}`
    )
    yield* expect("what was sent again was under way when a runner was killed", rest.length === 0, rest)
    yield* balance(storage, options.prompts, kills)
  })
