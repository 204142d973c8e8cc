import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Option, Random, Schedule, Stream } from "effect"
import { RWKVError, StreamService, TaskService } from "effect-rwkv"
import {
  against,
  byBoth,
  count,
  FaultKind,
  inject,
  long,
  onCreate,
  onStream,
  onText,
  openStreams,
  request,
  running,
  says,
  textOf
} from "../support/program.js"
import * as Tcp from "../support/tcp.js"
import { Emulator } from "effect-rwkv/testing"

const encoder = new TextEncoder()

const standsStill = FaultKind.Respond({
  status: 200,
  headers: { "content-type": "application/json" },
  body: "{\"task_id\":\"TMP_1\",\"generated_buf\":0,\"status\":2}"
})

describe("streams: time and cuts", () => {
  byBoth("F36 clean end without [DONE]: completes from the server", (transport) =>
    Effect.gen(function*() {
      yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: 400, clean: true }) })
      expect(yield* textOf(transport)).toBe(long)
    }).pipe(against(says(long))))

  byBoth("F36 clean end without [DONE]: fails if the server cannot complete it", (transport) =>
    Effect.gen(function*() {
      yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: 400, clean: true }) })
      yield* inject({ on: onStream, times: Infinity, kind: FaultKind.Cut({ afterBytes: 10, clean: true }) })
      yield* inject({ on: { path: /status|get_result/ }, times: Infinity, kind: FaultKind.Status({ status: 502 }) })
      const error = yield* Effect.flip(textOf(transport))
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", text: expect.stringMatching(/^abc/) })
      expect(long.startsWith(error._tag === "StreamTruncatedError" ? error.text : "?")).toBe(true)
    }).pipe(against(says(long))))

  it.effect("F36 a direct stream that ends before its head names no task", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Cut({ afterBytes: 0, clean: true }) })
      expect(yield* Effect.flip(textOf("direct"))).toMatchObject({ _tag: "StreamTruncatedError", text: "" })
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(against(says(long))))

  const head = "data: {\"task_id\": \"TMP_".length + 32 + "\", \"prefill_time\": 0.0}\n\n".length
  const borders = { "after the head": head, "mid frame": head + 20, "between frames": head + 146 }
  for (const [where, at] of Object.entries(borders)) {
    byBoth(`F37 reset ${where}`, (transport) =>
      Effect.gen(function*() {
        yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: at, clean: false }) })
        expect(yield* textOf(transport)).toBe(long)
      }).pipe(against(says(long))))
  }

  Tcp.overBoth("F37 reset at every border of frames", (http) =>
    Effect.gen(function*() {
      const bytes = Tcp.data("Hello ") + Tcp.data("world") + Tcp.done
      for (const at of [0, 3, 25, Tcp.data("Hello ").length, 40, bytes.length - Tcp.done.length, bytes.length - 3]) {
        const server = yield* Tcp.serve(Tcp.task("Hello world!", {
          stream: (_, index) =>
            index > 0
              ? Tcp.stream("Hello world!")
              : [
                Tcp.write(Tcp.streamHead),
                ...(at === 0 ? [] : [Tcp.write(Tcp.chunk(bytes.slice(0, at)))]),
                Tcp.wait(20),
                Tcp.reset
              ]
        }))
        const text = yield* Stream.mkString(StreamService.create(request)).pipe(Tcp.client(server, http))
        expect(text).toBe("Hello world!")
        expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
      }
    }))

  Tcp.overBoth("F38 ten resets in a row with progress between", (http) =>
    Effect.gen(function*() {
      const server = yield* Tcp.serve(Tcp.task(long, {
        stream: (_, index) =>
          index >= 10
            ? Tcp.stream(long)
            : [
              Tcp.write(Tcp.streamHead),
              Tcp.write(Tcp.chunk(Tcp.data(long.slice(0, 32 * (index + 1))))),
              Tcp.wait(10),
              Tcp.reset
            ]
      }))
      const retry = Schedule.recurs(1)
      const text = yield* Stream.mkString(StreamService.create(request, { retry })).pipe(Tcp.client(server, http))
      expect(text).toBe(long)
    }))

  it.effect("F38 ten resets in a row without progress", () =>
    Effect.gen(function*() {
      yield* inject({ on: onStream, times: 1, kind: FaultKind.Cut({ afterBytes: 250, clean: false }) })
      yield* inject({ on: onStream, times: 10, kind: FaultKind.Cut({ afterBytes: 150, clean: false }) })
      yield* inject({ on: { path: "/status" }, times: Infinity, kind: standsStill })
      const error = yield* Effect.flip(textOf("subscribe"))
      expect(error).toMatchObject({ _tag: "StreamTruncatedError", cause: { _tag: "RWKVConnectionError" } })
      expect(yield* count("GET stream")).toBe(6)
      expect(yield* count("POST stop")).toBe(1)
    }).pipe(against(says(long))))

  byBoth("F39 head, then silence though the task is finished", (transport) =>
    Effect.gen(function*() {
      yield* inject({ on: onText(transport), kind: FaultKind.Stall({ afterBytes: head }) })
      const fiber = yield* Effect.fork(textOf(transport, { idleTimeout: "5 seconds" }))
      yield* Effect.sleep("500 millis")
      yield* Effect.sleep("4 seconds")
      expect((yield* Fiber.poll(fiber))._tag).toBe("None")
      yield* Effect.sleep("2 seconds")
      const ended = yield* Fiber.poll(fiber)
      expect(ended).toEqual(expect.objectContaining({ _tag: "Some", value: Exit.succeed(long) }))
    }).pipe(against(says(long))))

  byBoth(
    "F40 head, then silence while the task is queued for minutes, then text",
    (transport) =>
      Effect.gen(function*() {
        const first = yield* TaskService.create({ prompt: "first", maxTokens: 640 })
        const fiber = yield* Effect.fork(textOf(transport))
        yield* Effect.sleep("4 minutes")
        expect((yield* first.status).status).toBe("Finished")
        expect(yield* Fiber.join(fiber)).toBe(long)
      }).pipe(against({
        maxBatchSize: 1,
        reply: ({ text }) => text === "first" ? { tokens: ["x"], end: "loop" } : long,
        pulse: "2 seconds",
        pollInterval: "1 second"
      }))
  )

  const stuck: Emulator.Options = { reply: () => long, pulse: "10 hours" }
  byBoth("F41 silence, tokens unchanged past stallTimeout", (transport) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(textOf(transport)))
      yield* Effect.sleep("590 seconds")
      expect((yield* Fiber.poll(fiber))._tag).toBe("None")
      yield* Effect.sleep("50 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
      expect([yield* openStreams, yield* count("POST stop"), yield* count("POST delete")]).toEqual([0, 2, 0])
    }).pipe(against(stuck)))

  it.effect("F41 the same when every question about the status hangs", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/status" }, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      const error = yield* Effect.flip(textOf("subscribe", { stopTimeout: "1 second" }))
      expect(RWKVError.isRWKVError(error)).toBe(true)
    }).pipe(against(stuck)))

  it.effect("F42 comments every second, but no text", () =>
    Effect.gen(function*() {
      const comments = Stream.make(encoder.encode(": ping\n\n")).pipe(
        Stream.forever,
        Stream.tap(() => Effect.sleep("1 second"))
      )
      const headers = { "content-type": "text/event-stream" }
      yield* inject({ on: onStream, kind: FaultKind.Respond({ status: 200, headers, body: comments }) })
      const error = yield* Effect.flip(textOf("subscribe"))
      expect(error).toMatchObject({ _tag: "RWKVTimeoutError", kind: "stalled" })
    }).pipe(against(stuck)))

  byBoth("F43 [DONE] before the last tokens were stored", (transport) =>
    Effect.gen(function*() {
      expect(yield* textOf(transport)).toBe(long)
    }).pipe(against({ reply: () => long, lateTokens: "150 millis" })))

  byBoth("F44 the task vanishes mid-stream", (transport) =>
    Effect.gen(function*() {
      yield* inject({ on: onText(transport), kind: FaultKind.Cut({ afterBytes: 400, clean: false }) })
      yield* inject({
        on: onStream,
        times: Infinity,
        kind: FaultKind.Status({ status: 404, body: "{\"detail\":\"Task not found\"}" })
      })
      const seen: Array<string> = []
      const stream = StreamService.create(request, { transport }).pipe(
        Stream.runForEach((text) => Effect.sync(() => seen.push(text)))
      )
      const error = yield* Effect.flip(stream)
      expect(error).toMatchObject({
        _tag: "StreamTruncatedError",
        text: seen.join(""),
        cause: { _tag: "TaskNotFoundError" }
      })
      expect(seen.join("").length).toBeGreaterThan(0)
    }).pipe(against(says(long))))

  for (const persistence of ["persistent", "temporary"] as const) {
    it.effect(`F45 server restarted mid-stream: ${persistence}`, () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const fiber = yield* Effect.fork(Stream.runCollect(StreamService.createEvents({ ...request, persistence })))
        yield* Effect.sleep("200 millis")
        yield* emulator.restart("graceful")
        const exit = yield* Fiber.await(fiber)
        if (persistence === "temporary") {
          const error = yield* Effect.flip(exit)
          expect(error).toMatchObject({ _tag: "StreamTruncatedError", cause: { _tag: "TaskNotFoundError" } })
        } else {
          const events = Chunk.toReadonlyArray(yield* exit)
          const text = events.map((event) => event._tag === "Text" ? event.text : "").join("")
          expect(text.length).toBeGreaterThan(0)
          expect(events.at(-1)).toMatchObject({ _tag: "Finished", result: { text, finished: true } })
        }
      }).pipe(against(says(long))))
  }

  Tcp.overBoth("F46 slow consumer, fast server: the socket is slowed", (http) =>
    Effect.gen(function*() {
      const frame = Tcp.chunk(Tcp.data("x".repeat(64_000)))
      const server = yield* Tcp.serve(Tcp.task("", {
        stream: () => [Tcp.write(Tcp.streamHead), Tcp.pour(frame, 1000)]
      }))
      const taken = yield* StreamService.create(request).pipe(
        Stream.tap(() => Effect.sleep("20 millis")),
        Stream.take(20),
        Stream.runCount,
        Tcp.client(server, http)
      )
      expect(taken).toBe(20)
      // What the consumer took, what the sockets of two sides hold, and the few chunks between.
      expect(server.poured()).toBeLessThan(24_000_000)
      expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
    }))

  it.effect("F47 1,000 streams at once, 5 % faults", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      const random = Random.make("F47")
      for (let i = 0; i < 100; i++) {
        const at = yield* random.nextIntBetween(0, 900)
        const kinds = [
          FaultKind.Cut({ afterBytes: at, clean: false }),
          FaultKind.Cut({ afterBytes: at, clean: true }),
          FaultKind.Stall({ afterBytes: at }),
          FaultKind.Reset({ executed: true }),
          FaultKind.Status({ status: 503 })
        ]
        const kind = kinds[i % kinds.length]
        let left = yield* random.nextIntBetween(0, 1000)
        const path = i % 10 === 0 ? "/v1/tasks/tmp" : i % 2 === 0 ? "/stream" : /get_result|status|stream/
        if (kind !== undefined) yield* emulator.inject({ on: { path, when: () => left-- <= 0 }, kind })
      }
      const one = (index: number) =>
        Effect.exit(Stream.mkString(StreamService.create({ prompt: `${index}`, maxTokens: 2000 })))
      const exits = yield* Effect.forEach(Array.from({ length: 1000 }, (_, index) => index), one, {
        concurrency: "unbounded"
      })
      exits.forEach((exit, index) => {
        if (Exit.isSuccess(exit)) expect(exit.value).toBe(`${index}:${long}`)
        else {expect(
            RWKVError.isRWKVError(Option.getOrNull(Exit.causeOption(exit).pipe(Option.flatMap(Cause.failureOption))))
          ).toBe(true)}
      })
      expect(exits.filter(Exit.isSuccess).length).toBeGreaterThan(950)
      // A create whose answer was lost leaves a task that nobody knows of; it ends by itself.
      yield* Effect.sleep("1 minute")
      expect([yield* openStreams, yield* running]).toEqual([0, 0])
    }).pipe(against({
      reply: ({ text }) => `${text}:${long}`,
      cacheCapacity: 4096,
      maxBatchSize: 1024,
      pulse: "1 second",
      pollInterval: "3 seconds"
    })), 60_000)
})
