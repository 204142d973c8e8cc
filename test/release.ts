/**
 * `npm run release:check`: what has to hold before a version is published, told line by line. It publishes nothing.
 */
import { Command, type CommandExecutor, FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Either, Schema } from "effect"

const Manifest = Schema.parseJson(Schema.Struct({
  version: Schema.String.pipe(Schema.pattern(/^\d+\.\d+\.\d+$/)),
  description: Schema.NonEmptyString,
  license: Schema.Literal("MIT"),
  scripts: Schema.Record({ key: Schema.String, value: Schema.String }),
  publishConfig: Schema.Struct({ access: Schema.Literal("public"), provenance: Schema.Literal(true) })
}))

const Packed = Schema.parseJson(Schema.Tuple(Schema.Struct({
  size: Schema.Number,
  files: Schema.Array(Schema.Struct({ path: Schema.String }))
})))

/** npm runs these on the machines of users. */
const hooks = ["preinstall", "install", "postinstall", "prepare"]

/** What a package holds, and nothing else. */
const belongs = /^(dist\/.+\.(js|d\.ts)(\.map)?|src\/.+\.ts|README(\.zh-CN)?\.md|CHANGELOG\.md|LICENSE|package\.json)$/

/** Bytes of the tarball, at most. */
const largest = 1_500_000

type Line = readonly [string, ...ReadonlyArray<string>]

const output = (...[command, ...args]: Line) => Command.string(Command.make(command, ...args))

const succeeds = (...[command, ...args]: Line) =>
  Command.make(command, ...args).pipe(
    Command.stdout("inherit"),
    Command.stderr("inherit"),
    Command.exitCode,
    Effect.filterOrFail((code) => code === 0, () => `${command} ${args.join(" ")} failed`),
    Effect.as("ok")
  )

const manifest = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString("package.json")).pipe(
  Effect.flatMap(Schema.decode(Manifest))
)

type Check = Effect.Effect<string, unknown, CommandExecutor.CommandExecutor | FileSystem.FileSystem>

const checks: Record<string, Check> = {
  "nothing is uncommitted": Effect.filterOrFail(
    output("git", "status", "--short"),
    (changes) => changes === "",
    (changes) => `commit or discard first:\n${changes}`
  ),
  "the manifest is complete, and publishes with provenance": Effect.map(manifest, ({ version }) => version),
  "nothing runs where it is installed": Effect.filterOrFail(
    Effect.map(manifest, ({ scripts }) => hooks.filter((hook) => scripts[hook] !== undefined).join(", ")),
    (found) => found === "",
    (found) => `package.json has ${found}`
  ),
  "the changelog begins with this version": Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { version } = yield* manifest
    const pending = (yield* fs.readDirectory(".changeset")).filter((name) => /^(?!README).*\.md$/.test(name))
    if (pending.length > 0) return yield* Effect.fail(`${pending.join(", ")} wait: \`npm run changeset version\``)
    const [, first = "nothing"] = /^## (.+)$/m.exec(yield* fs.readFileString("CHANGELOG.md")) ?? []
    return yield* first === version ? Effect.succeed(first) : Effect.fail(`it begins with ${first}, not ${version}`)
  }),
  "the sources build": succeeds("npm", "run", "--silent", "build"),
  "only what belongs into it is packed": Effect.gen(function*() {
    const [{ files, size }] = yield* Effect.flatMap(
      output("npm", "pack", "--dry-run", "--json", "--ignore-scripts"),
      Schema.decode(Packed)
    )
    const stray = files.filter(({ path }) => !belongs.test(path)).map(({ path }) => path)
    if (stray.length > 0) return yield* Effect.fail(`it has ${stray.join(", ")}`)
    if (size > largest) return yield* Effect.fail(`it has ${size} bytes, and may have ${largest}`)
    return `${files.length} files, ${Math.round(size / 1000)} kB`
  }),
  "the types resolve everywhere": succeeds("npm", "run", "--silent", "pack-check"),
  "the packed package works in an empty project": succeeds("npx", "tsx", "test/package.ts")
}

const program = Effect.gen(function*() {
  const outcomes = yield* Effect.forEach(Object.entries(checks), ([name, check]) =>
    Effect.gen(function*() {
      const outcome = yield* Effect.either(check)
      const said = Either.merge(Either.mapBoth(outcome, { onLeft: String, onRight: String })).trim()
      yield* Console.log(`${Either.isRight(outcome) ? "ok    " : "FAILED"} ${name}${said === "" ? "" : `: ${said}`}`)
      return outcome
    }))
  const failed = outcomes.filter(Either.isLeft).length
  yield* Console.log(failed === 0 ? "\nready to be published" : `\n${failed} of ${outcomes.length} do not hold`)
  if (failed > 0) return yield* Effect.fail("not ready")
})

NodeRuntime.runMain(Effect.provide(program, NodeContext.layer), { disableErrorReporting: true })
