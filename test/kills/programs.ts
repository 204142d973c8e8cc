/** The programs of scratchpad/durable/, each in one file: they start in a sixth of the time, which is most of this test. */
import { Effect } from "effect"
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../../scratchpad/durable/", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))

export type Program = "one" | "many"

export const fileOf = (program: Program) => `${folder}node_modules/.cache/${program}.mjs`

/** Drivers that are loaded from where they are installed, being native or optional. */
const drivers = ["better-sqlite3", "pg", "pg-*"]

/** Installs the drivers, if they are not there, and checks and bundles both programs: `npm test` knows no driver's types. */
export const prepare = Effect.promise(async () => {
  if (!existsSync(`${folder}node_modules/better-sqlite3/build/Release/better_sqlite3.node`)) {
    execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit" })
  }
  execFileSync("npx", ["tsc", "-p", folder], { cwd: root, stdio: "inherit" })
  const programs: ReadonlyArray<Program> = ["one", "many"]
  for (const program of programs) {
    await build({
      entryPoints: [`${folder}${program}.ts`],
      outfile: fileOf(program),
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      tsconfig: `${root}tsconfig.json`,
      external: drivers,
      logLevel: "warning",
      banner: {
        js: "import { createRequire as require_ } from \"node:module\"; const require = require_(import.meta.url);"
      }
    })
  }
})
