/**
 * `npm test`: every check of the project, and one closing line for all of them.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Duration, Effect, Schema, Stream } from "effect"
import { parseArgs } from "node:util"

interface Tally {
  readonly passed: number
  readonly failed: number
}

const Report = Schema.parseJson(Schema.Struct({ numPassedTests: Schema.Number, numFailedTests: Schema.Number }))

/** A part of the name of a step: `npm test -- --only unit`. */
const { values: { only } } = parseArgs({ options: { only: { type: "string", default: "" } } })

type Output = "shown" | "held"

/** Runs a command; its output is shown as it comes, or held back and returned, for steps that run beside another. */
const run = (line: string, output: Output) => {
  const [name = "", ...args] = line.split(" ")
  const command = Command.make(name, ...args)
  if (output === "shown") {
    return command.pipe(
      Command.stdout("inherit"),
      Command.stderr("inherit"),
      Command.exitCode,
      Effect.map((code) => ({ code, text: "" }))
    )
  }
  return Effect.gen(function*() {
    const process = yield* Command.start(command)
    const [stdout, stderr] = [Stream.decodeText(process.stdout), Stream.decodeText(process.stderr)]
    const text = yield* Stream.mkString(Stream.merge(stdout, stderr))
    return { code: yield* process.exitCode, text }
  }).pipe(Effect.scoped)
}

const step = (name: string, output: Output, ...lines: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    if (output === "shown") yield* Console.log(`\n--- ${name}`)
    const texts: Array<string> = []
    const [took, passed] = yield* Effect.timed(
      Effect.every(lines, (line) =>
        Effect.map(run(line, output), ({ code, text }) => {
          texts.push(text)
          return code === 0
        }))
    )
    const held = output === "held" ? `\n--- ${name}\n${texts.join("")}` : ""
    yield* Console.log(`${held}--- ${name}: ${passed ? "ok" : "FAILED"} (${Math.round(Duration.toSeconds(took))} s)`)
    return passed
  })

const tallied = (passed: boolean): Tally => ({ passed: passed ? 1 : 0, failed: passed ? 0 : 1 })

const alone = (name: string, ...lines: ReadonlyArray<string>) => ({
  name,
  run: Effect.map(step(name, "shown", ...lines), tallied)
})

const beside = (name: string, ...lines: ReadonlyArray<string>) => ({
  name,
  run: Effect.map(step(name, "held", ...lines), tallied)
})

const unitName = "unit, property and integration tests with coverage"

/** The runner's own count; a run that failed for another reason (coverage, a crash) counts as one failure more. */
const unit = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const report = (yield* Path.Path).join("coverage", "tests.json")
  yield* fs.remove(report, { force: true })
  const passed = yield* step(
    unitName,
    "shown",
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

/** Two lanes of checks, one for each core. The examples of the README lie in the tree meanwhile: lint and format come first. */
const lanes = [
  [
    beside("lint", "npx oxlint --deny-warnings"),
    beside("format", "npx dprint check"),
    beside(
      "type check, with the examples of the README",
      "npx effect-language-service patch --log-level none",
      "npx tsx test/readme.ts --all"
    ),
    beside("documentation examples", "npx tsx test/reference.ts", "npx docgen")
  ],
  [
    // The types are checked in the other lane.
    beside("build", "npm run --silent build -- --noCheck", "npx publint", "npx attw --pack . --profile esm-only"),
    beside("installed package", "npx tsx test/package.ts"),
    beside("type-level tests", "npx tstyche"),
    beside("quickstart", "npx tsx scratchpad/quickstart.ts"),
    beside("programs of the scratchpad", "npx tsx test/scratchpad.ts")
  ]
]

/** What measures time has the machine for itself. */
const measured = [
  { name: unitName, run: unit },
  alone("soak", "npx tsx --expose-gc test/soak/soak.ts --seconds 10 --streams 100 --waits 32")
]

const chosen = (steps: ReadonlyArray<{ readonly name: string; readonly run: typeof unit }>) =>
  Effect.forEach(steps.filter(({ name }) => name.includes(only)), ({ run }) => run)

const seed = Effect.flatMap(
  Config.withDefault(Config.string("FC_SEED"), ""),
  (seed) =>
    Console.log(seed === "" ? "Properties try other programs each time: FC_SEED is not set." : `FC_SEED=${seed}`)
)

const program = Effect.gen(function*() {
  yield* seed
  const cheap = yield* Effect.forEach(lanes, chosen, { concurrency: 2 })
  const tallies = [...cheap.flat(), ...yield* chosen(measured)]
  const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0)
  const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0)
  yield* Console.log(`\n${passed} passed, ${failed} failed`)
  if (failed > 0 || tallies.length === 0) return yield* Effect.fail("tests failed")
})

NodeRuntime.runMain(Effect.provide(program, NodeContext.layer), { disableErrorReporting: true })
