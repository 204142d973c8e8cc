/** F100 to F102: what the owner of tasks does behind those who have left. */
import { FetchHttpClient, HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { RWKV, RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Probe from "../support/probe.js"
import { promising, wirings } from "../support/wirings.js"
import {
  against,
  byBoth,
  count,
  endless,
  FaultKind,
  inject,
  long,
  openStreams,
  running,
  says,
  tasks,
  timed,
  transports
} from "../support/program.js"

const over = ({ httpClient }: Emulator.Service, config: RWKVConfig.Options) =>
  Layer.provide(RWKV.layer(config), Layer.succeed(HttpClient.HttpClient, httpClient))

const request = { prompt: "endless", maxTokens: 4000 }
const brief = { prompt: "endless", maxTokens: 5 }

/** Everything whose end the caller may not wait for. */
const ways: Readonly<Record<string, Effect.Effect<unknown, unknown, RWKV.RWKV>>> = {
  "a stream": Stream.runDrain(StreamService.create(request)),
  "a direct stream": Stream.runDrain(StreamService.create(request, { transport: "direct" })),
  "events that are not kept": Stream.runDrain(StreamService.createEvents(request, { cleanup: "delete" })),
  run: TaskService.run(request),
  "run by polling": TaskService.run(request, { by: "polling" }),
  runAll: Stream.runDrain(TaskService.runAll([request]))
}

/** All that is asked of the idle server begins in one pulse; when the brief ones have ended, the others have moved. */
const moving: Emulator.Options = { ...endless, idleDelay: 500 }

/** Leaves some of them among as many brief ones, in the pulse after those have ended. */
const leftAmongOthers = (
  way: Effect.Effect<unknown, unknown, RWKV.RWKV>,
  count = 24,
  pause: Effect.Effect<void> = Effect.yieldNow()
) =>
  Effect.gen(function*() {
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    for (let i = 0; i < count; i++) {
      yield* TaskService.createPersistent(brief)
      fibers.push(yield* Effect.fork(way))
      yield* Effect.repeat(pause, { until: () => Effect.map(tasks, (all) => all.length === 2 * i + 2) })
    }
    yield* Effect.sleep(500 + 75)
    return yield* timed(Fiber.interruptAll(fibers))
  })

const temporary = Effect.map(tasks, (all) => all.filter(({ taskId }) => taskId.startsWith("TMP_")))

describe("F100 a stop that misses", () => {
  for (const [name, way] of Object.entries(ways)) {
    it.effect(`F100 on leaving ${name}: two stops at most, a warning, and a deletion when it has ended`, () => {
      const probe = Probe.make()
      return Effect.gen(function*() {
        expect((yield* leftAmongOthers(way)).millis).toBeLessThanOrEqual(2000)
        yield* Effect.sleep("4 seconds")
        const left = yield* Probe.runningIds
        expect(left.length).toBeGreaterThan(0)
        expect(probe.warnedOf()).toEqual(left)
        for (const line of probe.warnings) expect(line).toMatch(/runs on after two stops, with \d+ tokens to go/)
        expect((yield* temporary).map(({ taskId }) => taskId).sort()).toEqual(left)
        const stops = yield* Probe.timesAsked("stop")
        for (const [id, times] of stops) expect([id, times]).toEqual([id, left.includes(id) ? 2 : times < 2 ? 1 : 2])
        yield* Effect.sleep("1 minute")
        expect([yield* running, yield* temporary]).toEqual([0, []])
        expect(yield* Probe.timesAsked("stop")).toEqual(stops)
        expect(probe.deletedRunning).toEqual([])
        expect(probe.warnings).toHaveLength(left.length)
      }).pipe(probe.watching, against(moving, probe.config))
    })
  }

  it.effect("F100 a stop that was erased is repeated, and nobody has to be warned", () => {
    const probe = Probe.make()
    let stops = 0
    return Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(StreamService.create(request), 1))
      yield* Effect.sleep("5 seconds")
      expect([yield* count("POST stop"), yield* running, yield* tasks]).toEqual([2, 0, []])
      expect([probe.warnings, probe.deletedRunning]).toEqual([[], []])
    }).pipe(probe.watching, against({ ...endless, stopMisses: () => ++stops === 1 }, probe.config))
  })

  const deaf: Emulator.Options = { ...endless, stopMisses: () => true }

  it.effect("F100 without maxTokens the warning says how many tokens there are", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(StreamService.create({ prompt: "a" }), 1))
      yield* Effect.sleep("5 seconds")
      expect(probe.warnings).toEqual([
        expect.stringMatching(/^StreamService.create: task TMP_\w+ .* \d+ tokens so far$/)
      ])
    }).pipe(probe.watching, against(deaf, probe.config))
  })

  it.effect("F100 a task that is kept is told of as well, and left alone", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      const events = StreamService.createEvents(request, { cleanup: "keep" })
      const [started] = Array.from(yield* Stream.runCollect(Stream.take(events, 2)))
      yield* Effect.sleep("5 seconds")
      expect(probe.warnings).toHaveLength(1)
      // What runs on can be waited for and stopped.
      const task = yield* TaskService.task(started?._tag === "Started" ? started.taskId : "")
      expect(yield* Effect.flip(task.stop({ within: "1 second" }))).toMatchObject({ kind: "stop" })
      expect((yield* task.wait()).text).toHaveLength(4000)
      yield* Effect.sleep("1 minute")
      expect([yield* count("POST delete"), (yield* tasks).length]).toEqual([0, 1])
    }).pipe(probe.watching, against(deaf, probe.config))
  })

  it.effect("F100 wait and stop of a task that runs on go on working until it is deleted", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(StreamService.create(request), 1))
      yield* Effect.sleep("4 seconds")
      const [id = ""] = probe.warnedOf()
      expect((yield* TaskService.wait(id)).text).toHaveLength(4000)
      yield* Effect.sleep("1 minute")
      expect(yield* tasks).toEqual([])
      expect(probe.deletedRunning).toEqual([])
    }).pipe(probe.watching, against(deaf, probe.config))
  })

  byBoth("F100 an answer to a create that comes too late", (transport) => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Stream.runDrain(StreamService.create(request, { transport })))
      yield* Effect.sleep("300 millis")
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep("5 seconds")
      expect(probe.warnedOf()).toEqual(yield* Probe.runningIds)
      expect(yield* count("POST stop")).toBe(2)
      yield* Effect.sleep("1 minute")
      expect([yield* tasks, probe.deletedRunning]).toEqual([[], []])
    }).pipe(probe.watching, against({ ...deaf, prefillPerToken: "100 millis" }, probe.config))
  })

  for (
    const [what, fault] of Object.entries({
      hangs: FaultKind.Hang({ executed: false }),
      "loses its answer": FaultKind.Reset({ executed: false }),
      fails: FaultKind.Status({ status: 500 })
    })
  ) {
    it.effect(`F100 a stop that ${what}: looked at, stopped once more, and warned of`, () => {
      const probe = Probe.make()
      return Effect.gen(function*() {
        yield* inject({ on: { path: "/stop" }, times: Infinity, kind: fault })
        const left = yield* timed(Stream.runDrain(Stream.take(StreamService.create(request), 1)))
        expect(left.millis).toBeLessThanOrEqual(1100 + 2000)
        yield* Effect.sleep("5 minutes")
        expect([yield* count("POST stop"), yield* tasks, probe.deletedRunning]).toEqual([2, [], []])
      }).pipe(probe.watching, against({ ...endless, pulse: "1 second" }, probe.config))
    })
  }

  it.effect("F100 a task that is not found any more is told of: it may run on (H35)", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Stream.runDrain(StreamService.create(request)))
      yield* Effect.sleep("200 millis")
      for (let i = 0; i < 4; i++) yield* TaskService.create(brief)
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep("1 second")
      expect(probe.warnings).toEqual([expect.stringMatching(/may not have ended: /)])
      expect(probe.warnings[0]?.match(/StreamService/g)).toHaveLength(1)
      expect(probe.warnedOf()).toEqual(yield* Probe.runningIds)
    }).pipe(probe.watching, against({ ...endless, cacheCapacity: 4 }, probe.config))
  })

  it.effect("F100 a body that does not let go and a stop that hangs hold up the leaver for stopTimeout together", () =>
    Effect.gen(function*() {
      yield* inject({ on: { path: "/stop" }, kind: FaultKind.Hang({ executed: false }) })
      const stream = StreamService.create(request, { stopTimeout: "700 millis" })
      const fiber = yield* Effect.fork(Stream.runDrain(stream))
      yield* Effect.sleep("1 second")
      expect((yield* timed(Fiber.interrupt(fiber))).millis).toBe(700)
    }).pipe(against(endless)))
})

const ended: Readonly<Record<string, Effect.Effect<unknown, unknown, RWKV.RWKV>>> = {
  streams: Stream.runDrain(StreamService.create(request)),
  "direct streams": Stream.runDrain(StreamService.create(request, { transport: "direct" })),
  runs: TaskService.run(request)
}

describe("F101 deletions are slow", () => {
  for (const [name, way] of Object.entries(ended)) {
    const waits = name === "runs" ? "wait for stopTimeout at most, to know their tokens" : "do not wait for them"
    it.effect(`F101 200 ${name} that end at the same moment ${waits}, and the service does`, () => {
      const probe = Probe.make()
      return Effect.gen(function*() {
        yield* inject({ on: { path: "/delete" }, times: Infinity, kind: FaultKind.Delay({ duration: "3 seconds" }) })
        const emulator = yield* Emulator.Emulator
        const scope = yield* Scope.make()
        const services = yield* Layer.buildWithScope(over(emulator, probe.config), scope)
        const { millis } = yield* timed(
          Effect.all(Array.from({ length: 200 }, () => way), { concurrency: "unbounded" }).pipe(
            Effect.provide(services)
          )
        )
        // What tells its tokens waits for the answer that has them, for as long as a stop may take.
        expect(millis).toBeLessThan(name === "runs" ? 3000 : 1000)
        expect(yield* tasks).toHaveLength(200)
        yield* Scope.close(scope, Exit.void)
        expect([yield* tasks, probe.warnings, probe.deletedRunning]).toEqual([[], [], []])
        expect(yield* count("POST delete")).toBe(200)
      }).pipe(probe.watching, against(says(long)))
    })
  }

  it.effect("F101 a deletion that fails is repeated", () =>
    Effect.gen(function*() {
      for (const kind of [FaultKind.Status({ status: 503 }), FaultKind.Reset({ executed: true })]) {
        yield* inject({ on: { path: "/delete" }, times: 3, kind })
        yield* Stream.runDrain(StreamService.create(request))
        yield* TaskService.run(request)
        yield* Effect.sleep("1 minute")
        expect(yield* tasks).toEqual([])
      }
    }).pipe(against(says(long))))

  it.effect("F101 one that goes on failing is told of", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      yield* inject({ on: { path: "/delete" }, times: Infinity, kind: FaultKind.Status({ status: 503 }) })
      yield* TaskService.run(request)
      yield* Effect.sleep("10 minutes")
      expect(probe.warnings).toEqual([expect.stringContaining("has ended and is not deleted")])
      expect(probe.warnedOf()).toEqual((yield* tasks).map(({ taskId }) => taskId))
    }).pipe(probe.watching, against(says(long)))
  })
})

describe("F102 a service that is closed with open streams", () => {
  byBoth(
    "F102 1,000 of them (250 direct), not all running: sockets closed at once, nothing left and nothing deleted in its run",
    (
      transport
    ) => {
      const probe = Probe.make()
      const open = transport === "direct" ? 250 : 1000
      return Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const scope = yield* Scope.make()
        // The limit of the end is real time, which a busy machine has less of.
        const layer = over(emulator, { ...probe.config, closeTimeout: "1 minute" })
        const services = yield* Layer.buildWithScope(layer, scope)
        const stream = Stream.runDrain(StreamService.create({ prompt: "endless" }, { transport }))
        const fibers = yield* Effect.forEach(
          Array.from({ length: open }),
          () => Effect.fork(Effect.exit(Effect.provide(stream, services)))
        )
        yield* Effect.sleep("1 second")
        expect([yield* openStreams, yield* running]).toEqual([open, open])
        const closing = yield* Effect.fork(timed(Scope.close(scope, Exit.void)))
        yield* Effect.sleep("1 second")
        expect(yield* openStreams).toBe(0)
        expect((yield* Fiber.join(closing)).millis).toBeLessThan(5000)
        yield* Fiber.awaitAll(fibers)
        expect(probe.deletedRunning).toEqual([])
        expect(yield* Probe.runningIds).toEqual(probe.warnedOf())
        expect((yield* tasks).map(({ taskId }) => taskId).sort()).toEqual(probe.warnedOf())
        // One that waits for its turn ends with the stop, whose answer says so.
        expect([yield* count("POST stop"), yield* count("POST delete")]).toEqual([open, open])
        expect((yield* Probe.timesAsked("status")).size).toBeLessThanOrEqual(256)
      }).pipe(probe.watching, against({ ...endless, cacheCapacity: 2048, maxBatchSize: open / 4 }))
    }
  )

  it.live("F102 what there is no time for is logged, and the end comes when it was said", () => {
    const probe = Probe.make()
    return Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      yield* inject({ on: { path: /stop|delete/ }, times: Infinity, kind: FaultKind.Hang({ executed: false }) })
      const scope = yield* Scope.make()
      const layer = over(emulator, { ...probe.config, closeTimeout: "300 millis" })
      const services = yield* Layer.buildWithScope(layer, scope)
      const stream = Stream.runDrain(StreamService.create({ prompt: "endless" }))
      for (let i = 0; i < 100; i++) yield* Effect.fork(Effect.exit(Effect.provide(stream, services)))
      yield* Effect.repeat(Effect.sleep("10 millis"), { until: () => Effect.map(openStreams, (open) => open === 100) })
      const [time] = yield* Effect.timed(Scope.close(scope, Exit.void))
      expect(Duration.toMillis(time)).toBeGreaterThanOrEqual(299)
      expect(probe.warnedOf()).toEqual(yield* Probe.runningIds)
      expect(probe.warnings).toHaveLength(100)
    }).pipe(probe.watching, Effect.provide(Emulator.layer(endless)))
  })
})

const untilOpen = (count: number) =>
  Effect.repeat(Effect.sleep("20 millis"), { until: () => Effect.map(openStreams, (open) => open === count) })

const platforms: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> = {
  "fetch over a socket": FetchHttpClient.layer,
  "undici over a socket": NodeHttpClient.layerUndici
}

describe.each(wirings.filter(([name]) => name !== "in process"))(
  "over an HTTP layer: %s",
  (name, wiring) => {
    const promise = promising(wiring)

    for (const transport of transports) {
      const probe = Probe.make()
      promise(
        `F100 leaving streams among others that have ended: nothing untold (${transport}, ${name})`,
        Effect.gen(function*() {
          yield* leftAmongOthers(
            Stream.runDrain(StreamService.create({ ...request, maxTokens: 2400 }, { transport })),
            12
          )
          yield* Effect.repeat(Effect.sleep("100 millis"), {
            until: () => Effect.map(Probe.runningIds, (ids) => ids.every((id) => probe.warnedOf().includes(id)))
          })
          yield* Effect.repeat(Effect.sleep("100 millis"), {
            until: () => Effect.map(temporary, (all) => all.length === 0)
          })
          expect(probe.deletedRunning).toEqual([])
          for (const times of (yield* Probe.timesAsked("stop")).values()) expect(times).toBeLessThanOrEqual(2)
        }).pipe(probe.watching),
        { idleDelay: 500, pulse: 50 },
        probe.config
      )
    }

    promise(
      `F101 200 streams that end at the same moment, and slow deletions (${name})`,
      Effect.gen(function*() {
        yield* inject({ on: { path: "/delete" }, times: Infinity, kind: FaultKind.Delay({ duration: "200 millis" }) })
        const streams = Array.from({ length: 200 }, () => Stream.mkString(StreamService.create({ prompt: "Hello" })))
        const texts = yield* Effect.all(streams, { concurrency: "unbounded" })
        expect(texts.every((text) => text === "Hello!")).toBe(true)
        expect((yield* tasks).length).toBeGreaterThan(0)
        yield* Effect.repeat(Effect.sleep("50 millis"), { until: () => Effect.map(tasks, (all) => all.length === 0) })
      })
    )

    const probe = Probe.make()
    promise(
      `F102 closed with 100 streams open, half of them running (${name})`,
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const { baseUrl } = yield* RWKVConfig.RWKVConfig
        const http = platforms[name] ?? Layer.succeed(HttpClient.HttpClient, emulator.httpClient)
        const client = RWKV.layer({ ...probe.config, baseUrl, closeTimeout: "10 seconds" })
        const scope = yield* Scope.make()
        const services = yield* Layer.buildWithScope(Layer.provide(client, http), scope)
        const stream = Stream.runDrain(StreamService.create({ prompt: "endless" }))
        const fibers = yield* Effect.replicateEffect(Effect.fork(Effect.exit(Effect.provide(stream, services))), 100)
        yield* untilOpen(100)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        const [time] = yield* Effect.timed(untilOpen(0))
        // In real time it is the machine's affair; the tests above hold the second.
        expect(Duration.toMillis(time)).toBeLessThan(5000)
        yield* Fiber.join(closing)
        yield* Fiber.awaitAll(fibers)
        const left = (yield* temporary).map(({ taskId }) => taskId)
        expect([...left, ...yield* Probe.runningIds].filter((id) => !probe.warnedOf().includes(id))).toEqual([])
        expect(probe.deletedRunning).toEqual([])
      }).pipe(probe.watching),
      { maxBatchSize: 50, pulse: 200, pollInterval: 100 }
    )
  }
)
