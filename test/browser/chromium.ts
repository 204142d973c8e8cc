/**
 * The Chromium of the machine, driven by playwright-core, which is installed beside this file. Its types are not those of the
 * root's install, so what is used of it is named here.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import type { Ask } from "../battery/play.js"
import type { Told } from "../battery/told.js"

export interface Page {
  readonly goto: (url: string) => Promise<unknown>
  readonly evaluate: <A, B>(run: (argument: A) => B | Promise<B>, argument: A) => Promise<B>
  readonly click: (selector: string) => Promise<void>
  readonly fill: (selector: string, value: string) => Promise<void>
  readonly check: (selector: string, options: { readonly force: boolean }) => Promise<void>
  readonly selectOption: (selector: string, value: string) => Promise<unknown>
  readonly focus: (selector: string) => Promise<void>
  readonly waitForSelector: (selector: string, options?: { readonly timeout: number }) => Promise<unknown>
  readonly waitForTimeout: (milliseconds: number) => Promise<void>
  readonly screenshot: (options: { readonly path?: string }) => Promise<Uint8Array>
  readonly textContent: (selector: string) => Promise<string | null>
  readonly keyboard: { readonly press: (keys: string) => Promise<void> }
  readonly on: (
    event: "console" | "pageerror",
    listener: (message: { readonly type: () => string; readonly text: () => string; readonly message?: string }) => void
  ) => void
}

interface Context {
  readonly addInitScript: (script: { readonly content: string }) => Promise<unknown>
  readonly newPage: () => Promise<Page>
}

export interface Browser {
  readonly version: () => string
  readonly newContext: (options: {
    readonly viewport: { readonly width: number; readonly height: number }
    readonly colorScheme: "light" | "dark"
  }) => Promise<Context>
  readonly close: () => Promise<void>
}

interface Playwright {
  readonly chromium: {
    readonly launch: (options: {
      readonly executablePath: string
      readonly args: ReadonlyArray<string>
    }) => Promise<Browser>
  }
}

const here = fileURLToPath(new URL("./", import.meta.url))

const names = ["chromium", "chromium-browser", "google-chrome"].map((name) => `/usr/bin/${name}`)

/** Each start has a fresh profile. It is to ask nobody but the servers of these tests. */
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

const playwright = (): Playwright | undefined => {
  const isThere = () => existsSync(`${here}node_modules/playwright-core`)
  const quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--silent"]
  if (!isThere()) spawnSync("npm", ["install", ...quiet], { cwd: here, stdio: "inherit" })
  return isThere() ? createRequire(import.meta.url)("playwright-core") : undefined
}

/** A browser, or in a word why there can be none. One that is there and does not start is a failure. */
export const launch = async (): Promise<Browser | string> => {
  const executablePath = [process.env["CHROMIUM"] ?? "", ...names].find((path) => path !== "" && existsSync(path))
  if (executablePath === undefined) return "no Chromium on this machine"
  const installed = playwright()
  return installed === undefined
    ? "playwright-core could not be installed"
    : installed.chromium.launch({ executablePath, args })
}

export const open = async (browser: Browser, width: number, height: number, colorScheme: "light" | "dark") => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme })
  // The compiler of this file calls it in functions that are sent to the page.
  await context.addInitScript({ content: "globalThis.__name = (value) => value" })
  return context.newPage()
}

/** An empty page that has the battery, at an origin of its own. */
export const openBattery = async (browser: Browser, script: string) => {
  const server = createServer((request, response) => {
    const isScript = request.url === "/battery.js"
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" })
    response.end(
      isScript
        ? readFileSync(script)
        : `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/battery.js"></script>`
    )
  })
  const origin = await new Promise<string>((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`)
    })
  )
  const page = await open(browser, 400, 300, "light")
  await page.goto(origin)
  const ask: Ask = (name, url) =>
    page.evaluate(({ name, url }) => {
      const { battery } = globalThis as typeof globalThis & { battery: (name: string, url: string) => Promise<Told> }
      return battery(name, url)
    }, { name, url })
  return { ask, origin, close: () => void server.close() }
}
