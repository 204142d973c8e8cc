/**
 * What the SDK does, in one run: `npm run quickstart`.
 *
 * Without `RWKV_BASE_URL` it serves the emulator on a free local port, so no GPU is needed: its text is that of a toy model.
 */
import { HttpServer, Terminal } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime, NodeTerminal } from "@effect/platform-node"
import { Config, Console, Duration, Effect, Layer, Option, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

const quote = (text: string) => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)

const program = Effect.gen(function*() {
  const terminal = yield* Terminal.Terminal
  const write = (text: string) => Effect.orDie(terminal.display(text))
  const line = (text: string) => write(`${text}\n`)
  const title = (text: string) => line(`\n== ${text}`)

  const [took] = yield* Effect.timed(Effect.gen(function*() {
    const models = yield* TaskService.models
    yield* line(`The server offers ${models.map((model) => model.id).join(", ")}.`)

    yield* title("Text as it is generated")
    yield* StreamService.create({ prompt: "Tell me a story.", maxTokens: 120, seed: 3 }).pipe(
      Stream.runForEach(write)
    )
    yield* line("")

    yield* title("Create a task, wait for it, watch it")
    const task = yield* TaskService.createPersistent({ prompt: "The river in spring", maxTokens: 60, seed: 0 })
    const result = yield* task.wait({
      timeout: "30 seconds",
      onProgress: (info) => line(`   ${info.status}: ${info.generatedTokens} tokens`)
    })
    yield* line(`   ${quote(result.text)}`)

    yield* title("Fill in the middle")
    const gap = yield* TaskService.run({
      prefix: "def add(a, b):\n  ",
      suffix: "\n  return result",
      maxTokens: 24,
      seed: 1
    })
    yield* line(`   ${quote(gap.text)}`)

    yield* title("Fork twice at once, then continue")
    const endings = yield* Effect.forEach(
      [" A happy end:", " A sad end:"],
      (prompt) =>
        task.fork({ prompt, maxTokens: 40, persistence: "temporary" }).pipe(Effect.flatMap((fork) => fork.wait())),
      { concurrency: "unbounded" }
    )
    for (const ending of endings) yield* line(`   fork:     ${quote(ending.text)}`)
    const more = yield* task.continue({ prompt: " And then", maxTokens: 30 })
    yield* line(`   continue: ${quote((yield* more.wait()).text)}`)

    yield* title("Stop")
    const long = yield* TaskService.create({ prompt: "Count to a million:", maxTokens: 40_000 })
    yield* Effect.sleep("150 millis")
    const stopped = yield* long.stop()
    yield* line(`   stopped after ${stopped.generatedTokens} of 40000 tokens`)

    yield* title("Failures have types")
    yield* TaskService.create({ prompt: "Hello", temperature: 3 }).pipe(
      Effect.catchTag("RWKVValidationError", (error) => line(`   ${error._tag}: ${error.message}`))
    )
    yield* TaskService.status("TMP_00000000000000000000000000000000").pipe(
      Effect.catchTag("TaskNotFoundError", (error) => line(`   ${error._tag}: ${error.message}`))
    )

    yield* title("Figures")
    yield* line(`   wait:  ${result.text.length} UTF-16 units in ${Duration.format(result.generationTime)}`)
    yield* line(`   speed: ${Math.round(result.speed)} tokens per second and slot`)
    yield* task.delete()
  }))
  yield* line(`   all:   ${Math.round(Duration.toMillis(took))} ms`)
})

const emulated = Layer.unwrapScoped(Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const port = address._tag === "TcpAddress" ? address.port : 80
  yield* Console.log(`No RWKV_BASE_URL is set: serving the emulator on port ${port}.`)
  return RWKV.layer({ baseUrl: `http://127.0.0.1:${port}`, defaults: { topP: 0.8 } })
})).pipe(
  Layer.provide(Emulator.layerServer({ pulse: "60 millis", tokensPerPulse: 8 })),
  Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
  Layer.orDie
)

const server = Layer.unwrapEffect(Effect.gen(function*() {
  const baseUrl = yield* Config.option(Config.string("RWKV_BASE_URL"))
  return Option.isSome(baseUrl) ? RWKV.layerConfig() : emulated
}))

const main = program.pipe(
  Effect.provide(Layer.provideMerge(server, Layer.merge(NodeHttpClient.layerUndici, NodeTerminal.layer)))
)

NodeRuntime.runMain(main)
