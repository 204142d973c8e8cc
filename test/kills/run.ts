/**
 * `npm run test:durable`: batches whose runners are killed, over SQLite and PostgreSQL. It installs the SQL drivers
 * where the programs have theirs, `scratchpad/durable/`. It prints what holds, and exits with 1 if anything does not.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer, Random, type Scope } from "effect"
import { parseArgs } from "node:util"
import * as Halt from "./halt.js"
import * as Many from "./many.js"
import * as One from "./one.js"
import { PostgresMissing } from "./postgres.js"
import * as Programs from "./programs.js"
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

/** Where databases are kept, for whoever looks for a bug. */
const keep = process.env["DURABLE_LOGS"]

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const times = Math.ceil(kills / 4)

type Test = (folder: string) => Effect.Effect<
  void,
  unknown,
  Server.Server | Report.Report | FileSystem.FileSystem | Scope.Scope
>

interface Case {
  readonly replies: Parameters<typeof Server.layer>[0]
  readonly profile?: Parameters<typeof Server.layer>[1]
  readonly run: Test
}

const one = (test: (way: Halt.Way) => ReturnType<Test>): Test => (folder) => Effect.flatMap(One.way(folder), test)

const tests: Record<string, Case> = {
  "sqlite: kill -9": { replies: "brief", run: (folder) => One.killed({ folder, prompts, kills }) },
  "sqlite: cancel": { replies: "endless", profile: "documented", run: one((way) => Halt.cancelled(way, 1)) },
  "sqlite: cancel what has long begun": {
    replies: "mixed",
    profile: "documented",
    run: one((way) => Halt.cancelled(way, 1, 8))
  },
  "sqlite: cancel where stops miss": { replies: "mixed", run: one(Halt.missed) },
  "sqlite: cancel after kill -9": { replies: "endless", profile: "documented", run: one(Halt.cancelledLater) },
  "sqlite: SIGTERM": { replies: "brief", run: one((way) => Halt.restarted(way, { prompts, times })) },
  "postgres: kill -9": { replies: "brief", run: () => Many.replaced({ prompts, times: kills, signal: "SIGKILL" }) },
  "postgres: cancel": {
    replies: "endless",
    profile: "documented",
    run: () => Effect.flatMap(Many.way, (way) => Halt.cancelled(way, 2))
  },
  "postgres: SIGTERM": { replies: "brief", run: () => Many.replaced({ prompts, times: 2, signal: "SIGTERM" }) }
}

const main = Effect.gen(function*() {
  yield* Programs.prepare
  const fs = yield* FileSystem.FileSystem
  for (const [name, { profile = "current", replies, run }] of Object.entries(tests)) {
    if (!name.includes(values.only)) continue
    yield* Console.log(`${name}, seed ${seed}`)
    const folder = keep === undefined
      ? yield* fs.makeTempDirectoryScoped({ prefix: "durable-" })
      : yield* fs.makeTempDirectory({ prefix: "durable-", directory: keep })
    yield* Effect.scoped(run(folder)).pipe(
      Effect.withRandom(Random.make(seed)),
      Effect.catchIf(
        (error) => error instanceof PostgresMissing,
        ({ message }) => Report.skip(name, message)
      ),
      Effect.catchAllCause((cause) => Report.expect("it came to its end", false, cause.toString())),
      Effect.provide(Server.layer(replies, profile))
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
