/**
 * Runs the programs in scratchpad/ and in docs/from-python.md as their readers do, against the emulator behind a socket, and counts
 * their lines. They are bundled first: each start would load and compile all of the sources and of Effect anew.
 */
import { Command, FileSystem, HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Deferred, Effect, Fiber, Layer, Option, Schedule, Schema, Stream } from "effect"
import { Protocol } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { build } from "esbuild"
import assert from "node:assert"
import { createServer } from "node:http"

/** Lines that are neither empty nor a comment, at most. */
const limits = {
  "agent.ts": 40,
  "batch.ts": 25,
  "chat.ts": 20,
  "pool.ts": 52,
  "promise.ts": 13,
  "sse-proxy.ts": 15,
  "tokens-per-second.ts": 10
}

/** A project of its own, so that nothing of it is taken for a part of this one. */
const bundled = "node_modules/.cache/scratchpad"

/** A program of CommonJS in there asks for Node's modules. */
const banner = `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`

const bundle = (entryPoints: ReadonlyArray<string>) =>
  Effect.promise(() =>
    build({
      entryPoints: entryPoints.slice(),
      entryNames: "[name]",
      outdir: bundled,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20",
      banner: { js: banner },
      logLevel: "error"
    })
  )

const start = (name: string, ...args: ReadonlyArray<string>) =>
  Command.make("node", `${bundled}/${name.replace(/\.ts$/, ".mjs")}`, ...args)

const program = (name: keyof typeof limits, ...args: ReadonlyArray<string>) => start(name, ...args)

const text = (stream: Stream.Stream<Uint8Array, unknown>) => Stream.mkString(Stream.decodeText(stream))

const baseUrl = HttpServer.addressWith((address) =>
  Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "")
)

const counted = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  for (const [name, limit] of Object.entries(limits)) {
    const code = (yield* fs.readFileString(`scratchpad/${name}`)).split("\n").map((line) => line.trim())
    const lines = code.filter((line) => line !== "" && !line.startsWith("//"))
    assert(lines.length <= limit, `${name} has ${lines.length} lines, and may have ${limit}`)
    assert(code.every((line) => line.length <= 120), `${name} has lines of more than 120 columns`)
  }
  const chat = (yield* fs.readFileString("scratchpad/chat.ts")).split("\n\n").slice(1, 3).join("\n")
  assert(chat.includes("session.stream") && chat.split("\n").length <= 12, "a chat in the terminal takes 12 lines")
})

const decodeResult = Schema.decodeOption(
  Schema.parseJson(Schema.Struct({ prompt: Schema.String, text: Schema.String }))
)

/** Killed in the middle, started again: every prompt has one result. */
const batch = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const emulator = yield* Emulator.Emulator
  const folder = yield* fs.makeTempDirectoryScoped()
  const [input, output] = [`${folder}/prompts.txt`, `${folder}/results.jsonl`]
  const prompts = Array.from({ length: 200 }, (_, index) => `prompt ${index}`)
  yield* fs.writeFileString(input, prompts.join("\n"))
  const command = program("batch.ts", input, output).pipe(Command.env({ RWKV_BASE_URL: yield* baseUrl }))
  const results = fs.readFileString(output).pipe(
    Effect.orElseSucceed(() => ""),
    // A line that was being written when its writer was killed is no result.
    Effect.map((text) => text.split("\n").flatMap((line) => Option.toArray(decodeResult(line))))
  )

  const first = yield* Command.start(command)
  yield* Effect.repeat(results, { until: (lines) => lines.length >= 20, schedule: Schedule.spaced("20 millis") })
  yield* first.kill("SIGKILL")
  const before = (yield* results).length
  assert(before < prompts.length, "it was done before it was killed")
  // What a crash in mid-line leaves.
  yield* fs.writeFileString(output, `\n{"prompt":"prompt 199","te`, { flag: "a" })
  yield* emulator.clearRequests

  const second = yield* Command.start(command)
  const said = yield* text(second.stdout)
  assert.strictEqual(yield* second.exitCode, 0)
  const rest = prompts.length - before
  assert(said.includes(`${rest} of ${rest}, 0 failed`), said)
  const created = (yield* emulator.requests).filter(({ path }) => path === "/v1/tasks/tmp").length
  assert.strictEqual(created, rest)
  const done = yield* results
  assert.deepStrictEqual(done.map(({ prompt }) => prompt).sort(), prompts.slice().sort())
  assert(done.every(({ prompt, text }) => text === `<${prompt}>`))
})

const tokensPerSecond = Effect.gen(function*() {
  const command = program("tokens-per-second.ts", "Hello").pipe(Command.env({ RWKV_BASE_URL: yield* baseUrl }))
  assert.match(yield* Command.string(command), /^7 tokens, \d+\.\d per second, ended by stop\n$/)
})

/** Two turns, the second after the first was answered: thoughts are dimmed, and the chat remembers. */
const chat = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const over = yield* Deferred.make<void>()
  let shown = ""
  const until = (answer: string) =>
    Effect.repeat(Effect.sync(() => shown), {
      until: (text) => text.includes(answer) && text.endsWith("> "),
      schedule: Schedule.spaced("20 millis")
    })
  const typed = Stream.make("Hi\n").pipe(
    Stream.concat(Stream.as(Stream.fromEffect(until("message 1")), "And?\n")),
    // Its input ends when it does: what is never fed would keep this process alive.
    Stream.concat(Stream.drain(Stream.fromEffect(Deferred.await(over)))),
    Stream.encodeText
  )
  const command = program("chat.ts").pipe(Command.env({ RWKV_BASE_URL: yield* baseUrl }), Command.stdin(typed))
  const process = yield* Command.start(command)
  yield* Stream.decodeText(process.stdout).pipe(
    Stream.runForEach((text) => Effect.sync(() => shown += text)),
    Effect.forkScoped
  )
  yield* until("message 3")
  assert.strictEqual(
    shown,
    "\n> \u001b[2mHm.\u001b[22mmessage 1\n> \u001b[2mHm.\u001b[22mmessage 3\n> "
  )
  yield* process.kill("SIGINT")
  yield* Deferred.succeed(over, undefined)
  assert.strictEqual(yield* emulator.running, 0)
})

/** Servers join, are killed and drain, and no run is lost. */
const pool = Effect.gen(function*() {
  const said = yield* Command.string(program("pool.ts"))
  for (const event of ["blue joins", "red is killed", "green drains", "150 of 150 songs are whole"]) {
    assert(said.includes(event), said)
  }
})

/** It calls its tool and answers: by its own script, and by what a server says. */
const agent = Effect.gen(function*() {
  const said = "tool: [{\"rain\":true}]\nYes, it will.\n"
  assert.strictEqual(yield* Command.string(program("agent.ts")), said)
  const command = program("agent.ts", "Will it rain?").pipe(Command.env({ RWKV_BASE_URL: yield* baseUrl }))
  assert.strictEqual(yield* Command.string(command), said)
})

/** A text to its end; a run that is left by Ctrl-C is stopped; a server that is not there is named. */
const promise = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const url = yield* baseUrl
  const at = (RWKV_BASE_URL: string, prompt: string) =>
    Command.start(Command.env(program("promise.ts", prompt), { RWKV_BASE_URL }))
  const whole = yield* at(url, "Hi")
  assert.strictEqual(yield* text(whole.stdout), "<Hi>")
  const long = yield* at(url, "long")
  yield* Effect.repeat(emulator.running, { until: (running) => running > 0, schedule: Schedule.spaced("10 millis") })
  const said = yield* Effect.fork(text(long.stderr))
  yield* Effect.fork(Stream.runDrain(long.stdout))
  yield* long.kill("SIGINT")
  assert.strictEqual(yield* Fiber.join(said), "stopped\n")
  yield* Effect.repeat(emulator.running, { until: (running) => running === 0, schedule: Schedule.spaced("10 millis") })
  const nowhere = yield* at("http://127.0.0.1:1", "Hi")
  assert.match(yield* text(nowhere.stderr), /Is the server up\? StreamService.create: .*\n$/)
})

const frames = (body: string) =>
  Array.from(body.matchAll(/^event: (.*)\ndata: (.*)$/gm), ([, event = "", data = ""]) => ({ event, data }))

/** A run is streamed to its end; one whose reader leaves is stopped. */
const sseProxy = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const port = 20_000 + (yield* Effect.sync(() => process.pid % 20_000))
  const url = `http://127.0.0.1:${port}/generate`
  yield* Command.start(
    Command.env(program("sse-proxy.ts"), { RWKV_BASE_URL: yield* baseUrl, PORT: `${port}` })
  )
  const call = (prompt: string) =>
    Effect.tryPromise((signal) => fetch(url, { method: "POST", body: JSON.stringify({ prompt }), signal }))
  const response = yield* Effect.retry(call("Hi"), { schedule: Schedule.spaced("100 millis"), times: 200 })
  assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
  const sent = frames(yield* Effect.promise(() => response.text()))
  const events = yield* Effect.forEach(sent, ({ data }) => Schema.decode(Schema.parseJson(Protocol.StreamEvent))(data))
  assert.strictEqual(events.flatMap((event) => event._tag === "Text" ? [event.text] : []).join(""), "<Hi>")
  assert.deepStrictEqual([sent[0]?.event, sent.at(-1)?.event], ["Started", "Finished"])

  const long = yield* call("long")
  const reader = long.body?.getReader()
  yield* Effect.promise(async () => reader?.read())
  yield* Effect.repeat(emulator.running, { until: (running) => running > 0, schedule: Schedule.spaced("10 millis") })
  yield* Effect.promise(async () => reader?.cancel())
  yield* Effect.repeat(emulator.running, { until: (running) => running === 0, schedule: Schedule.spaced("10 millis") })
  assert((yield* emulator.requests).some(({ path }) => path.endsWith("/stop")), "the run was not stopped")
})

const words = {
  stream: "Text as it",
  chat: "A chat",
  wait: "wait for it",
  fim: "Fill in",
  fork: "Fork",
  batch: "Many",
  stop: "Stop"
}

/** Runs the quickstart and tells how it ended and what it said. It is no terminal here. */
const quickstart = (environment: Record<string, string>, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const command = start("quickstart.ts", ...args)
    const started = yield* Command.start(Command.env(command, environment))
    const [said, failed] = yield* Effect.all([text(started.stdout), text(started.stderr)], { concurrency: 2 })
    return { code: Number(yield* started.exitCode), said, failed }
  })

/** It shows every section or the chosen ones, has no colours here, and leaves no task on the server. */
const quickstarts = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  const url = yield* baseUrl
  const all = yield* quickstart({ RWKV_BASE_URL: url })
  assert.deepStrictEqual([all.code, all.failed], [0, ""])
  assert(all.said.startsWith(`RWKV_BASE_URL is ${url}.\n`), all.said)
  assert(!all.said.includes("\u001b") && !all.said.includes("\uFFFD"), "it has colours, or characters that are cut")
  for (
    const title of [...Object.values(words), "RWKVValidationError: ", "TaskNotFoundError: ", "of 60 tokens", "中文"]
  ) {
    assert(all.said.includes(title), `it does not show ${title}`)
  }
  assert.deepStrictEqual(yield* emulator.tasks, [])

  const chat = yield* quickstart({ RWKV_BASE_URL: "" }, "--only", "chat")
  assert.deepStrictEqual([chat.code, chat.failed], [0, ""])
  assert(chat.said.startsWith("RWKV_BASE_URL is not set") && chat.said.includes("蓝光散射得最多"), chat.said)
  assert(Object.entries(words).every(([name, title]) => chat.said.includes(title) === (name === "chat")), chat.said)

  const helped = yield* quickstart({}, "--help")
  assert.strictEqual(helped.code, 0)
  assert(["--only", "RWKV_BASE_URL", "NO_COLOR"].every((word) => helped.said.includes(word)), helped.said)

  const unknown = yield* quickstart({}, "--only", "chess")
  assert.deepStrictEqual([unknown.code, unknown.said], [1, ""])
  assert(unknown.failed.includes("chess") && unknown.failed.includes("chat"), unknown.failed)

  const nobody = yield* quickstart({ RWKV_BASE_URL: "nonsense" }, "--only", "errors")
  assert.strictEqual(nobody.code, 1)
  assert(nobody.failed.includes("baseUrl must be an absolute URL"), nobody.failed)
})

/** Each program of the guide says something and ends well. */
const fromPython = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const guide = yield* fs.readFileString("docs/from-python.md")
  const blocks = Array.from(guide.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ([, code = ""]) => code)
  const python = Array.from(guide.matchAll(/^```python$/gm))
  assert(blocks.length === python.length && blocks.length > 0, "a program has nothing beside it")
  const folder = yield* fs.makeTempDirectoryScoped({ directory: ".", prefix: ".from-python-" })
  const environment = { RWKV_BASE_URL: yield* baseUrl }
  const names = blocks.map((_, index) => `python-${index}.ts`)
  yield* Effect.forEach(blocks, (code, index) => fs.writeFileString(`${folder}/${names[index]}`, code))
  yield* bundle(names.map((name) => `${folder}/${name}`))
  yield* Effect.forEach(names, (name) =>
    Effect.gen(function*() {
      const started = yield* Command.start(Command.env(start(name), environment))
      const [said, failed] = yield* Effect.all([text(started.stdout), text(started.stderr)], { concurrency: 2 })
      assert.deepStrictEqual([yield* started.exitCode, failed, said === ""], [0, "", false])
    }))
})

const chats = Emulator.chat(({ messages }) => ({ reasoning: "Hm.", text: `message ${messages.length}` }))

const weather = " ```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n```"

const live = Emulator.layerServer({
  reply: (request) => {
    if (request.text === "long") return { tokens: ["x"], end: "loop" }
    if (request.text.includes("Function output")) return " Yes, it will."
    return request.text.includes("Will it rain?") ? weather : chats(request) ?? `<${request.text}>`
  },
  pulse: "50 millis",
  maxBatchSize: 8,
  defaultMaxTokens: 100_000
}).pipe(Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })))

const checks = { counted, agent, chat, pool, promise, batch, sseProxy, tokensPerSecond, fromPython, quickstarts }

const programs = [...Object.keys(limits), "quickstart.ts"].map((name) => `scratchpad/${name}`)

const main = Effect.zipRight(
  bundle(programs),
  Effect.forEach(Object.entries(checks), ([name, check]) =>
    Effect.scoped(check).pipe(
      Effect.provide(live),
      Effect.timeoutFail({ duration: "60 seconds", onTimeout: () => `${name} did not end` }),
      Effect.zipRight(Console.log(`${name}: ok`))
    ))
)

NodeRuntime.runMain(Effect.provide(main, NodeContext.layer))
