/**
 * Compiles every TypeScript block of the README and of the guides in docs/ against the sources, as strictly as the sources, and
 * sees to it that the tests that they show are tests that run. With `--all` it is the type check of the whole project as well, whose
 * compiler then reads Effect's types once for both.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"

/** Pages that show tests, and the file where these run. */
const tested = [["README.md", "test/readme.test.ts"], ["docs/chat.md", "test/chat.test.ts"]] as const

const strings = Schema.Array(Schema.String)

const Configuration = Schema.parseJson(Schema.Struct({ include: strings, exclude: strings }))

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const guides = (yield* fs.readDirectory("docs")).filter((name) => name.endsWith(".md"))
  const names = ["README.md", ...guides.map((name) => path.join("docs", name))]
  const pages = yield* Effect.forEach(
    names,
    (page) =>
      Effect.map(
        fs.readFileString(page),
        (text) => Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ([, code]) => code ?? "")
      )
  )
  const blocks = pages.flat()
  for (const [page, file] of tested) {
    const tests = yield* fs.readFileString(file)
    const shown = pages[names.indexOf(page)]?.find((code) => code.includes("@effect/vitest"))
    if (shown === undefined || !tests.endsWith(shown)) {
      return yield* Effect.dieMessage(`${file} differs from the tests that ${page} shows`)
    }
  }
  if (!blocks.includes(yield* fs.readFileString("scratchpad/agent.ts"))) {
    return yield* Effect.dieMessage("docs/language-model.md shows another agent than scratchpad/agent.ts")
  }
  const folder = yield* fs.makeTempDirectoryScoped({ directory: ".", prefix: ".readme-" })
  yield* Effect.forEach(
    blocks,
    (code, index) => fs.writeFileString(path.join(folder, `block-${index + 1}.ts`), `${code}\nexport {}\n`)
  )
  const { exclude, include } = yield* Effect.flatMap(fs.readFileString("tsconfig.json"), Schema.decode(Configuration))
  const above = (paths: ReadonlyArray<string>) => paths.map((name) => path.join("..", name))
  yield* fs.writeFileString(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, types: ["node"] },
      include: ["*.ts", ...process.argv.includes("--all") ? above(include) : []],
      exclude: above(exclude)
    })
  )
  const code = yield* Command.make("npx", "tsc", "--noEmit", "-p", folder).pipe(
    Command.stdout("inherit"),
    Command.stderr("inherit"),
    Command.exitCode
  )
  yield* Console.log(`${blocks.length} blocks of the README and docs/ compiled with exit code ${code}`)
  if (code !== 0 || blocks.length === 0) return yield* Effect.fail("README")
})

NodeRuntime.runMain(Effect.provide(Effect.scoped(program), NodeContext.layer), { disableErrorReporting: true })
