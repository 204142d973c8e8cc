/**
 * `npm run test:durable`: batches whose runners are killed, over SQLite and PostgreSQL. It installs the SQL drivers
 * where the programs have theirs, `scratchpad/durable/`. It prints what holds, and exits with 1 if anything does not.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer, Random } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Halt from "./halt.js"
import * as Many from "./many.js"
import * as One from "./one.js"
import * as Report from "./report.js"
import * as Server from "./server.js"

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    kills: { type: "string", default: "20" },
    prompts: { type: "string", default: "500" }
  }
})

const [seed, kills, prompts] = [Number(values.seed), Number(values.kills), Number(values.prompts)]

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const programs = fileURLToPath(new URL("../../scratchpad/durable/", import.meta.url))

const install = Effect.sync(() => {
  if (existsSync(`${programs}node_modules/better-sqlite3/build/Release/better_sqlite3.node`)) return
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: programs, stdio: "inherit" })
})

const times = Math.ceil(kills / 4)

const tests = {
  "sqlite: kill -9": { replies: "brief", run: (folder: string) => One.killed({ folder, prompts, kills }) },
  "sqlite: cancel": {
    replies: "endless",
    run: (folder: string) => Effect.flatMap(One.way(folder), (way) => Halt.cancelled(way, 1))
  },
  "sqlite: cancel after kill -9": {
    replies: "endless",
    run: (folder: string) => Effect.flatMap(One.way(folder), Halt.cancelledLater)
  },
  "sqlite: SIGTERM": {
    replies: "brief",
    run: (folder: string) => Effect.flatMap(One.way(folder), (way) => Halt.restarted(way, { prompts, times }))
  },
  "postgres: kill -9": { replies: "brief", run: () => Many.replaced({ prompts, times: kills, signal: "SIGKILL" }) },
  "postgres: cancel": { replies: "endless", run: () => Effect.flatMap(Many.way, (way) => Halt.cancelled(way, 2)) },
  "postgres: SIGTERM": { replies: "brief", run: () => Many.replaced({ prompts, times, signal: "SIGTERM" }) }
} as const

const main = Effect.gen(function*() {
  yield* install
  const fs = yield* FileSystem.FileSystem
  for (const [name, { replies, run }] of Object.entries(tests)) {
    if (!name.includes(values.only)) continue
    yield* Console.log(`${name}, seed ${seed}`)
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "durable-" })
    yield* Effect.scoped(run(folder)).pipe(
      Effect.withRandom(Random.make(seed)),
      Effect.catchTag("PostgresMissing", ({ message }) => Report.skip(name, message)),
      Effect.catchAllCause((cause) => Report.expect("it came to its end", false, cause.toString())),
      Effect.provide(Server.layer(replies))
    )
  }
  const { failed, passed, skipped } = yield* Effect.flatMap(Report.Report, ({ counts }) => counts)
  yield* Console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`)
  if (failed > 0) return yield* new Failed({ message: `${failed} claims do not hold` })
})

NodeRuntime.runMain(
  Effect.scoped(main).pipe(Effect.provide(Layer.mergeAll(NodeContext.layer, Report.layer))),
  { disableErrorReporting: true }
)
