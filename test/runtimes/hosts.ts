/** The runtimes of the matrix, started with the battery in them. What is not there is told by a word for the reason. */
import { execFileSync, spawn } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Reasons } from "../battery/cases.js"
import type { Ask } from "../battery/play.js"
import type { Told } from "../battery/told.js"
import { launch, openBattery } from "../browser/chromium.js"

export const here = fileURLToPath(new URL("./", import.meta.url))
export const output = `${here}node_modules/.cache/`

interface Started {
  readonly version: string
  readonly ask: Ask
  readonly stop: () => Promise<void>
}

export interface Host {
  readonly name: string
  readonly reasons: Reasons
  /** Started, or why it cannot be. */
  readonly start: () => Promise<Started | string>
}

const absent = "it could not be installed"

/** The first number in what a command says of its version, or undefined if it does not run. */
const versionOf = (command: string) => {
  try {
    const said = execFileSync(command, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    return /\d[\w.-]*/.exec(said)?.[0]
  } catch {
    return undefined
  }
}

const process_ = (name: string, commands: ReadonlyArray<string>, ...args: ReadonlyArray<string>): Host => ({
  name,
  reasons: "told",
  start: async () => {
    for (const command of commands) {
      const version = existsSync(command) ? versionOf(command) : undefined
      if (version === undefined) continue
      const child = spawn(command, [...args, `${output}lines.mjs`], { cwd: here, stdio: ["pipe", "pipe", "inherit"] })
      const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const ask: Ask = async (name, url) => {
        child.stdin.write(`${JSON.stringify({ name, url })}\n`)
        const { done, value } = await answers.next()
        if (done === true) throw new Error("its process has ended")
        return JSON.parse(value)
      }
      return { version, ask, stop: async () => void child.kill() }
    }
    return absent
  }
})

const installed = (name: string) => `${here}node_modules/${name}`

/** This process stands in for a Node of its version that could not be installed. */
const node = (major: number) =>
  process_(`Node ${major}`, [
    installed(`node${major}/bin/node`),
    ...(process.version.startsWith(`v${major}.`) ? [process.execPath] : [])
  ])

const workerdConfiguration = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
      compatibilityDate = "2025-10-01",
      globalOutbound = "network"
    )),
    (name = "network", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
`

const workerd: Host = {
  name: "workerd",
  reasons: "hidden",
  start: async () => {
    const command = installed(".bin/workerd")
    const version = existsSync(command) ? versionOf(command) : undefined
    if (version === undefined) return absent
    writeFileSync(`${output}workerd.capnp`, workerdConfiguration)
    const child = spawn(command, ["serve", `${output}workerd.capnp`, "--control-fd=1"], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const { done, value } = await lines.next()
    if (done === true) throw new Error("workerd did not start")
    const origin = `http://127.0.0.1:${JSON.parse(value).port}`
    const ask = async (name: string, url: string): Promise<Told> => {
      const response = await fetch(`${origin}/?${new URLSearchParams({ name, url })}`)
      const body = await response.text()
      if (!response.ok) throw new Error(body)
      return JSON.parse(body)
    }
    return { version, ask, stop: async () => void child.kill() }
  }
}

const chromium: Host = {
  name: "Chromium",
  reasons: "hidden",
  start: async () => {
    const browser = await launch()
    if (typeof browser === "string") return browser
    const { ask, close } = await openBattery(browser, `${output}page.mjs`)
    return { version: browser.version(), ask, stop: async () => (close(), browser.close()) }
  }
}

/** The columns of the README's table. */
export const hosts: ReadonlyArray<Host> = [
  node(20),
  node(22),
  node(24),
  process_("Bun", [installed(".bin/bun")]),
  process_("Deno", [installed(".bin/deno")], "run", "--allow-all"),
  workerd,
  chromium
]
