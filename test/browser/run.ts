/**
 * `npm run test:browser`: the built SDK in a page of another origin, against the emulator with CORS and through nginx; then the
 * playground, as a person would use it. What the machine lacks is skipped aloud. With `--picture` it writes the README's picture.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, type Scope } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { type Case, direct, everywhere, idle, options, proxied, unreachable } from "./cases.js"
import { type Browser, launch, open, type Page } from "./chromium.js"
import * as Nginx from "./nginx.js"
import * as Playground from "./playground.js"
import type { Told } from "./told.js"

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

/** The battery on the SDK as it is published. */
const bundle = async () => {
  execFileSync("npx", ["tsc", "-p", "tsconfig.build.json", "--outDir", `${output}/dist`], {
    cwd: root,
    stdio: "inherit"
  })
  const { outputFiles: [script] } = await build({
    entryPoints: [`${here}battery.ts`],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    alias: {
      "effect-rwkv": `${output}/dist/index.js`,
      "effect-rwkv/RWKVChat": `${output}/dist/RWKVChat.js`
    },
    tsconfigRaw: {}
  })
  return script?.text ?? ""
}

const portOf = HttpServer.addressWith((address) => Effect.succeed(address._tag === "TcpAddress" ? address.port : 0))

const serveEmulator = (
  cors: boolean
): Effect.Effect<{ service: Emulator.Service; port: number }, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const server = NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })
    const context = yield* Layer.build(Emulator.layerServer({ ...options, cors }).pipe(Layer.provideMerge(server)))
    return yield* Effect.provide(Effect.all({ service: Emulator.Emulator, port: portOf }), context)
  })

const local = (port: number) => `http://127.0.0.1:${port}`

/** An empty page that has the battery, at an origin of its own. */
const servePage = (script: string) =>
  Effect.acquireRelease(
    Effect.async<{ readonly origin: string; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const isScript = request.url === "/battery.js"
        response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" })
        response.end(
          isScript
            ? script
            : `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/battery.js"></script>`
        )
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ origin: local(port), close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const ask = ({ name, url }: { readonly name: string; readonly url: string }) => {
  const { battery } = globalThis as typeof globalThis & { battery: (name: string, url: string) => Promise<Told> }
  return battery(name, url)
}

const play = (page: Page, where: string, url: string, emulator: Emulator.Service, cases: ReadonlyArray<Case>) =>
  Effect.forEach(cases, (one) =>
    Effect.gen(function*() {
      yield* emulator.clearRequests
      yield* emulator.clearFaults
      yield* one.prepare?.(emulator) ?? Effect.void
      const told = yield* Effect.tryPromise(() => page.evaluate(ask, { name: one.run, url: one.url ?? url })).pipe(
        Effect.timeout("30 seconds"),
        Effect.map((told) => one.complaint(told)),
        Effect.catchAll((error) => Effect.succeed(`${error}`))
      )
      const seen = one.seen === undefined ? undefined : yield* one.seen(emulator)
      judge(`${where}: ${one.name}`, told ?? seen)
    }), { discard: true })

const battery = (browser: Browser) =>
  Effect.gen(function*() {
    const { origin } = yield* servePage(yield* Effect.promise(bundle))
    const emulator = yield* serveEmulator(true)
    const plain = yield* serveEmulator(false)
    const page = yield* Effect.promise(() => open(browser, 400, 300, "light"))
    yield* Effect.promise(() => page.goto(origin))
    const url = local(emulator.port)
    yield* play(page, "with CORS", url, emulator.service, everywhere)
    const refused = yield* Effect.scoped(Effect.map(serveEmulator(false), ({ port }) => local(port)))
    const urls = { refused, withoutCors: local(plain.port) }
    yield* play(page, "with CORS", url, emulator.service, [...direct, ...unreachable(urls)])

    const nginx = yield* Effect.acquireRelease(
      Effect.promise(() => Nginx.start(plain.port, origin)),
      (nginx) => Effect.promise(async () => nginx?.stop())
    )
    if (nginx === undefined) say("SKIPPED: the proxy of docs/browsers.md, for there is no nginx on this machine")
    else yield* play(page, "through nginx", nginx.url, plain.service, [...everywhere, ...proxied])
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
  const { port, service } = yield* serveEmulator(false)
  const setting = { root, output, picture, judge, upstream: local(port) }
  yield* Effect.promise(() => Playground.play(browser, setting))
  judge("and who leaves stops the task there", yield* idle(service))
}).pipe(
  Effect.scoped,
  Effect.catchAllCause((cause) => Effect.sync(() => judge("the test itself", `${cause}`))),
  Effect.timeout("5 minutes")
)

await Effect.runPromise(main)
if (passed + failed > 0) say(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
