/**
 * What the SDK does, in one run: `npm run quickstart`, and `npm run quickstart -- --help` for parts of it.
 *
 * Without `RWKV_BASE_URL` it serves the emulator on a free local port, so no GPU is needed: its text is that of a toy model.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime, NodeTerminal } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Option } from "effect"
import { RWKV, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"
import { parseArgs } from "node:util"
import * as Screen from "./quickstart/screen.js"
import { sections } from "./quickstart/sections.js"

const names = Object.keys(sections)

const help = `What effect-rwkv does, in one run.

  npm run quickstart                       all sections
  npm run quickstart -- --only chat,wait   some: ${names.join(", ")}
  npm run quickstart -- --help             this

  RWKV_BASE_URL   the server, as http://localhost:8000; without it an emulated one answers, with a toy model's babble
  RWKV_API_KEY    the key of a proxy before it
  NO_COLOR        anything: no colour`

const arguments_ = Effect.try({
  try: () => parseArgs({ options: { help: { type: "boolean", short: "h" }, only: { type: "string" } } }).values,
  catch: (error) => `${error instanceof Error ? error.message : error}\n\n${help}`
})

const chosen = (only: string | undefined) => {
  const wanted = only === undefined ? names : only.split(",").map((name) => name.trim())
  const unknown = wanted.filter((name) => !names.includes(name))
  return unknown.length === 0
    ? Effect.succeed(Object.entries(sections).filter(([name]) => wanted.includes(name)).map(([, section]) => section))
    : Effect.fail(`There is no section ${unknown.join(", ")}: there are ${names.join(", ")}.`)
}

const emulated = Layer.unwrapScoped(Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const baseUrl = `http://127.0.0.1:${address._tag === "TcpAddress" ? address.port : 80}`
  yield* Console.log(`RWKV_BASE_URL is not set: an emulated server answers at ${baseUrl}, with a toy model's babble.`)
  const reply = Emulator.chat(({ turn }) => ({
    reasoning: "The user asks about the sky.",
    text: /\p{Script=Han}/u.test(turn) ? "蓝光散射得最多，所以天空是蓝色的。" : "Air scatters blue light the most."
  }))
  return RWKV.layer({ baseUrl, defaults: { topP: 0.8 } }).pipe(
    Layer.provideMerge(Emulator.layerServer({ pulse: "60 millis", tokensPerPulse: 8, reply }))
  )
})).pipe(
  Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
  Layer.orDie
)

const server = Layer.unwrapEffect(Effect.gen(function*() {
  const baseUrl = yield* Config.option(Config.nonEmptyString("RWKV_BASE_URL"))
  if (Option.isNone(baseUrl)) return emulated
  yield* Console.log(`RWKV_BASE_URL is ${baseUrl.value}.`)
  return RWKV.layerConfig()
}))

const show = (parts: ReadonlyArray<(typeof sections)[string]>) =>
  Effect.gen(function*() {
    const screen = yield* Screen.Screen
    const models = yield* TaskService.models
    yield* screen.line(`It offers ${models.map((model) => model.id).join(", ")}.`)
    const [took] = yield* Effect.timed(Effect.forEach(parts, (part) => part, { discard: true }))
    yield* screen.line(`\nDone in ${Screen.duration(took)}.`)
  })

const main = Effect.gen(function*() {
  const given = yield* arguments_
  if (given.help === true) return yield* Console.log(help)
  yield* show(yield* chosen(given.only)).pipe(
    Effect.provide([Screen.layer, server]),
    Effect.provide([NodeHttpClient.layerUndici, NodeTerminal.layer])
  )
}).pipe(
  Effect.tapError((error) => Console.error(typeof error === "string" ? error : error.message)),
  Effect.mapError(() => "quickstart")
)

NodeRuntime.runMain(main, { disableErrorReporting: true })
