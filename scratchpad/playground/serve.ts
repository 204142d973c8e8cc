/**
 * A page to see RWKV stream on: `npm run playground`, with PORT (3210 by default) and HOST (127.0.0.1).
 *
 * Without `RWKV_BASE_URL` it serves the emulator, so no GPU is needed; with it (and `RWKV_API_KEY`) it hands the page's
 * requests on to that server.
 */
import { type HttpApp, HttpMiddleware, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Option, Schema, type Scope } from "effect"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { cutting } from "./cut.js"
import { emulated } from "./emulated.js"
import { Info } from "./info.js"
import { proxy } from "./proxy.js"

const file = (name: string) => fileURLToPath(new URL(`./page/${name}`, import.meta.url))

const script = Effect.promise(() =>
  build({
    entryPoints: [file("main.ts")],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    write: false,
    logLevel: "warning",
    tsconfig: fileURLToPath(new URL("../../tsconfig.json", import.meta.url))
  })
)

/** The page needs nothing but itself and these servers. */
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src http: https:"

const asset = (body: string, contentType: string) =>
  HttpServerResponse.text(body, {
    contentType,
    headers: { "cache-control": "no-store", "content-security-policy": policy, "x-content-type-options": "nosniff" }
  })

const assets = Effect.gen(function*() {
  const read = (name: string) => Effect.promise(() => readFile(file(name), "utf8"))
  const { outputFiles: [bundle] } = yield* script
  return new Map([
    ["/", asset(yield* read("index.html"), "text/html; charset=utf-8")],
    ["/style.css", asset(yield* read("style.css"), "text/css; charset=utf-8")],
    ["/main.js", asset(bundle?.text ?? "", "text/javascript; charset=utf-8")]
  ])
})

const listening = (port: number, host: string) => NodeHttpServer.layer(() => createServer(), { port, host })

const portOf = HttpServer.addressWith((address) => Effect.succeed(address._tag === "TcpAddress" ? address.port : 0))

/**
 * A browser opens six connections to an origin at most, and each stream holds one. So streams go to ports of their own,
 * and a stop always finds a connection free. A proxy that speaks HTTP/2 needs none of this.
 */
const streamPorts = 4

const program = Effect.gen(function*() {
  const port = yield* Config.withDefault(Config.integer("PORT"), 3210)
  const host = yield* Config.withDefault(Config.string("HOST"), "127.0.0.1")
  const baseUrl = Option.filter(yield* Config.option(Config.string("RWKV_BASE_URL")), (url) => url.trim() !== "")
  const files = yield* assets
  const { app, cut } = yield* cutting(Option.isSome(baseUrl) ? yield* proxy(baseUrl.value) : yield* emulated)

  const serve = (port: number, app: HttpApp.Default<never, Scope.Scope>) =>
    Effect.gen(function*() {
      const context = yield* Layer.build(listening(port, host))
      yield* Effect.provide(HttpServer.serveEffect(app), context)
      return yield* Effect.provide(portOf, context)
    })

  // The page's own origin and no other may read answers: a key may stand behind them.
  let ours = port
  const cors = HttpMiddleware.cors({ allowedOrigins: (origin) => new URL(origin).port === `${ours}`, maxAge: 600 })
  const ports = yield* Effect.replicateEffect(serve(0, cors(app)), streamPorts)
  const info = yield* Schema.encode(Schema.parseJson(Info))({
    server: Option.getOrUndefined(baseUrl),
    streamPorts: ports
  })

  const page: HttpApp.Default<never, Scope.Scope> = Effect.gen(function*() {
    const { method, url } = yield* HttpServerRequest.HttpServerRequest
    const known = method === "GET" ? files.get(url) : undefined
    if (known !== undefined) return known
    if (url.startsWith("/v1/")) return yield* app
    if (method === "GET" && url === "/info") return asset(info, "application/json")
    if (method === "POST" && url === "/cut") return asset(`${yield* cut}`, "text/plain")
    return HttpServerResponse.empty({ status: 404 })
  })
  ours = yield* serve(port, page)
  const what = Option.match(baseUrl, {
    onNone: () => "the emulator: a toy model that babbles. Set RWKV_BASE_URL for a real server",
    onSome: (url) => url
  })
  yield* Console.log(
    `The playground is at http://${host === "0.0.0.0" ? "127.0.0.1" : host}:${ours}/\nIt talks to ${what}.`
  )
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(Effect.provide(program, NodeHttpClient.layerUndici)))
