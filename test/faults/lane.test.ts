/** Direct streams at once while the server reads prompts, which costs them their beginnings (H1). */
import { describe, expect, it } from "@effect/vitest"
import { HttpClient } from "@effect/platform"
import { Effect, Either, Fiber, Layer, Stream } from "effect"
import { RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { against, count, type Env, FaultKind, inject, onCreate, timed } from "../support/program.js"

const maxTokens = 200

/** A text of its own for each prompt, longer than a run. */
const told = (prompt: string) => Array.from({ length: 60 }, (_, index) => `${prompt}${index} `).join("")
const whole = (prompt: string) => told(prompt).slice(0, maxTokens)

const server = (prefill: number): Emulator.Options => ({
  reply: ({ text }) => told(text),
  prefillPerToken: prefill / 2,
  pulse: 60,
  idleDelay: 500,
  cacheCapacity: 4096
})

const prompts = (length: number) => Array.from({ length }, (_, index) => `${index % 10}${"abcdefghij"[index / 10 | 0]}`)

const all = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E, Env>>) =>
  Effect.all(effects, { concurrency: "unbounded" })

/** A client of its own for the same server. */
const another = Effect.map(
  Emulator.Emulator,
  ({ httpClient }) => Layer.provide(RWKV.layer(), Layer.succeed(HttpClient.HttpClient, httpClient))
)

const source = Effect.tap(TaskService.createPersistent({ prompt: "so", maxTokens: 1 }), (task) => task.wait())

const fork = (id: string, prompt: string) => Stream.mkString(StreamService.fork(id, { prompt, maxTokens }))
const direct = (prompt: string) => Stream.mkString(StreamService.create({ prompt, maxTokens }, { transport: "direct" }))

describe("this client alone on the server", () => {
  for (const forks of [2, 12, 32]) {
    for (const prefill of [0, 20, 150, 300]) {
      it.effect(`F98 ${forks} forks of one source at once are whole, ${prefill} ms of prefill each`, () =>
        Effect.gen(function*() {
          const { id } = yield* source
          const texts = yield* all(prompts(forks).map((prompt) => fork(id, prompt)))
          expect(texts).toEqual(prompts(forks).map(whole))
        }).pipe(against(server(prefill))))
    }
  }

  it.effect("F98 direct creates among forks, continues and creates without a stream are whole", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      const other = yield* source
      const kinds: ReadonlyArray<(prompt: string) => Effect.Effect<string, RWKVError.RWKVError, Env>> = [
        direct,
        (prompt: string) => fork(id, prompt),
        (prompt: string) => Stream.mkString(StreamService.create({ prompt, maxTokens })),
        (prompt: string) => Effect.map(TaskService.run({ prompt, maxTokens }), ({ text }) => text),
        (prompt: string) =>
          Effect.flatMap(
            TaskService.fork(id, { prompt, maxTokens }),
            (task) => Effect.map(task.wait(), ({ text }) => text)
          )
      ]
      const runs = prompts(40).map((prompt, index) => (kinds[index % kinds.length] ?? direct)(prompt))
      const more = Stream.mkString(
        StreamService.continue(other.id, { prompt: "zz", maxTokens }, { transport: "direct" })
      )
      const texts = yield* all([...runs, more])
      expect(texts).toEqual([...prompts(40), "zz"].map(whole))
    }).pipe(against(server(150))))

  it.effect("requests without a stream do not wait for each other, only for direct ones", () =>
    Effect.gen(function*() {
      const { create } = yield* TaskService.TaskService
      yield* inject({ on: onCreate, times: Infinity, kind: FaultKind.Delay({ duration: "10 seconds" }) })
      const plain = all(prompts(20).map((prompt) => create({ prompt, maxTokens: 1 })))
      expect((yield* timed(plain)).millis).toBe(10_000)
    }).pipe(against(server(0))))
})

describe("the lane", () => {
  const hang = { on: onCreate, kind: FaultKind.Hang({ executed: false }) }

  it.effect("sends nothing for who leaves while waiting, and goes on", () =>
    Effect.gen(function*() {
      yield* inject({ on: onCreate, kind: FaultKind.Delay({ duration: "10 seconds" }) })
      const first = yield* Effect.fork(direct("1a"))
      yield* Effect.sleep("10 millis")
      const waiting = yield* Effect.fork(all<unknown, unknown>([direct("2a"), TaskService.create({ prompt: "3a" })]))
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(waiting)
      const last = yield* Effect.fork(direct("4a"))
      expect([yield* first, yield* last]).toEqual([whole("1a"), whole("4a")])
      expect(yield* count("POST tmp")).toBe(2)
    }).pipe(against(server(20))))

  it.effect("is left by a request that fails, is late, or is cut", () =>
    Effect.gen(function*() {
      for (
        const kind of [FaultKind.Status({ status: 500 }), hang.kind, FaultKind.Cut({ afterBytes: 0, clean: true })]
      ) {
        yield* inject({ on: onCreate, kind })
        const failed = yield* Effect.fork(Effect.flip(direct("1a")))
        yield* Effect.sleep("10 millis")
        expect(yield* direct("2a")).toBe(whole("2a"))
        yield* failed
      }
    }).pipe(against(server(20), { requestTimeout: "20 seconds" })))

  it.effect("F98 20 forks of ten seconds of prefill each are whole: the wait for the lane has no limit", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      const { millis, outcome } = yield* timed(all(prompts(20).map((prompt) => fork(id, prompt))))
      expect(outcome).toEqual(Either.right(prompts(20).map(whole)))
      expect(millis).toBeGreaterThan(200_000)
    }).pipe(against(server(10_000), { requestTimeout: "15 seconds" })))

  it.effect("is waited for as long as those before take, each bounded by its own limit", () =>
    Effect.gen(function*() {
      yield* inject({ ...hang, times: Infinity })
      const waiting = yield* timed(all(prompts(4).map((prompt) => Effect.either(direct(prompt)))))
      expect(waiting.millis).toBe(80_000)
      for (const text of Either.getOrThrow(waiting.outcome)) {
        expect(text).toMatchObject({ left: { _tag: "RWKVTimeoutError", kind: "request" } })
      }
      expect(yield* count("POST tmp")).toBe(4)
    }).pipe(against(server(0), { requestTimeout: "20 seconds" })))

  it.effect("is held for who left a create without an answer, and no longer than a request may take", () =>
    Effect.gen(function*() {
      yield* inject(hang)
      const left = yield* Effect.fork(TaskService.create({ prompt: "1a" }))
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(left)
      const { millis, outcome } = yield* timed(direct("2a"))
      expect(outcome).toEqual(Either.right(whole("2a")))
      expect([millis > 18_000, millis < 22_000]).toEqual([true, true])
    }).pipe(against(server(0), { requestTimeout: "20 seconds" })))

  it.effect("is free while it is found out why a fork was refused", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      yield* inject({ on: { path: /fork/ }, kind: FaultKind.Status({ status: 500 }) })
      const refused = yield* Effect.fork(Effect.flip(fork(id, "1a")))
      yield* Effect.sleep("10 millis")
      yield* inject({ on: { path: "/status" }, kind: FaultKind.Hang({ executed: false }) })
      const { millis } = yield* timed(direct("2a"))
      expect(millis).toBeLessThan(10_000)
      expect(yield* refused).toMatchObject({ _tag: "RWKVServerError" })
    }).pipe(against(server(0), { requestTimeout: "20 seconds" })))

  it.effect("is nobody's when the service closes", () =>
    Effect.gen(function*() {
      yield* inject(hang)
      const layer = yield* another
      const { outcome } = yield* timed(
        Effect.gen(function*() {
          const streams = yield* StreamService.StreamService
          const run = (prompt: string) =>
            Effect.flip(Stream.runDrain(streams.create({ prompt }, { transport: "direct" })))
          return yield* Effect.tap(all([Effect.forkDaemon(run("1a")), Effect.forkDaemon(run("2a"))]), () =>
            Effect.sleep("1 second"))
        }).pipe(Effect.provide(layer))
      )
      const errors = yield* all(Either.getOrThrow(outcome).map(Fiber.join))
      expect(errors).toMatchObject([
        { _tag: "RWKVConnectionError", requestSent: true },
        { _tag: "RWKVConnectionError", requestSent: false, isSafeToRepeat: true }
      ])
      expect(yield* count("POST tmp")).toBe(1)
    }).pipe(against(server(0))))

  it.effect("serves direct streams and others in the order of their coming", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const plain = (name: string) =>
        Effect.map(TaskService.create({ prompt: "pl", maxTokens: 1 }), () => order.push(name))
      const opened = (name: string) =>
        StreamService.createEvents({ prompt: "di", maxTokens }, { transport: "direct" }).pipe(
          Stream.tap(({ _tag }) => Effect.sync(() => _tag === "Started" && order.push(name))),
          Stream.runDrain
        )
      const requests: ReadonlyArray<Effect.Effect<unknown, unknown, Env>> = [
        plain("0"),
        opened("1"),
        plain("2"),
        plain("3"),
        opened("4"),
        plain("5")
      ]
      yield* all(requests.map((request, index) => Effect.delay(request, 5 * index)))
      expect(order.map(Number)).toEqual([0, 1, 2, 3, 4, 5])
    }).pipe(against(server(100))))
})

describe("other clients on the server", () => {
  it.effect("F98 no text without its beginning is called whole", () =>
    Effect.gen(function*() {
      const { id } = yield* source
      const others = yield* Layer.build(yield* another)
      const noise = Effect.repeatN(Effect.provide(TaskService.create({ prompt: "no", maxTokens: 1 }), others), 10)
      const noisy = yield* Effect.fork(all(Array.from({ length: 5 }, () => noise)))
      const texts = yield* all(
        prompts(32).map((prompt, index) =>
          Effect.either((index % 4 === 0 ? direct : (prompt: string) => fork(id, prompt))(prompt))
        )
      )
      yield* noisy
      texts.forEach((text, index) => {
        if (Either.isRight(text)) expect(text.right).toBe(whole(prompts(32)[index] ?? ""))
        else expect(text.left._tag).toBe("StreamTruncatedError")
      })
      const lost = texts.filter(Either.isLeft).length
      expect([lost > 0, lost < 32]).toEqual([true, true])
    }).pipe(against(server(150))))
})
