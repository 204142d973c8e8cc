/**
 * `npm run test:runtimes`: packs the SDK, installs it beside this file with the runtimes, and plays one battery on each of them
 * against the emulator over HTTP. It prints the table of the README and each runtime's own words, and exits with 1 if a case
 * fails or the README says otherwise; `-- --write` writes it there. What cannot be installed is skipped aloud.
 */
import { Duration, Effect } from "effect"
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Case, connections, everywhere } from "../battery/cases.js"
import { play, serveEmulator } from "../battery/play.js"
import * as Servers from "../battery/servers.js"
import { here, type Host, hosts, output } from "./hosts.js"
import { type Cell, cells as cellsOf, differences, render, type Row, write } from "./table.js"

const root = fileURLToPath(new URL("../../", import.meta.url))

const say = (text: string) => process.stdout.write(`${text}\n`)

const npm = (folder: string, ...args: ReadonlyArray<string>) =>
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", timeout: 300_000 })

/** The packed package, in a project that has no other way to it; false where the registry does not answer. */
const install = () => {
  npm(root, "run", "--silent", "build", "--", "--noCheck")
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", output)
  const tarball = readdirSync(output).filter((name) => name.endsWith(".tgz")).map((name) => `${output}${name}`)
  try {
    npm(here, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent", ...tarball)
    return true
  } catch {
    return false
  }
}

/** Programs that import the packed package, and the same in one file for where there are no packages. */
const bundle = async () => {
  const common = { bundle: true, format: "esm", platform: "neutral", target: "es2022", outdir: output } as const
  const sources = [`${here}lines.ts`, `${here}worker.ts`, `${root}test/battery/page.ts`]
  await build({
    ...common,
    entryPoints: sources,
    entryNames: "[name]",
    packages: "external",
    external: ["node:*"],
    outExtension: { ".js": ".mjs" },
    tsconfigRaw: {}
  })
  await build({
    ...common,
    platform: "browser",
    entryPoints: [`${output}worker.mjs`, `${output}page.mjs`],
    outExtension: { ".js": ".mjs" },
    allowOverwrite: true,
    tsconfigRaw: {}
  })
}

let failed = 0
const words: Array<string> = []

const playOn = (host: Host) =>
  Effect.gen(function*() {
    const started = yield* Effect.acquireRelease(
      // One that is there and does not run on this machine is as good as none.
      Effect.promise(() => host.start().catch((error: unknown) => `it does not start: ${error}`.split("\n")[0] ?? "")),
      (started) => Effect.promise(async () => typeof started === "string" ? undefined : started.stop())
    )
    if (typeof started === "string") {
      say(`SKIPPED: ${host.name}, for ${started}`)
      return { name: host.name, cells: cellsOf(() => "skipped") }
    }
    const servers = yield* Effect.acquireRelease(Effect.promise(Servers.start), ({ stop }) => Effect.sync(stop))
    if (servers.selfSigned === undefined) say("SKIPPED: a self-signed certificate, for there is no openssl")
    if (!servers.hasNames) say("SKIPPED: a host that does not exist, for nobody answers for names")
    const served = yield* serveEmulator(true)
    const broken = new Set<Row>()
    const one = (one: Case) =>
      Effect.map(play(started.ask, served, one, host.reasons), ({ complaint, told }) => {
        if (told.failure !== undefined) words.push(`${host.name}, ${one.name}: ${told.failure.message}`)
        if (complaint === undefined) return
        failed++
        broken.add(one.row)
        say(`FAILED  ${host.name}: ${one.name}: ${complaint}`)
      })
    const cases = [...everywhere, ...connections(servers)]
    const [took] = yield* Effect.timed(Effect.forEach(cases, one, { discard: true }))
    say(`${host.name} ${started.version}: ${cases.length} cases in ${Math.round(Duration.toSeconds(took))} s`)
    const cell = (row: Row): Cell =>
      broken.has(row) ? "✗" : row === "reasons" && host.reasons === "hidden" ? "hidden" : "✓"
    return { name: host.name, cells: cellsOf(cell) }
  }).pipe(Effect.scoped)

const main = Effect.gen(function*() {
  const columns = yield* Effect.forEach(hosts, playOn, { concurrency: 2 })
  const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
  say(`\n${words.toSorted().join("\n")}`)
  say(`\neffect-rwkv ${version}, packed and installed\n\n${render(columns)}\n`)
  // A table that somebody else has completed is not to lose its columns.
  const isWhole = columns.every(({ cells }) => cells.texts !== "skipped")
  if (process.argv.includes("--write") && isWhole) write(columns)
  const different = differences(columns)
  for (const difference of different) say(difference)
  return failed + different.length
})

if (install()) {
  await bundle()
  const wrong = await Effect.runPromise(main)
  say(wrong === 0 ? "all runtimes agree, and the README with them" : `${wrong} complaints`)
  process.exitCode = wrong === 0 ? 0 : 1
} else say("SKIPPED: all runtimes, for npm could not install the packed package")
