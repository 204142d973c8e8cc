/**
 * Many streams and waits at once against the emulator over real sockets, with faults: every text is compared, every failure
 * has to be typed, and nothing may be left.
 *
 *     npx tsx --expose-gc test/soak/soak.ts --seconds 60 --streams 1000 --waits 256
 *     npx tsx --expose-gc test/soak/soak.ts --seconds 10 --streams 100 --waits 32        # as in CI
 *     npx tsx --expose-gc test/soak/soak.ts --cache 256                                  # live tasks are evicted
 */
import { HttpClient, HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Cause, Effect, Exit, Layer, Option, Schedule, Stream } from "effect"
import { RWKV, RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"
import { parseArgs } from "node:util"
import * as Probe from "../support/probe.js"

const { FaultKind } = Emulator

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    streams: { type: "string", default: "1000" },
    waits: { type: "string", default: "256" },
    forks: { type: "string", default: "8" },
    cache: { type: "string", default: "2048" },
    faults: { type: "string", default: "5" }
  }
})
const seconds = Number(values.seconds)
const streams = Number(values.streams)
const waits = Number(values.waits)
const forks = Number(values.forks)
const cacheCapacity = Number(values.cache)
const rate = Number(values.faults) / 100

const words = [
  "hello ",
  "漢字",
  "かな",
  "한국어 ",
  "😀",
  "👩‍👩‍👧‍👦",
  "e\u0301",
  "שלום ",
  "\n",
  "world",
  "\u2028",
  "größer "
]
const textFor = (prompt: string): string => {
  let state = Number(prompt)
  return Array.from({ length: 40 + state % 60 }, () => {
    state = (state * 1103515245 + 12345) % 2147483648
    return words[state % words.length] ?? ""
  }).join("")
}

/** Seven bytes a token: characters are cut anywhere. */
const tokensOf = (text: string): ReadonlyArray<Uint8Array> => {
  const bytes = new TextEncoder().encode(text)
  return Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => bytes.subarray(index * 7, index * 7 + 7))
}

/** A create whose answer is lost makes a task that no client can ever know. */
const lost: Emulator.Fault = { on: { path: "/tmp" }, kind: FaultKind.Reset({ executed: true }) }
const unknowable = new Set<string>()
const isUnknowable = (text: string) =>
  text !== "" && Array.from(unknowable).some((prompt) => textFor(prompt).startsWith(text))
const promptOf = ({ body }: Emulator.RecordedRequest): string => JSON.parse(body).prompt

const kinds: ReadonlyArray<Emulator.Fault> = [
  { on: { path: /stream$|tmp$/ }, kind: FaultKind.Cut({ afterBytes: 300, clean: false }) },
  { on: { path: "/stream" }, kind: FaultKind.Cut({ afterBytes: 500, clean: true }) },
  { on: { path: /stream$|tmp$/ }, kind: FaultKind.Stall({ afterBytes: 200 }) },
  { on: { path: /stream$|tmp$/ }, kind: FaultKind.Split({ size: 3 }) },
  { on: { path: /status|get_result|stream$/ }, kind: FaultKind.Status({ status: 503 }) },
  { on: { path: /status|get_result|stream$/ }, kind: FaultKind.Reset({ executed: true }) },
  { kind: FaultKind.Delay({ duration: "1 second" }) },
  lost,
  { on: { path: /stop|delete/ }, kind: FaultKind.Status({ status: 500 }) }
]

const probe = Probe.make()

const counts = {
  streamed: 0,
  waited: 0,
  forked: 0,
  compared: 0,
  leftEarly: 0,
  failed: 0,
  mismatched: 0,
  stops: 0,
  cutByStops: 0,
  hung: 0,
  untyped: 0
}
const tags = new Map<string, number>()

const server = createServer()
// Longer than the client keeps one: here the event loop of both sides is one, and late.
server.keepAliveTimeout = 60_000
const sockets = Effect.async<number>((resume) => {
  server.getConnections((_, count) => resume(Effect.succeed(count)))
})

const heap = Effect.sync(() => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1e6
})

const judge = (
  prompt: string,
  exit: Exit.Exit<Option.Option<string>, unknown>,
  done: "streamed" | "waited" | "forked"
) => {
  if (Exit.isSuccess(exit)) {
    if (Option.isNone(exit.value)) {
      counts.hung++
      return
    }
    counts[done]++
    counts.compared++
    const text = textFor(prompt)
    if (exit.value.value === text) return
    // A stop may hit who runs in its task's old slot (H29): nothing tells that the text was cut.
    if (text.startsWith(exit.value.value)) counts.cutByStops++
    else counts.mismatched++
    return
  }
  const failure = Option.getOrNull(Cause.failureOption(exit.cause))
  if (!RWKVError.isRWKVError(failure)) {
    counts.untyped++
    process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
    return
  }
  counts.failed++
  const code = "code" in failure && failure.code !== undefined ? ` ${failure.code}` : ""
  const tag = `${failure._tag}${"kind" in failure ? ` ${failure.kind}` : code}`
  tags.set(tag, (tags.get(tag) ?? 0) + 1)
}

const patience = { idleTimeout: "2 seconds", stallTimeout: "60 seconds" } as const
let next = 1

const streamOnce = Effect.gen(function*() {
  const prompt = String(next++)
  const transport = next % 2 === 0 ? "direct" : "subscribe"
  const stream = StreamService.create({ prompt }, { transport, ...patience })
  if (next % 10 === 0) {
    yield* Effect.exit(Stream.runDrain(Stream.take(stream, 1)))
    counts.leftEarly++
    return
  }
  judge(prompt, yield* Effect.exit(Effect.timeoutOption(Stream.mkString(stream), "3 minutes")), "streamed")
})

const waitOnce = Effect.gen(function*() {
  const prompt = String(next++)
  const text = Effect.map(TaskService.run({ prompt }), (result) => result.text)
  judge(prompt, yield* Effect.exit(Effect.timeoutOption(text, "3 minutes")), "waited")
})

/** Forks of one source, whose texts are read from their own streams. */
const forkOnce = Effect.gen(function*() {
  const source = yield* TaskService.createPersistent({ prompt: String(next++), maxTokens: 5 })
  yield* source.wait({ timeout: "1 minute" })
  const fork = () => {
    const prompt = String(next++)
    const text = Stream.mkString(StreamService.fork(source.id, { prompt, maxTokens: 4000 }, patience))
    return Effect.map(Effect.exit(Effect.timeoutOption(text, "3 minutes")), (exit) => judge(prompt, exit, "forked"))
  }
  yield* Effect.all(Array.from({ length: 4 }, fork), { concurrency: "unbounded" })
}).pipe(
  Effect.catchAll((error) => Effect.sync(() => judge("", Exit.fail(error), "forked")))
)

const until = (deadline: number, once: Effect.Effect<void, never, RWKV.RWKV>) =>
  Effect.whileLoop({ while: () => performance.now() < deadline, body: () => once, step: () => {} })

const load = (time: number) =>
  Effect.suspend(() => {
    const deadline = performance.now() + time * 1000
    return Effect.all([
      Effect.forEach(Array.from({ length: streams }), () => until(deadline, streamOnce), { concurrency: "unbounded" }),
      Effect.forEach(Array.from({ length: waits }), () => until(deadline, waitOnce), { concurrency: "unbounded" }),
      Effect.forEach(Array.from({ length: forks }), () => until(deadline, forkOnce), { concurrency: "unbounded" })
    ], { concurrency: "unbounded" })
  })

const client = Layer.unwrapEffect(
  HttpServer.addressWith((address) =>
    Effect.succeed(
      RWKV.layer({
        transformClient: (client) =>
          HttpClient.tapRequest(probe.config.transformClient(client), ({ url }) =>
            Effect.sync(() => {
              if (url.endsWith("/stop")) counts.stops++
            })),
        baseUrl: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "",
        requestTimeout: "60 seconds"
      }).pipe(Layer.provide(NodeHttpClient.layerUndici))
    )
  )
)

let restarts = 0

const temporaryIds = Effect.flatMap(
  Emulator.Emulator,
  (emulator) =>
    Effect.map(
      emulator.tasks,
      (tasks) =>
        tasks.flatMap(({ cached, taskId, text }) =>
          cached && taskId.startsWith("TMP_") && !isUnknowable(text) ? [taskId] : []
        )
    )
)

/** When all temporary tasks are, but for those that somebody was warned of. */
const gone = temporaryIds.pipe(
  Effect.repeat({
    until: (ids) => ids.every((id) => probe.warnedOf().includes(id)),
    schedule: Schedule.spaced("200 millis")
  }),
  Effect.timeoutOption("2 minutes")
)

const program = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  for (const fault of kinds) {
    yield* emulator.inject({
      ...fault,
      times: Infinity,
      on: {
        ...fault.on,
        when: (request) => {
          const hit = Math.random() < rate * 2 / kinds.length
          if (hit && fault === lost) unknowable.add(promptOf(request))
          return hit
        }
      }
    })
  }
  yield* Effect.fork(Effect.repeat(emulator.clearRequests, Schedule.spaced("1 second")))
  // Once in good order, in the middle of it: what runs is served to its end, and newcomers are refused.
  const restart = Effect.zipRight(
    Effect.timeoutOption(emulator.shutdown, "10 seconds"),
    Effect.zipRight(emulator.restart("graceful"), Effect.sync(() => restarts++))
  )
  const [before, after] = yield* Effect.gen(function*() {
    yield* load(seconds / 5)
    const before = yield* heap
    yield* Effect.fork(Effect.delay(restart, `${Math.ceil(seconds / 5)} seconds`))
    yield* load(seconds * 4 / 5)
    // The server is well again: what the owner of the tasks has still to do, it can.
    yield* emulator.clearFaults
    yield* gone
    return [before, yield* heap] as const
  }).pipe(Effect.provide(client))
  const drained = Effect.all([emulator.running, emulator.openStreams, sockets]).pipe(
    Effect.repeat({ until: (left) => left.every((count) => count === 0), schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOption("30 seconds")
  )
  yield* drained
  const left = {
    running: yield* emulator.running,
    openStreams: yield* emulator.openStreams,
    sockets: yield* sockets,
    runningUntold: (yield* Probe.runningIds).filter((id) => !probe.warnedOf().includes(id)).length,
    deletedInTheirRun: probe.deletedRunning.length,
    temporaryUntold: (yield* temporaryIds).filter((id) => !probe.warnedOf().includes(id)).length
  }
  const report = {
    seconds,
    cacheCapacity,
    restarts,
    warnings: probe.warnings.length,
    ...counts,
    failures: Object.fromEntries(tags),
    heapBefore: `${before.toFixed(1)} MB`,
    heapAfter: `${after.toFixed(1)} MB`,
    left
  }
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  // A stop ends one run at most, its own or another.
  const cut = Math.max(0, counts.cutByStops - counts.stops)
  const bad = cut + counts.mismatched + counts.hung + counts.untyped +
    Object.values(left).reduce((sum, count) => sum + count)
  // Half a megabyte a second would be a leak; what the emulator and V8 keep is not.
  const leaks = after - before > Math.max(50, seconds / 2)
  process.exitCode = bad === 0 && !leaks && counts.compared > 0 ? 0 : 1
})

const emulator = Emulator.layerServer({
  reply: ({ text }) => ({ tokens: tokensOf(textFor(text)) }),
  cacheCapacity,
  maxBatchSize: 2048,
  pulse: "300 millis",
  tokensPerPulse: 16,
  defaultMaxTokens: 4000
}).pipe(Layer.provideMerge(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1", backlog: 4096 })))

Effect.runFork(program.pipe(probe.watching, Effect.provide(emulator)))
