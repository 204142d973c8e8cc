/**
 * What has to be there before anything is measured: the peers, and the measuring programs as plain JavaScript.
 *
 * Loaders that compile on the fly wrap every function to keep its name, which costs libraries made of closures several
 * times their own time: only code that was compiled as for a release is measured.
 */
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const bench = fileURLToPath(new URL("./", import.meta.url))
export const root = fileURLToPath(new URL("../../", import.meta.url))
/** In reach of the project's packages, and of the peers'. */
export const ownOutput = `${root}node_modules/.cache/bench`
export const peersOutput = `${bench}node_modules/.cache/bench`

export const say = (text: string) => process.stdout.write(`${text}\n`)

export const reason = (error: unknown) => (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? ""

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
}

const manifest = (path: string): Manifest & { readonly version: string } => JSON.parse(readFileSync(path, "utf8"))

const peers = () => Object.entries(manifest(`${bench}package.json`).dependencies)

const isInstalled = () =>
  peers().every(([name, version]) => {
    const path = `${bench}node_modules/${name}/package.json`
    return existsSync(path) && manifest(path).version === version
  })

/** Whether the peers are there; they are installed if they are not. */
export const install = (): boolean => {
  if (isInstalled()) return true
  say("installing the peers of test/bench ...")
  try {
    const flags = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
    execFileSync("npm", ["install", ...flags], { cwd: bench, stdio: "inherit", shell: process.platform === "win32" })
    return true
  } catch (error) {
    say(`SKIPPED: all peers, for they could not be installed (${reason(error)})`)
    return false
  }
}

export const versionOf = (name: string): string =>
  manifest(`${bench}package.json`).dependencies[name] ?? manifest(`${root}node_modules/${name}/package.json`).version

const alias = { "effect-rwkv": `${root}src/index.ts` }

const common = { bundle: true, format: "esm", platform: "node", target: "node20", packages: "external" } as const

export const compile = async (withPeers: boolean) => {
  const entries = ["server", "work-own", "work-telemetry"].map((name) => ({ in: `${bench}${name}.ts`, out: name }))
  await build({ ...common, alias, entryPoints: entries, outdir: ownOutput, outExtension: { ".js": ".mjs" } })
  // File by file, as it is published, for the time that importing takes.
  await build({
    entryPoints: [`${root}src/*.ts`, `${root}src/internal/**/*.ts`],
    format: "esm",
    platform: "node",
    target: "es2022",
    outdir: `${ownOutput}/package`,
    outbase: `${root}src`
  })
  if (!withPeers) return
  const out = `${peersOutput}/work-peers.mjs`
  await build({ ...common, entryPoints: [`${bench}work-peers.ts`], outfile: out })
}

/** The interpreter that has the Python SDK, or why there is none. */
export const python = (): { readonly command: string } | { readonly missing: string } => {
  const command = process.env["BENCH_PYTHON"] ?? "python3"
  try {
    execFileSync(command, ["-c", "import httpx, rwkv_api"], { stdio: "pipe" })
    return { command }
  } catch (error) {
    const told = error instanceof Error ? error.message.trim().split("\n").pop() ?? "" : String(error)
    return { missing: told }
  }
}
