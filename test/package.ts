/**
 * Packs the package, installs it into an empty project and uses it there, as a stranger would.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"

const Manifest = Schema.parseJson(Schema.Struct({
  version: Schema.String,
  devDependencies: Schema.Record({ key: Schema.String, value: Schema.String })
}))

const consumer = `
import { Effect, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import * as Direct from "effect-rwkv/TaskService"
import { Emulator } from "effect-rwkv/testing"

const program = Effect.gen(function*() {
  const result: { readonly text: string } = yield* TaskService.run({ prompt: "Hello", maxTokens: 20 })
  const text: string = yield* StreamService.create({ prompt: "Hello", maxTokens: 20 }).pipe(Stream.mkString)
  const models = yield* Direct.models
  return { result, text, models }
})

const main = program.pipe(Effect.provide(RWKV.layer()), Effect.provide(Emulator.layer({ reply: () => "Hi there" })))
const { models, result, text } = await Effect.runPromise(main)
if (result.text !== "Hi there" || text !== "Hi there" || models.length !== 1) throw new Error("wrong answer")
`

const subpaths = (modules: ReadonlyArray<string>) => `
for (const path of ${JSON.stringify(modules)}) {
  const module = await import(path)
  if (Object.keys(module).length === 0 && !path.endsWith("/Task")) throw new Error(path + " exports nothing")
}
for (const path of ["effect-rwkv/internal/sse", "effect-rwkv/testing/json"]) {
  const code = await import(path).then(() => "imported", (error) => error.code)
  if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(path + ": " + code)
}
`

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const manifest = yield* Effect.flatMap(fs.readFileString("package.json"), Schema.decode(Manifest))
  const folder = yield* fs.makeTempDirectoryScoped()
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
      },
      devDependencies: { typescript: version("typescript") }
    })
  )
  yield* run(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline")
  const modules = (yield* fs.readDirectory("src")).filter((file) => file.endsWith(".ts") && file !== "index.ts")
    .map((file) => `effect-rwkv/${file.replace(/\.ts$/, "")}`)
  yield* fs.writeFileString(
    path.join(folder, "subpaths.mjs"),
    subpaths(["effect-rwkv", "effect-rwkv/testing", ...modules])
  )
  yield* fs.writeFileString(path.join(folder, "consumer.ts"), consumer)
  for (const [module, resolution] of [["NodeNext", "NodeNext"], ["ESNext", "Bundler"]] as const) {
    const strict = ["--strict", "--target", "ES2022", "--lib", "ES2023,DOM", "--skipLibCheck"]
    yield* run(folder, "npx", "tsc", ...strict, "--module", module, "--moduleResolution", resolution, "consumer.ts")
    yield* run(folder, "node", "consumer.js")
  }
  yield* run(folder, "node", "subpaths.mjs")
  yield* Console.log(`the packed package works in an empty project: ${modules.length + 2} entry points`)
})

NodeRuntime.runMain(Effect.provide(Effect.scoped(program), NodeContext.layer))
