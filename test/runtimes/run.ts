/**
 * `npm run test:runtimes`: builds and packs the SDK, installs it beside this file, and tries it on each runtime that can be
 * installed there, against local sockets. It prints a table and each runtime's own words, and exits with 1 if a case fails.
 */
import { build } from "esbuild"
import { execFileSync, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Report, start } from "./cases.js"

const here = fileURLToPath(new URL("./", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))
const output = `${here}node_modules/.cache/`

const say = (text: string) => process.stdout.write(`${text}\n`)
const skipped = (what: string) => say(`SKIPPED: ${what}`)

const npm = (folder: string, ...args: ReadonlyArray<string>) =>
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" }).trim()

const runtimes = [
  { name: "this Node", command: process.execPath, args: [] },
  { name: "Node 22", command: `${here}node_modules/node22/bin/node`, args: [] },
  { name: "Node 24", command: `${here}node_modules/node24/bin/node`, args: [] },
  { name: "Deno", command: `${here}node_modules/.bin/deno`, args: ["run", "--allow-all"] },
  { name: "Bun", command: `${here}node_modules/.bin/bun`, args: [] }
]

type Runtime = (typeof runtimes)[number]

const versionOf = ({ command }: Runtime) => {
  try {
    return execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n")[0]
  } catch {
    return undefined
  }
}

const install = async () => {
  npm(root, "run", "--silent", "build")
  mkdirSync(output, { recursive: true })
  const tarball = npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", output)
  npm(here, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent", `${output}${tarball}`)
  await build({
    entryPoints: [`${here}program.ts`],
    outfile: `${output}program.mjs`,
    bundle: true,
    format: "esm",
    platform: "neutral",
    packages: "external"
  })
}

/** The reports of a runtime, and what it printed beside them. */
const reportsOf = ({ args, command }: Runtime, tasks: string) =>
  new Promise<ReadonlyArray<Report>>((resolve) => {
    const child = spawn(command, [...args, `${output}program.mjs`, tasks], {
      cwd: here,
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 60_000
    })
    let text = ""
    child.stdout.on("data", (bytes: Buffer) => {
      text += bytes.toString()
    })
    child.on("error", () => resolve([]))
    child.on("close", () =>
      resolve(text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))))
  })

await install()
const { cases, stop } = await start(skipped)
const tasks = JSON.stringify(cases.map(({ name, url, verb }) => ({ name, url, verb })))
const columns: Array<{ readonly title: string; readonly cells: ReadonlyArray<string> }> = []
const words: Array<string> = []
let failed = 0
for (const runtime of runtimes) {
  const version = existsSync(runtime.command) ? versionOf(runtime) : undefined
  if (version === undefined) {
    skipped(`${runtime.name}, which could not be installed`)
    continue
  }
  const reports = await reportsOf(runtime, tasks)
  const cells = cases.map((one) => {
    const report = reports.find(({ name }) => name === one.name)
    const complaint = report === undefined ? "no report" : one.complaint(report)
    if (report?.failure !== undefined) words.push(`${runtime.name}, ${one.name}: ${report.failure.message}`)
    if (complaint === undefined) return "ok"
    failed++
    words.push(`FAILED on ${runtime.name}, ${one.name}: ${complaint}`)
    return "FAILED"
  })
  columns.push({ title: `${runtime.name} (${version.replace(/^[a-z]+ /, "").split(" ")[0]})`, cells })
}
stop()

const row = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
say(`\neffect-rwkv ${version}, packed and installed\n`)
say(row(["", ...columns.map(({ title }) => title)]))
say(row(["---", ...columns.map(() => "---")]))
cases.forEach(({ name }, index) => say(row([name, ...columns.map(({ cells }) => cells[index] ?? "")])))
say(`\n${words.join("\n")}`)
say(failed === 0 ? "\nall runtimes agree" : `\n${failed} cases failed`)
process.exitCode = failed === 0 ? 0 : 1
