/** One machine: SQLite, and one runner at a time, killed at random moments. */
import { Clock, Effect, Random, Scope } from "effect"
import { balance, becomes, type Kill, lost, quiet } from "./account.js"
import { type Database, sqlite } from "./database.js"
import type { Way } from "./halt.js"
import { expect, note } from "./report.js"
import { start } from "./runner.js"
import { Server } from "./server.js"

const environment = (database: Database, prompts: number) =>
  Effect.map(Server, ({ url }) => ({ ...database.env, RWKV_BASE_URL: url, PROMPTS: `${prompts}` }))

export const way = (folder: string) =>
  Effect.gen(function*() {
    const database = sqlite(`${folder}/durable.db`)
    const scope = yield* Effect.scope
    const server = yield* Server
    const begin = (prompts: number) =>
      Effect.flatMap(environment(database, prompts), (env) => start("one", env)).pipe(
        Scope.extend(scope),
        Effect.provideService(Server, server)
      )
    return { database, start: begin } satisfies Way
  })

/** Kills a runner when the server has made so many tasks, and then some more milliseconds later. */
const life = (env: Record<string, string>, tasks: number, wait: number) =>
  Effect.scoped(Effect.gen(function*() {
    const { created } = yield* Server
    const runner = yield* start("one", env)
    // One kill in five comes before it has begun.
    if (wait % 5 !== 0) {
      yield* runner.said(/running/)
      yield* becomes(Effect.sync(() => created.length >= tasks), 120)
    }
    yield* Effect.sleep(wait)
    const end = yield* runner.kill("SIGKILL")
    yield* expect(
      `it lived until it was killed, with ${created.length} tasks made`,
      end === "SIGKILL",
      yield* runner.output
    )
  }))

export const killed = (options: { readonly folder: string; readonly prompts: number; readonly kills: number }) =>
  Effect.gen(function*() {
    const database = sqlite(`${options.folder}/durable.db`)
    const env = yield* environment(database, options.prompts)
    const moments = yield* Effect.replicateEffect(Random.nextIntBetween(0, options.prompts - 30), options.kills)
    const kills: Array<Kill> = []
    const begun = yield* Clock.currentTimeMillis
    for (const tasks of moments.sort((a, b) => a - b)) {
      yield* life(env, tasks, yield* Random.nextIntBetween(0, 2500))
      yield* quiet
      kills.push({ at: yield* Clock.currentTimeMillis, lost: yield* lost(database, kills) })
    }
    const last = yield* start("one", env)
    const end = yield* Effect.timeoutTo(last.ended, {
      duration: "5 minutes",
      onSuccess: (end) => end,
      onTimeout: () => "no end within 5 minutes"
    })
    yield* expect("the last one finishes the batch", end === 0, `${end}\n${(yield* last.output).slice(-4000)}`)
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - begun) / 1000)
    yield* note(`${seconds} seconds; sent again after each kill: ${kills.map(({ lost }) => lost.length).join(" ")}`)
    yield* balance(database, options.prompts, kills)
  })
