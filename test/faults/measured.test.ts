import { describe, expect, it } from "@effect/vitest"
import { HttpClient } from "@effect/platform"
import { Effect, Exit, Fiber, Layer, ManagedRuntime, Option, Redacted, Scope, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { brotliCompressSync, gzipSync } from "node:zlib"
import {
  against,
  byBoth,
  count,
  FaultKind,
  inject,
  long,
  onCreate,
  openStreams,
  request,
  running,
  says,
  tasks,
  textOf
} from "../support/program.js"
import * as Tcp from "../support/tcp.js"

setFlagsFromString("--expose-gc")
const gc: () => void = runInNewContext("gc")

/** CYCLES=10000 plays all of them. */
const numCycles = Number(process.env["CYCLES"] ?? 100)

const status = TaskService.status(Tcp.id)
const anyOf = (effect: Effect.Effect<unknown, unknown, RWKV.RWKV>): Effect.Effect<unknown, unknown, RWKV.RWKV> => effect

describe("seen in measurements", () => {
  Tcp.overBoth("F72 a non-2xx answer whose body nobody reads", (http) =>
    Effect.gen(function*() {
      const page = "x".repeat(64 * 1024)
      for (
        const [code, error] of [
          ["404 Not Found", { _tag: "RWKVStatusError", status: 404 }],
          ["500 Internal Server Error", { _tag: "RWKVServerError", status: 500 }],
          ["302 Found", { _tag: "RWKVStatusError", status: 302 }],
          ["401 Unauthorized", { _tag: "RWKVStatusError", status: 401 }]
        ] as const
      ) {
        const server = yield* Tcp.serve(() => [
          Tcp.write(Tcp.head(code, { "transfer-encoding": "chunked", location: "http://other.invalid/" })),
          Tcp.pour(Tcp.chunk(page), 500)
        ])
        for (const effect of [TaskService.create(request), textOf("direct")]) {
          const failure = yield* Effect.flip(anyOf(effect)).pipe(
            Tcp.client(server, http, { maxResponseSize: 200_000 })
          )
          expect(failure).toMatchObject(error)
          expect(yield* Tcp.eventually(() => server.busy() === 0, 100)).toBe(true)
        }
        expect(server.poured()).toBeLessThan(48_000_000)
      }
    }))

  Tcp.overBoth("F73 a body cut half-way", (http) =>
    Effect.gen(function*() {
      const half = Tcp.head("200 OK", { "content-type": "application/json", "transfer-encoding": "chunked" })
      for (const end of [Tcp.reset, Tcp.end, Tcp.write("zz\r\n")]) {
        const server = yield* Tcp.serve(() => [Tcp.write(half), Tcp.write(Tcp.chunk("{")), Tcp.wait(5), end])
        const error = yield* Effect.flip(TaskService.create(request)).pipe(Tcp.client(server, http))
        expect(error).toMatchObject({ _tag: "RWKVConnectionError", requestSent: true })
        expect(server.requests).toHaveLength(1)
      }
    }))

  for (const code of ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect"]) {
    Tcp.overBoth(`F74 POST answered ${code}`, (http) =>
      Effect.gen(function*() {
        const other = yield* Tcp.serve(() => Tcp.json(Tcp.resultOf("")))
        const own = !code.startsWith("307")
        const server = yield* Tcp.serve(() => Tcp.answer(code, "", { location: own ? "/x" : `${other.baseUrl}/x` }))
        const error = yield* Effect.flip(TaskService.create(request)).pipe(
          Tcp.client(server, http, { headers: { "x-api-key": "secret" } })
        )
        expect(error).toMatchObject({ _tag: "RWKVStatusError" })
        expect([server.requests.length, other.requests.length]).toEqual([1, 0])
      }))
  }

  it.effect("F75 a key with an inner newline", () =>
    Effect.gen(function*() {
      const layer = RWKV.layerFetch({ apiKey: Redacted.make("sk-1\nsk-2") })
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
      expect(Exit.isFailure(exit)).toBe(true)
      expect(JSON.stringify(exit) + String(exit)).not.toContain("sk-")
      expect(JSON.stringify(exit)).toContain("RWKVValidationError")
    }))

  /** What an HTTP layer that decodes makes of packed answers, and one that does not. */
  const expected = {
    decoding: [{ right: { status: "Finished" } }, { right: "text" }],
    plain: [
      { left: { _tag: "RWKVDecodeError", description: "not JSON; is baseUrl right? Its path is /" } },
      { left: { _tag: "RWKVDecodeError", description: "bytes that are not UTF-8" } }
    ]
  }
  for (const [encoding, pack] of [["gzip", gzipSync], ["br", brotliCompressSync]] as const) {
    Tcp.overBoth(`F76 ${encoding}`, (http, name) =>
      Effect.gen(function*() {
        const headers = { "content-type": "application/json", "content-encoding": encoding }
        const packed = pack(Tcp.data("text") + Tcp.done)
        const server = yield* Tcp.serve(Tcp.task("text", {
          status: () => Tcp.answer("200 OK", pack(JSON.stringify(Tcp.infoOf(3))), headers),
          stream: () => Tcp.answer("200 OK", packed, { ...headers, "content-type": "text/event-stream" })
        }))
        yield* Effect.gen(function*() {
          const answers = yield* Effect.all([Effect.either(status), Effect.either(textOf("subscribe"))])
          expect(answers).toMatchObject(expected[name === "fetch" ? "decoding" : "plain"])
          if (name === "fetch") return
          expect(server.requests.filter(({ headers }) => headers["accept-encoding"] !== undefined)).toEqual([])
        }).pipe(Tcp.client(server, http))
      }))
  }

  Tcp.overBoth("F77 garbage collection in mid-stream", (http) =>
    Effect.gen(function*() {
      const words = Array.from({ length: 20 }, (_, index) => `word ${index} `)
      const server = yield* Tcp.serve(Tcp.task(words.join(""), {
        stream: () => [
          Tcp.write(Tcp.streamHead),
          ...words.flatMap((word) => [Tcp.write(Tcp.chunk(Tcp.data(word))), Tcp.wait(15)]),
          Tcp.write(Tcp.chunk(Tcp.done)),
          Tcp.write(Tcp.lastChunk)
        ]
      }))
      yield* Effect.gen(function*() {
        const collect = yield* Effect.fork(Effect.repeatN(Effect.zipRight(Effect.sleep(60), Effect.sync(gc)), 5))
        const texts = yield* Effect.all(Array.from({ length: 30 }, () => textOf("subscribe")), { concurrency: 30 })
        yield* Fiber.interrupt(collect)
        expect(new Set(texts)).toEqual(new Set([words.join("")]))
        expect(server.requests.filter(({ path }) => path.endsWith("/stream"))).toHaveLength(30)
      }).pipe(Tcp.client(server, http, { requestTimeout: "15 seconds" }))
    }))

  /** A body in chunks of a size, and its text. */
  const bodies: Readonly<Record<string, (n: number) => readonly [body: string, size: number, text: string]>> = {
    "a frame of 10 MB in pieces of 1 KiB": (n) => {
      const text = "x".repeat(n * 2.5 * 1024 * 1024)
      return [Tcp.data(text) + Tcp.done, 1024, text]
    },
    "a frame of 256 KB byte by byte": (n) => {
      const text = "x".repeat(n * 64 * 1024)
      return [Tcp.data(text) + Tcp.done, 1, text]
    },
    "200,000 comments": (n) => [": ping\n\n".repeat(n * 50_000) + Tcp.data("x") + Tcp.done, 16384, "x"]
  }
  for (const [what, make] of Object.entries(bodies)) {
    it.effect(`F78 ${what}: linear time`, () =>
      Effect.gen(function*() {
        /** The processor's time, which does not count what else the machine does. */
        const cost = (n: number) =>
          Effect.gen(function*() {
            const [body, size, text] = make(n)
            const bytes = new TextEncoder().encode(body)
            const chunks = Array.from(
              { length: Math.ceil(bytes.length / size) },
              (_, index) => bytes.subarray(index * size, (index + 1) * size)
            )
            const headers = { "content-type": "text/event-stream" }
            yield* inject({
              on: { path: "/stream" },
              kind: FaultKind.Respond({ status: 200, headers, body: Stream.fromIterable(chunks) })
            })
            const { id } = yield* TaskService.create(request)
            const begun = process.cpuUsage()
            const head = yield* Stream.runHead(StreamService.subscribe(id))
            const { user } = process.cpuUsage(begun)
            expect(Option.contains(head, text)).toBe(true)
            return user / 1000
          })
        const least = (n: number) => Effect.map(Effect.all([cost(n), cost(n), cost(n)]), (all) => Math.min(...all))
        yield* cost(1)
        const [one, four] = [yield* least(1), yield* least(4)]
        // Four times the bytes cost about four times as much; 16 times, if each piece is looked at with all before it.
        expect(four / Math.max(one, 5)).toBeLessThan(10)
      }).pipe(against(says("x"), { maxFrameSize: 16 * 1024 * 1024 })), 120_000)
  }

  for (const frame of ["{\"error\": \"out of memory\"}", "{\"detail\": \"out of memory\"}"]) {
    byBoth(`F79 ${frame} as a frame`, (transport) =>
      Effect.gen(function*() {
        const kind = FaultKind.Respond({
          status: 200,
          headers: { "content-type": "text/event-stream" },
          body: `data: ${frame}\n\n`
        })
        yield* inject({ on: transport === "direct" ? onCreate : { path: "/stream" }, kind })
        const error = yield* Effect.flip(textOf(transport))
        expect(error).toMatchObject({ _tag: "RWKVServerError", description: "out of memory" })
      }).pipe(against(says(long))))
  }

  Tcp.overBoth("F80 trace propagation headers", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("text"))
      yield* Effect.withSpan(textOf("subscribe"), "outer").pipe(Tcp.client(server, http))
      expect(server.requests.length).toBeGreaterThan(2)
      for (const { headers } of server.requests) expect(Object.keys(headers)).not.toContain("b3")
      for (const { headers } of server.requests) expect(Object.keys(headers)).not.toContain("traceparent")
    }))

  Tcp.overBoth(
    "F81 create-and-poll cycles: the second half of them grows the heap no more than the first",
    (http) =>
      Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("text"))
        const heap = Effect.sync(() => {
          gc()
          return process.memoryUsage().heapUsed
        })
        const cycles = (n: number) =>
          Effect.forEach(Array.from({ length: n }), () => TaskService.run(request), { concurrency: 8, discard: true })
        yield* Effect.gen(function*() {
          yield* cycles(numCycles / 4)
          const begun = yield* heap
          yield* cycles(numCycles / 2)
          const middle = yield* heap
          yield* cycles(numCycles / 2)
          const ended = yield* heap
          // This server remembers its requests, a kilobyte each at most; a megabyte is what the heap varies by.
          const allowed = Math.max(0, middle - begun) + numCycles / 2 * 4 * 1024 + 1_000_000
          expect(ended - middle).toBeLessThan(allowed)
          expect(server.accepted()).toBeLessThan(40)
        }).pipe(Tcp.client(server, http, { requestTimeout: "1 minute" }))
      })
  )

  byBoth("F82 started while already interrupted", (transport) =>
    Effect.gen(function*() {
      for (
        const effect of [TaskService.create(request), TaskService.run(request), textOf(transport), TaskService.list]
      ) {
        const fiber = yield* Effect.fork(Effect.zipRight(Effect.interrupt, anyOf(effect)))
        yield* Fiber.await(fiber)
        yield* Effect.uninterruptible(Effect.gen(function*() {
          const inner = yield* Effect.fork(Effect.interruptible(Effect.zipRight(Effect.yieldNow(), anyOf(effect))))
          yield* Fiber.interrupt(inner)
        }))
      }
      expect([yield* count("POST tmp"), yield* count("GET list")]).toEqual([0, 0])
    }).pipe(against(says(long))))

  byBoth("F83 server killed with 50 open streams", (transport) =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const fibers = yield* Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.fork(Effect.exit(textOf(transport)))
      )
      yield* Effect.sleep("200 millis")
      yield* emulator.restart("kill")
      for (const fiber of fibers) {
        expect(yield* Effect.flip(yield* fiber)).toMatchObject({ _tag: "StreamTruncatedError" })
      }
      expect(yield* openStreams).toBe(0)
    }).pipe(against(says(long))))

  const open = () => [Tcp.write(Tcp.streamHead), Tcp.write(Tcp.chunk(Tcp.data("a"))), Tcp.hang]
  Tcp.overBoth("F84 ManagedRuntime closed with 10 open streams", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task("a", { stream: open }))
      const runtime = ManagedRuntime.make(RWKV.layer({ baseUrl: server.baseUrl }).pipe(Layer.provide(http)))
      const ends = Array.from({ length: 10 }, () => runtime.runPromise(Effect.either(textOf("subscribe"))))
      const creating = runtime.runPromise(Effect.either(StreamService.subscribe(Tcp.id).pipe(Stream.runDrain)))
      expect(yield* Tcp.eventually(() => server.busy() === 11)).toBe(true)
      const begun = performance.now()
      yield* Effect.promise(() => runtime.dispose())
      for (const end of yield* Effect.promise(() => Promise.all([...ends, creating]))) {
        expect(end).toMatchObject({ _tag: "Left", left: { _tag: "RWKVConnectionError" } })
      }
      expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
      expect(performance.now() - begun).toBeLessThan(1000)
      expect(server.requests.filter(({ path }) => path.endsWith("/stop"))).toHaveLength(10)
    }))

  byBoth("F84 scope closed with 10 open streams, in whatever they are doing", (transport) =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      for (const millis of [100, 500, 850, 1000, 1500, 3000, 40_000]) {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(
          RWKV.layer().pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, emulator.httpClient))),
          scope
        )
        for (let i = 0; i < 10; i++) {
          yield* inject({ on: { path: "/stream" }, kind: FaultKind.Cut({ afterBytes: i * 50, clean: i % 2 === 0 }) })
        }
        const one = textOf(transport).pipe(Effect.either, Effect.provide(context))
        const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.fork(one))
        yield* Effect.sleep(millis)
        yield* Scope.close(scope, Exit.void)
        const closed = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        for (const fiber of fibers) {
          expect(yield* fiber).toMatchObject({ _tag: "Left", left: { _tag: "RWKVConnectionError" } })
        }
        expect((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - closed).toBeLessThan(1000)
        expect(yield* openStreams).toBe(0)
        const after = yield* Effect.either(Effect.provide(textOf(transport), context))
        expect(after).toMatchObject({ left: { _tag: "RWKVConnectionError" } })
        yield* Effect.sleep("10 seconds")
        expect([yield* running, (yield* tasks).length]).toEqual([0, 0])
        yield* emulator.clearFaults
      }
    }).pipe(
      against({ reply: () => ({ tokens: ["a"], end: "loop" }), prefillPerToken: "10 millis", pulse: "1 second" })
    ))

  for (
    const [kind, error] of [
      [FaultKind.Status({ status: 500 }), { _tag: "RWKVServerError", status: 500 }],
      [FaultKind.Status({ status: 503 }), { _tag: "RWKVServerError", status: 503 }],
      [FaultKind.Reset({ executed: true }), { _tag: "RWKVConnectionError", requestSent: true }],
      [FaultKind.Delay({ duration: "5 minutes", executed: true }), { _tag: "RWKVTimeoutError", kind: "request" }]
    ] as const
  ) {
    byBoth(`F85 create answered once by ${kind._tag} (${error._tag})`, (transport) =>
      Effect.gen(function*() {
        for (const effect of [textOf(transport), TaskService.create(request), TaskService.run(request)]) {
          const before = yield* count("POST tmp")
          yield* inject({ on: onCreate, kind })
          expect(yield* Effect.flip(anyOf(effect))).toMatchObject(error)
          yield* Effect.sleep("10 minutes")
          expect((yield* count("POST tmp")) - before).toBe(1)
        }
      }).pipe(against(says(long))))
  }
})
