/** The public modules, as package.json names them. */
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))

const read = (path: string) => readFileSync(`${root}${path}`, "utf8")

type Target = null | string | { readonly default: string }

const namedIn = (path: string, pattern: RegExp) =>
  Array.from(read(path).matchAll(pattern), ([, name]) => path.replace(/\w+\.ts$/, `${name}.ts`))

/** A file that only names others stands for these. */
const filesOf = (path: string) => {
  const named = namedIn(path, /^export \* as \w+ from "\.\/(\w+)\.js"$/gm)
  return named.length === 0 ? [path] : named
}

const sourceOf = (target: { readonly default: string }) => target.default.replace("./dist/", "src/").replace(/js$/, "ts")

const { exports }: { readonly exports: Record<string, Target> } = JSON.parse(read("package.json"))

const files = Object.entries(exports).flatMap(([name, target]) => {
  if (target === null || typeof target === "string") return []
  if (name !== "./*") return filesOf(sourceOf(target))
  return readdirSync(`${root}src`)
    .filter((file) => file.endsWith(".ts") && exports[`./${file.replace(/\.ts$/, "")}`] !== null)
    .map((file) => `src/${file}`)
})

/** Files whose exports another public file has as its own: they are shown there. */
const within = files.flatMap((path) => namedIn(path, /^export \* from "\.\/(\w+)\.js"$/gm))

/** Their paths from the root on, as in `src/RWKV.ts`. */
export const publicModules = [...new Set(files)].filter((path) => !within.includes(path)).sort()
