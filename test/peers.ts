/**
 * `npm run test:peers`: the type check and the unit tests with the lowest and with the newest peers that package.json allows,
 * each in a copy of the repository.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Array, Console, Duration, Effect, Either, Option, Order, Schema } from "effect"

const Versions = Schema.Record({ key: Schema.String, value: Schema.String })

type Versions = typeof Versions.Type

const Published = Schema.Struct({
  version: Schema.String,
  peerDependencies: Schema.optionalWith(Versions, { default: () => ({}) })
})

type Published = typeof Published.Type

/** npm answers with a list, or with the only version there is. */
const Answer = Schema.parseJson(Schema.Union(Schema.Array(Published), Published))

const Manifest = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }), { space: 2 })

const Project = Schema.parseJson(Schema.Struct({ peerDependencies: Versions, devDependencies: Versions }))

const Installed = Schema.parseJson(Published)

const Lock = Schema.parseJson(Schema.Struct({
  packages: Schema.Record({ key: Schema.String, value: Schema.Struct({ version: Schema.optional(Schema.String) }) })
}))

const numbers = (version: string) => version.split(".").map(Number)

const byNumbers = Order.array(Order.number)

/** Of all ranges only carets, which is what Effect's packages use: up to the first number above 0 nothing may change. */
const accepts = (range: string, version: string) =>
  range.split("||").some((part) => {
    const floor = numbers(part.trim().slice(1))
    const actual = numbers(version)
    const fixed = floor.slice(0, floor.findIndex((number) => number > 0) + 1)
    return part.trim().startsWith("^") && fixed.every((number, index) => number === actual[index]) &&
      byNumbers(actual, floor) >= 0
  })

const fits = ({ peerDependencies }: Published, peers: Versions) =>
  Object.entries(peers).every(([name, version]) => {
    const range = peerDependencies[name]
    return range === undefined || accepts(range, version)
  })

const run = (cwd: string, line: string) => {
  const [command = "", ...args] = line.split(" ")
  return Command.make(command, ...args).pipe(
    Command.workingDirectory(cwd),
    Command.stdout("inherit"),
    Command.stderr("inherit"),
    Command.exitCode,
    Effect.filterOrFail((code) => code === 0, () => line)
  )
}

/** Everything published within a range, the lowest version first. Asked for one field, npm would answer without its name. */
const published = (name: string, range: string) =>
  Command.make("npm", "view", `${name}@${range}`, "name", "version", "peerDependencies", "--json").pipe(
    Command.string,
    Effect.flatMap(Schema.decode(Answer)),
    Effect.map((answer) => Array.sortWith(Array.ensure(answer), (one) => numbers(one.version), byNumbers))
  )

/** The packages installed here that have one of the peers for their own peer, from their installed minor version on. */
const companions = (ranges: Versions) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = (yield* fs.readDirectory(path.join("node_modules", "@effect"))).map((name) => `@effect/${name}`)
    const all = yield* Effect.forEach(names.filter((name) => !(name in ranges)), (name) =>
      fs.readFileString(path.join("node_modules", name, "package.json")).pipe(
        Effect.flatMap(Schema.decode(Installed)),
        Effect.map((installed) => ({ name, ...installed }))
      ))
    const bound = all.filter(({ peerDependencies }) =>
      Object.keys(ranges).some((peer) =>
        peer in peerDependencies
      )
    )
    return yield* Effect.forEach(bound, ({ name, version }) => {
      const [major = 0, minor = 0] = numbers(version)
      return Effect.map(
        published(name, `>=${major}.${minor}.0 <${major + 1}.0.0`),
        (versions) => ({ name, versions })
      )
    }, { concurrency: 4 })
  })

type Companions = Effect.Effect.Success<ReturnType<typeof companions>>

/** The newest version of each companion that works with these peers. */
const matching = (all: Companions, peers: Versions) =>
  Effect.forEach(all, ({ name, versions }) =>
    Option.match(Array.findLast(versions, (one) => fits(one, peers)), {
      onNone: () => Effect.fail(`no version of ${name} works with ${JSON.stringify(peers)}`),
      onSome: ({ version }) => Effect.succeed([name, version] as const)
    })).pipe(Effect.map((pins): Versions => Object.fromEntries(pins)))

/** Copies what git tracks, as it is in the working tree. */
const copyTo = (folder: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const files = yield* Command.string(Command.make("git", "ls-files", "-z"))
    yield* Effect.forEach(files.split("\0").filter((file) => file !== ""), (file) =>
      fs.makeDirectory(path.dirname(path.join(folder, file)), { recursive: true }).pipe(
        Effect.zipRight(fs.copyFile(file, path.join(folder, file))),
        Effect.whenEffect(fs.exists(file))
      ), { discard: true })
  })

const install = (folder: string, peers: Versions, pins: Versions) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(folder, "package.json")
    const text = yield* fs.readFileString(file)
    const { devDependencies } = yield* Schema.decode(Project)(text)
    const manifest = yield* Schema.decode(Manifest)(text)
    const changed = { ...manifest, devDependencies: { ...devDependencies, ...pins, ...peers } }
    yield* fs.writeFileString(file, yield* Schema.encode(Manifest)(changed))
    yield* run(folder, "npm install --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error")
    const lock = yield* Effect.flatMap(
      fs.readFileString(path.join(folder, "package-lock.json")),
      Schema.decode(Lock)
    )
    for (const [name, version] of Object.entries(peers)) {
      const copies = Object.entries(lock.packages).filter(([key]) => key.endsWith(`node_modules/${name}`))
      const found = copies.map(([, one]) => one.version)
      if (found.length !== 1 || found[0] !== version) {
        return yield* Effect.fail(`${name} was to be ${version}, but npm installed ${found.join(" and ")}`)
      }
    }
  })

const list = (versions: Versions) => Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")

const check = (label: string, chosen: ReadonlyArray<readonly [string, Published]>, all: Companions) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const peers: Versions = Object.fromEntries(chosen.map(([name, { version }]) => [name, version]))
    const [took, result] = yield* Effect.gen(function*() {
      const torn = chosen.find(([, one]) => !fits(one, peers))
      if (torn !== undefined) {
        return yield* Effect.fail(`${torn[0]} asks for ${JSON.stringify(torn[1].peerDependencies)}: raise the range`)
      }
      const pins = yield* matching(all, peers)
      yield* Console.log(`\n--- ${label} peers: ${list(peers)}\n--- with ${list(pins)}`)
      const folder = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), fs.realPath)
      yield* copyTo(folder)
      yield* install(folder, peers, pins)
      yield* run(folder, "npx tsc --noEmit")
      yield* run(folder, "npx vitest run --reporter=dot")
    }).pipe(Effect.scoped, Effect.either, Effect.timed)
    const outcome = Either.match(result, { onLeft: (why) => `FAILED: ${String(why)}`, onRight: () => "ok" })
    yield* Console.log(`--- ${label} peers: ${list(peers)}: ${outcome} (${Math.round(Duration.toSeconds(took))} s)`)
    return Either.isRight(result)
  })

const named = (name: string) => (one: Published) => [name, one] as const

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { peerDependencies } = yield* Effect.flatMap(fs.readFileString("package.json"), Schema.decode(Project))
  const allowed = yield* Effect.forEach(
    Object.entries(peerDependencies),
    ([name, range]) => Effect.map(published(name, range), (versions) => ({ name, versions }))
  )
  const all = yield* companions(peerDependencies)
  const lowest = yield* Effect.forEach(allowed, ({ name, versions }) => Effect.map(Array.head(versions), named(name)))
  const newest = yield* Effect.forEach(allowed, ({ name, versions }) => Effect.map(Array.last(versions), named(name)))
  const passed = [yield* check("lowest", lowest, all), yield* check("newest", newest, all)]
  if (passed.includes(false)) return yield* Effect.fail("some peers do not work")
})

NodeRuntime.runMain(Effect.provide(program, NodeContext.layer))
