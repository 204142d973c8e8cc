/**
 * What must not grow unseen: the size of the SDK's own code, the modules it draws in, and the requests that its verbs cost.
 * Nothing here depends on the speed of the machine.
 */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Layer, Random, Scheduler, Stream, Supervisor, TestClock } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { build, type Metafile } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { created, json, ok, platform } from "./wire.js"

/** Bytes, minified and compressed: what was measured when this was written, and a fiftieth. */
const budget = { gzip: 24_700, min: 67_300 }

const root = fileURLToPath(new URL("../", import.meta.url))

const program = `
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { RWKV, StreamService } from "effect-rwkv"
const live = Layer.provide(RWKV.layer({ baseUrl: "http://localhost:8000" }), FetchHttpClient.layer)
const texts = StreamService.create({ prompt: "Hello" })
Effect.runFork(Effect.provide(Stream.runForEach(texts, (text) => Effect.log(text)), live))`

const bundle = (code: string) =>
  Effect.promise(() =>
    build({
      stdin: { contents: code, resolveDir: root, loader: "js" },
      bundle: true,
      minify: true,
      write: false,
      metafile: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      alias: { "effect-rwkv": `${root}src/index.ts` },
      external: ["effect", "effect/*", "@effect/platform", "@effect/platform/*"]
    })
  )

const inputs = ({ inputs }: Metafile) => Object.keys(inputs).map((path) => path.replaceAll("\\", "/"))

const imports = ({ inputs }: Metafile) =>
  Object.entries(inputs).flatMap(([from, input]) => input.imports.map(({ path }) => ({ from, path })))

/** What a minimal program makes of the bundle's outputs. */
const minimal = Effect.map(bundle(program), ({ metafile, outputFiles }) => ({
  metafile,
  code: outputFiles[0]?.contents ?? new Uint8Array()
}))

describe("the bundle of a program that creates a task and streams it", () => {
  it.effect("has no more of the SDK's own code than its budget", () =>
    Effect.gen(function*() {
      const { code } = yield* minimal
      expect(code.length).toBeGreaterThan(10_000)
      expect(code.length).toBeLessThanOrEqual(budget.min)
      expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(budget.gzip)
    }))

  it.effect("has nothing of the emulator, and one dependency", () =>
    Effect.gen(function*() {
      const { metafile } = yield* minimal
      const paths = inputs(metafile)
      expect(paths.filter((path) => path.includes("/testing/"))).toEqual([])
      const packages = paths.filter((path) => path.includes("node_modules/"))
        .map((path) => path.replace(/.*node_modules\//, "").split("/")[0])
      expect([...new Set(packages)]).toEqual(["eventsource-parser"])
    }))

  it.effect("imports Effect and the platform by module: their barrels are half as large again", () =>
    Effect.gen(function*() {
      const testing = yield* bundle("export * from \"./src/testing/index.ts\"")
      const { metafile } = yield* minimal
      const all = [...imports(metafile), ...imports(testing.metafile)]
      expect(all.length).toBeGreaterThan(50)
      expect(all.filter(({ path }) => path === "effect" || path === "@effect/platform")).toEqual([])
    }))
})

/** As measured when this was written. A run of 3 seconds is a create, 14 polls, a result and a delete. */
const requestsOfRun = 17
const fibers = { subscribe: 6, wait: 5, status: 3 }
/** And a twentieth. */
const operations = { subscribe: 1030, wait: 500, status: 185 }

/** A server whose every task takes this long: 32 tokens of one byte every 50 ms. */
const taking = (seconds: number) =>
  Emulator.layer({ reply: () => "0123456789abcdefghijklmnopqrstuv".repeat(seconds * 20) })

const request = (seconds: number) => ({ prompt: "Hello", maxTokens: seconds * 640 })

const live = (seconds: number) => Layer.provideMerge(RWKV.layer(), taking(seconds))

/** Lets the time pass that an effect needs, without jitter. */
const passing = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.withRandom(effect, Random.fixed([0.5])))
    while ((yield* Fiber.poll(fiber))._tag === "None") yield* TestClock.adjust("50 millis")
    return yield* Fiber.join(fiber)
  })

/** The verbs of the requests so far. */
const verbs = Effect.gen(function*() {
  const emulator = yield* Emulator.Emulator
  return (yield* emulator.requests).map(({ path }) => path.replace(/\?.*/, "").split("/").pop() ?? "")
})

describe("requests that a verb costs", () => {
  it.effect("run, however long: one to create, one to listen, one to read, one to clean up", () =>
    Effect.gen(function*() {
      const { text } = yield* passing(TaskService.run(request(5)))
      expect(text).toHaveLength(5 * 640)
      expect(yield* verbs).toEqual(["tmp", "stream", "get_result", "delete"])
    }).pipe(Effect.provide(live(5))))

  it.effect("run of a task that waits 14 seconds for its turn: one question for each 5 of them", () =>
    Effect.gen(function*() {
      const first = yield* passing(TaskService.create(request(14)))
      yield* passing(TaskService.run(request(1)))
      expect(yield* verbs).toEqual(["tmp", "tmp", "stream", "status", "status", "get_result", "delete"])
      yield* passing(first.wait())
    }).pipe(Effect.provide(Layer.provideMerge(
      RWKV.layer(),
      Emulator.layer({ reply: () => "x".repeat(14 * 640), maxBatchSize: 1 })
    ))))

  it.effect("a task that is waited for: one to create, one to listen, one to read", () =>
    Effect.gen(function*() {
      const task = yield* passing(TaskService.create(request(3)))
      yield* passing(task.wait())
      expect(yield* verbs).toEqual(["tmp", "stream", "get_result"])
    }).pipe(Effect.provide(live(3))))

  it.effect("run of a task of 3 seconds, by polling", () =>
    Effect.gen(function*() {
      const { text } = yield* passing(TaskService.run(request(3), { by: "polling" }))
      expect(text).toHaveLength(3 * 640)
      const all = yield* verbs
      expect(all.filter((verb) => verb !== "status")).toEqual(["tmp", "get_result", "delete"])
      expect(all.length).toBeLessThanOrEqual(requestsOfRun)
    }).pipe(Effect.provide(live(3))))

  it.effect("runAll: four for each run, however many are reported", () =>
    Effect.gen(function*() {
      const [runs, seconds] = [20, 2]
      const requests = Array.from({ length: runs }, () => request(seconds))
      const results = TaskService.runAll(requests, { onProgress: () => Effect.void })
      expect(yield* passing(Stream.runCount(Stream.filter(results, ({ result }) => result._tag === "Right")))).toBe(
        runs
      )
      const all = yield* verbs
      for (const verb of ["tmp", "stream", "get_result", "delete"]) {
        expect(all.filter((each) => each === verb)).toHaveLength(runs)
      }
      expect(all).toHaveLength(4 * runs)
    }).pipe(Effect.provide(live(2))))

  it.effect("a stream: one to create, one to listen, one to check, one to clean up", () =>
    Effect.gen(function*() {
      const text = yield* passing(Stream.mkString(StreamService.create(request(2))))
      expect(text).toHaveLength(2 * 640)
      expect(yield* verbs).toEqual(["tmp", "stream", "get_result", "delete"])
    }).pipe(Effect.provide(live(2))))

  it.effect("a stream read directly: none to listen", () =>
    Effect.gen(function*() {
      yield* passing(Stream.runDrain(StreamService.createEvents(request(2), { transport: "direct" })))
      expect(yield* verbs).toEqual(["tmp", "get_result"])
    }).pipe(Effect.provide(live(2))))

  it.effect("a subscription", () =>
    Effect.gen(function*() {
      const task = yield* passing(TaskService.create(request(2)))
      yield* passing(Stream.runDrain(StreamService.subscribe(task.id)))
      expect(yield* verbs).toEqual(["tmp", "stream", "get_result"])
    }).pipe(Effect.provide(live(2))))

  it.effect("a stream that is left early: one stop", () =>
    Effect.gen(function*() {
      yield* passing(Stream.runDrain(Stream.take(StreamService.createEvents(request(5)), 2)))
      expect(yield* verbs).toEqual(["tmp", "stream", "stop"])
    }).pipe(Effect.provide(live(5))))

  it.effect("a stream that is silent for 14 seconds: one question for each 5 of them, and a new connection where it pays", () =>
    Effect.gen(function*() {
      const events = StreamService.createEvents(request(2), { idleTimeout: "5 seconds" })
      yield* passing(Stream.runDrain(events))
      const all = yield* verbs
      expect(all.slice(0, 2)).toEqual(["tmp", "stream"])
      expect(all.length).toBeLessThanOrEqual(7)
    }).pipe(Effect.provide(Layer.provideMerge(
      RWKV.layer(),
      Emulator.layer({ reply: () => "x".repeat(64), pulse: "7 seconds", pollInterval: "1 second" })
    ))))
})

/** A server without fibers of its own: 3 reads of 64 frames each, and the whole text. */
const frames = 64
const reads = 3
const Wire = Layer.suspend(() => {
  const event = (payload: unknown) => `data: ${JSON.stringify(payload)}\n\n`
  const read = new TextEncoder().encode(event({ data: "word " }).repeat(frames))
  const { client } = platform(({ path }) => {
    if (!path.endsWith("/stream")) {
      return path.endsWith("/get_result")
        ? json({ ...created, result: "word ".repeat(frames * reads), finished: true, gen_time: 1 })
        : ok({ method: "GET", url: path, path, headers: {}, body: "" }, HttpClientRequest.get(path))
    }
    let left = reads
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(left > 0 ? read : new TextEncoder().encode("data: [DONE]\n\n"))
        if (left-- === 0) controller.close()
      }
    })
    return new Response(body, { headers: { "content-type": "text/event-stream" } })
  })
  return Layer.succeed(HttpClient.HttpClient, client)
})

class Starts extends Supervisor.AbstractSupervisor<number> {
  started = 0
  readonly value = Effect.sync(() => this.started)
  override onStart() {
    this.started++
  }
}

/** How many fibers an effect starts: what a verb costs beside its requests is mostly that. */
const fibersOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const starts = new Starts()
    return effect.pipe(Effect.provide(Supervisor.addSupervisor(starts)), Effect.zipRight(starts.value))
  })

class Counting extends Scheduler.MixedScheduler {
  operations = 0
  constructor() {
    super(2048)
  }
  override shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>) {
    this.operations++
    return super.shouldYield(fiber)
  }
}

/** How many steps all the fibers of an effect take together. */
const operationsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const counting = new Counting()
    return Effect.as(Effect.withScheduler(effect, counting), counting).pipe(Effect.map(({ operations }) => operations))
  })

const wired = Layer.provide(RWKV.layer(), Wire)

describe("what a stream costs beside its requests", () => {
  it.effect("a pull and a piece of text for each read, however many frames it brings", () =>
    Effect.gen(function*() {
      const chunks: Array<ReadonlyArray<string>> = []
      const texts = StreamService.subscribe("TMP_1")
      yield* Stream.runForEachChunk(texts, (chunk) => Effect.sync(() => chunks.push(Chunk.toReadonlyArray(chunk))))
      expect(chunks).toEqual(Array.from({ length: reads }, () => ["word ".repeat(frames)]))
    }).pipe(Effect.provide(wired)))

  const verbs: Readonly<
    Record<
      keyof typeof operations,
      Effect.Effect<unknown, unknown, TaskService.TaskService | StreamService.StreamService>
    >
  > = {
    subscribe: Stream.runDrain(StreamService.subscribe("TMP_1")),
    wait: TaskService.wait("TMP_1"),
    status: TaskService.status("TMP_1")
  }

  it.effect.each(["subscribe", "wait", "status"] as const)(
    "%s: fibers, none of them for each frame or read",
    (verb) =>
      Effect.gen(function*() {
        expect(yield* fibersOf(verbs[verb])).toBeLessThanOrEqual(fibers[verb])
      }).pipe(Effect.provide(wired))
  )

  it.effect.each(["subscribe", "wait", "status"] as const)(
    "%s: operations of fibers",
    (verb) =>
      Effect.gen(function*() {
        const counted = yield* operationsOf(verbs[verb])
        expect(counted).toBeGreaterThan(operations[verb] / 3)
        expect(counted).toBeLessThanOrEqual(operations[verb])
      }).pipe(Effect.provide(wired))
  )
})
