/**
 * Packs the package, installs it into an empty project and uses it there, as a stranger would who checks every type.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import ts from "typescript"
import { untyped } from "./types/untyped.js"

const Manifest = Schema.parseJson(Schema.Struct({
  version: Schema.String,
  devDependencies: Schema.Record({ key: Schema.String, value: Schema.String })
}))

const consumer = `
import { Effect, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import * as Direct from "effect-rwkv/TaskService"
import { Emulator } from "effect-rwkv/testing"

const program = Effect.gen(function*() {
  const result: { readonly text: string } = yield* TaskService.run({ prompt: "Hello", maxTokens: 20 })
  const text: string = yield* StreamService.create({ prompt: "Hello", maxTokens: 20 }).pipe(Stream.mkString)
  const models = yield* Direct.models
  const prompt: string = yield* RWKVChat.prompt([RWKVChat.user("Hello")], { think: "on" })
  return { result, text, models, prompt }
})

const main = program.pipe(Effect.provide(RWKV.layer()), Effect.provide(Emulator.layer({ reply: () => "Hi there" })))
const { models, prompt, result, text } = await Effect.runPromise(main)
if (result.text !== "Hi there" || text !== "Hi there" || models.length !== 1) throw new Error("wrong answer")
if (prompt !== "User: Hello\\n\\nAssistant: <think") throw new Error("wrong prompt")
`

/** The same for whoever has the optional peers, too. */
const optional = `
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
import { Effect, Layer } from "effect"
import { RWKV } from "effect-rwkv"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { Emulator } from "effect-rwkv/testing"

const model = RWKVLanguageModel.model({ maxTokens: 50 }).pipe(
  Layer.provide(RWKV.layer()),
  Layer.provide(Emulator.layer({ reply: () => " Hi there" }))
)
const prompt = [{ role: "user" as const, content: "Hello", options: { rwkv: { think: "off" as const } } }]
const { text } = await Effect.runPromise(Effect.provide(LanguageModel.generateText({ prompt }), model))
if (text !== "Hi there") throw new Error("wrong answer")

const durable = RWKVDurable.layer.pipe(
  Layer.provideMerge(Layer.merge(RWKV.layer(), WorkflowEngine.layerMemory)),
  Layer.provide(Emulator.layer({ reply: () => "Hi there" }))
)
const run = RWKVDurable.Generation.execute({ key: "a", request: { prompt: "Hello", maxTokens: 50 } })
const generated = await Effect.runPromise(Effect.provide(run, durable))
if (generated.text !== "Hi there") throw new Error("wrong answer")
`

/** Entries that import an optional peer. */
const needy = new Set(["RWKVLanguageModel", "RWKVDurable", "RWKVBatch"].map((name) => `effect-rwkv/${name}`))

const peers = ["@effect/ai", "@effect/cluster", "@effect/workflow"]

const subpaths = (entries: ReadonlyArray<string>, blocked: ReadonlyArray<string>) => `
for (const path of ${JSON.stringify(entries)}) {
  const module = await import(path)
  if (Object.keys(module).length === 0 && !path.endsWith("/Task")) throw new Error(path + " exports nothing")
}
for (const path of ${JSON.stringify(blocked)}) {
  const code = await import(path).then(() => "imported", (error) => error.code)
  if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(path + ": " + code)
}
`

const imports = (entries: ReadonlyArray<string>) =>
  entries.map((entry, index) => `export type * as M${index} from ${JSON.stringify(entry)}\n`).join("")

/** A strict consumer who checks library files: effect and @effect/platform need the types of the DOM, or @types/node. */
const strict = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  target: "ES2022",
  lib: ["ES2023", "DOM"],
  types: []
}

const resolutions = [
  { module: "NodeNext", moduleResolution: "NodeNext" },
  { module: "ESNext", moduleResolution: "Bundler" }
]

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const manifest = yield* Effect.flatMap(fs.readFileString("package.json"), Schema.decode(Manifest))
  // The compiler knows the files of a package by their real paths.
  const folder = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), fs.realPath)
  const run = (cwd: string, ...[command, ...args]: readonly [string, ...ReadonlyArray<string>]) =>
    Command.make(command, ...args).pipe(
      Command.workingDirectory(cwd),
      Command.stdout("inherit"),
      Command.stderr("inherit"),
      Command.exitCode,
      Effect.filterOrFail((code) => code === 0, () => `${command} ${args.join(" ")}`)
    )

  yield* run(".", "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder)
  const version = (name: string) => manifest.devDependencies[name] ?? "latest"
  yield* fs.writeFileString(
    path.join(folder, "package.json"),
    JSON.stringify({
      name: "consumer",
      private: true,
      type: "module",
      dependencies: {
        effect: version("effect"),
        "@effect/platform": version("@effect/platform"),
        "effect-rwkv": `file:effect-rwkv-${manifest.version}.tgz`
      }
    })
  )
  yield* run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline")

  const dist = path.join(folder, "node_modules", "effect-rwkv", "dist")
  const files = (yield* fs.readDirectory(dist, { recursive: true })).map((file) => file.replaceAll("\\", "/"))
  const modules = files.filter((file) => file.endsWith(".js")).map((file) => file.slice(0, -".js".length)).toSorted()
  const sources = (yield* fs.readDirectory("src", { recursive: true })).filter((file) => file.endsWith(".ts"))
  if (modules.length !== sources.length) return yield* Effect.fail("dist is not what src builds: run the build")
  const open = (module: string) => !module.includes("/") && module !== "index"
  const entries = [
    { name: "effect-rwkv", file: path.join(dist, "index.d.ts") },
    { name: "effect-rwkv/testing", file: path.join(dist, "testing", "index.d.ts") },
    ...modules.filter(open).map((name) => ({ name: `effect-rwkv/${name}`, file: path.join(dist, `${name}.d.ts`) }))
  ]
  const names = entries.map((entry) => entry.name)
  const blocked = modules.filter((module) => !open(module)).map((module) => `effect-rwkv/${module}`)
  const frugal = names.filter((name) => !needy.has(name))
  yield* fs.writeFileString(path.join(folder, "frugal.mjs"), subpaths(frugal, blocked))
  yield* fs.writeFileString(path.join(folder, "subpaths.mjs"), subpaths(names, blocked))
  yield* fs.writeFileString(path.join(folder, "entries.ts"), imports(names))
  yield* fs.writeFileString(path.join(folder, "consumer.ts"), consumer)
  yield* fs.writeFileString(path.join(folder, "optional.ts"), optional)

  const installed = yield* fs.readDirectory(path.join(folder, "node_modules", "@effect"))
  if (installed.some((name) => peers.includes(`@effect/${name}`))) {
    return yield* Effect.fail("an optional peer was installed that nobody asked for")
  }
  yield* run(folder, "node", "frugal.mjs")
  const optionals = peers.map((name) => `${name}@${version(name)}`)
  yield* run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", ...optionals)

  const declarations = files.filter((file) => file.endsWith(".d.ts")).map((file) => path.join(dist, file))
  const roots = [
    path.join(folder, "consumer.ts"),
    path.join(folder, "optional.ts"),
    path.join(folder, "entries.ts"),
    ...declarations
  ]
  const complaints = resolutions.flatMap((resolution) => {
    const { errors, options } = ts.convertCompilerOptionsFromJson({ ...strict, ...resolution }, folder)
    const compiled = ts.createProgram(roots, options)
    const reports = [...errors, ...ts.getPreEmitDiagnostics(compiled), ...compiled.emit().diagnostics]
    return [
      ...reports.map((report) => ts.formatDiagnostic(report, ts.createCompilerHost(options)).trim()),
      ...untyped(compiled, entries, (file) => file.startsWith(dist)).map((name) => `${name} is any`)
    ].map((complaint) => `${resolution.moduleResolution}: ${complaint}`)
  })
  if (complaints.length > 0) return yield* Effect.fail(complaints.join("\n"))
  yield* run(folder, "node", "consumer.js")
  yield* run(folder, "node", "optional.js")
  yield* run(folder, "node", "subpaths.mjs")
  yield* Console.log(
    `the packed package works in an empty project: ${entries.length} entry points, ${blocked.length} closed modules, ` +
      `${declarations.length} declaration files under skipLibCheck false`
  )
})

NodeRuntime.runMain(Effect.provide(Effect.scoped(program), NodeContext.layer))
