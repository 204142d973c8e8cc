/**
 * `npm test`: every check of the project, one after the other, and one closing line for all of them.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Duration, Effect, Schema } from "effect"

interface Tally {
  readonly passed: number
  readonly failed: number
}

const Report = Schema.parseJson(Schema.Struct({ numPassedTests: Schema.Number, numFailedTests: Schema.Number }))

const run = (line: string) => {
  const [command = "", ...args] = line.split(" ")
  return Command.make(command, ...args).pipe(Command.stdout("inherit"), Command.stderr("inherit"), Command.exitCode)
}

const step = (name: string, ...lines: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    yield* Console.log(`\n--- ${name}`)
    const [took, passed] = yield* Effect.timed(
      Effect.every(lines, (line) => Effect.map(run(line), (code) => code === 0))
    )
    yield* Console.log(`--- ${name}: ${passed ? "ok" : "FAILED"} (${Math.round(Duration.toSeconds(took))} s)`)
    return passed
  })

const tallied = (passed: boolean): Tally => ({ passed: passed ? 1 : 0, failed: passed ? 0 : 1 })

/** The runner's own count; a run that failed for another reason (coverage, a crash) counts as one failure more. */
const unit = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const report = (yield* Path.Path).join("coverage", "tests.json")
  yield* fs.remove(report, { force: true })
  const passed = yield* step(
    "unit, property and integration tests with coverage",
    `npx vitest run --coverage --reporter=default --reporter=json --outputFile.json=${report}`
  )
  const counted = yield* fs.readFileString(report).pipe(
    Effect.flatMap(Schema.decode(Report)),
    Effect.catchAll(() => Effect.succeed({ numPassedTests: 0, numFailedTests: 0 }))
  )
  return {
    passed: counted.numPassedTests,
    failed: passed ? 0 : Math.max(1, counted.numFailedTests)
  }
})

const program = Effect.gen(function*() {
  const tallies = [
    tallied(yield* step("type check", "npx tsc --noEmit")),
    tallied(yield* step("lint", "npx oxlint --deny-warnings")),
    tallied(yield* step("format", "npx dprint check")),
    yield* unit,
    tallied(yield* step("type-level tests", "npx tstyche")),
    tallied(yield* step("README examples", "npx tsx test/readme.ts")),
    tallied(yield* step("documentation examples", "npx docgen")),
    tallied(
      yield* step("build", "npx tsc -p tsconfig.build.json", "npx publint", "npx attw --pack . --profile esm-only")
    ),
    tallied(yield* step("installed package", "npx tsx test/package.ts")),
    tallied(yield* step("soak", "npx tsx --expose-gc test/soak/soak.ts --seconds 10 --streams 100 --waits 32")),
    tallied(yield* step("quickstart", "npx tsx scratchpad/quickstart.ts"))
  ]
  const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0)
  const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0)
  yield* Console.log(`\n${passed} passed, ${failed} failed`)
  if (failed > 0) return yield* Effect.fail("tests failed")
})

NodeRuntime.runMain(Effect.provide(program, NodeContext.layer), { disableErrorReporting: true })
