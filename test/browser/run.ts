/**
 * `npm run test:browser`: what is of browsers alone: the built SDK in a page of another origin, with CORS and through nginx; then
 * the playground, as a person would use it. `npm run test:runtimes` plays the whole battery to a page. What the machine lacks is
 * skipped aloud. With `--picture` it writes the README's picture.
 */
import { Effect } from "effect"
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Case, direct, everywhere, idle, proxied } from "../battery/cases.js"
import { type Ask, play, type Served, serveEmulator } from "../battery/play.js"
import { type Browser, launch, openBattery } from "./chromium.js"
import * as Nginx from "./nginx.js"
import * as Playground from "./playground.js"

const here = fileURLToPath(new URL("./", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))
const output = `${here}node_modules/.cache`

let passed = 0
let failed = 0

const say = (line: string) => process.stdout.write(`${line}\n`)

const judge = (name: string, complaint: string | undefined) => {
  if (complaint === undefined) passed++
  else failed++
  say(complaint === undefined ? `ok      ${name}` : `FAILED  ${name}: ${complaint}`)
}

/** The battery on the SDK as it is built. */
const bundle = async () => {
  execFileSync("npx", ["tsc", "-p", "tsconfig.build.json", "--outDir", `${output}/dist`], {
    cwd: root,
    stdio: "inherit"
  })
  await build({
    entryPoints: [`${root}test/battery/page.ts`],
    outfile: `${output}/page.mjs`,
    bundle: true,
    format: "esm",
    target: "es2022",
    alias: {
      "effect-rwkv": `${output}/dist/index.js`,
      "effect-rwkv/RWKVChat": `${output}/dist/RWKVChat.js`
    },
    tsconfigRaw: {}
  })
  return `${output}/page.mjs`
}

const playAll = (where: string, ask: Ask, served: Served, cases: ReadonlyArray<Case>) =>
  Effect.forEach(
    cases,
    (one) => Effect.map(play(ask, served, one, "hidden"), ({ complaint }) => judge(`${where}: ${one.name}`, complaint)),
    { discard: true }
  )

const battery = (browser: Browser) =>
  Effect.gen(function*() {
    const script = yield* Effect.promise(bundle)
    const { ask, origin } = yield* Effect.acquireRelease(
      Effect.promise(() => openBattery(browser, script)),
      ({ close }) => Effect.sync(close)
    )
    const plain = yield* serveEmulator(false)
    yield* playAll("with CORS", ask, yield* serveEmulator(true), direct(plain.url))

    const nginx = yield* Effect.acquireRelease(
      Effect.promise(() => Nginx.start(plain.url, origin)),
      (nginx) => Effect.promise(async () => nginx?.stop())
    )
    if (nginx === undefined) say("SKIPPED: the proxy of docs/browsers.md, for there is no nginx on this machine")
    else {
      const behind = { service: plain.service, url: nginx.url }
      yield* playAll("through nginx", ask, behind, [...everywhere, ...proxied])
    }
  })

const main = Effect.gen(function*() {
  mkdirSync(output, { recursive: true })
  const browser = yield* Effect.promise(launch)
  if (typeof browser === "string") {
    say(`SKIPPED: the browser, for ${browser}`)
    return
  }
  yield* Effect.addFinalizer(() => Effect.promise(() => browser.close()))
  say(`Chromium ${browser.version()}`)
  yield* battery(browser)
  const picture = process.argv.includes("--picture") ? `${root}docs/playground.png` : undefined
  const { service, url } = yield* serveEmulator(false)
  const setting = { root, output, picture, judge, upstream: url }
  yield* Effect.promise(() => Playground.play(browser, setting))
  judge("and who leaves stops the task there", yield* idle(service))
}).pipe(
  Effect.scoped,
  Effect.catchAllCause((cause) => Effect.sync(() => judge("the test itself", `${cause}`))),
  Effect.timeout("10 minutes")
)

await Effect.runPromise(main)
if (passed + failed > 0) say(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
