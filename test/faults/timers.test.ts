/** F89 and F90: timers that are faked, exchanged or lost. */
import { afterEach, describe, expect, it } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime, Scheduler, Stream } from "effect"
import { type RWKVConfig, StreamService, TaskService } from "effect-rwkv"
import { AsyncLocalStorage } from "node:async_hooks"
import { vi } from "vitest"
import { transports } from "../support/program.js"
import { hanging, id, over, request, serve, type Server, type Services } from "../support/silence.js"

const second = 1000

const settledIn = async (promise: Promise<unknown>) => {
  const pending = {}
  return await Promise.race([promise, Promise.resolve(pending)]) !== pending
}

/** What was started runs on as far as it can without time. */
const flush = async () => {
  for (let i = 0; i < 200; i++) await Promise.resolve()
}

const run = (effect: Effect.Effect<unknown, unknown, Services>, config: RWKVConfig.Options = {}, server?: Server) =>
  Effect.runPromise(
    Effect.flip(effect).pipe(
      // The end of the layer is no subject here.
      Effect.provide(over(server === undefined ? hanging : serve(server).client, { closeTimeout: 0, ...config })),
      Effect.scoped
    )
  )

const fakes: ReadonlyArray<
  readonly [string, Effect.Effect<unknown, unknown, Services>, Server | undefined, string, number]
> = [
  ["a request", TaskService.status(id), undefined, "request", 10],
  ["a wait", TaskService.wait(id, { timeout: "10 seconds" }), {}, "wait", 10],
  ["a wait that polls", TaskService.wait(id, { timeout: "10 seconds", by: "polling" }), {}, "wait", 10],
  ["a stop", TaskService.stop(id, { within: "10 seconds" }), {}, "stop", 10],
  ...transports.map((transport) =>
    [
      `a stream (${transport})`,
      Stream.runDrain(
        StreamService.create(request, { transport, idleTimeout: "5 seconds", stallTimeout: "10 seconds" })
      ),
      { status: () => ({ status: 2, generated: 0 }) },
      "stalled",
      10
    ] as const
  )
]

describe("F89 the timers of a test", () => {
  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })

  for (const [name, effect, server, kind, seconds] of fakes) {
    it(`F89 the limit of ${name} fires when faked time comes, advanced at once`, async () => {
      vi.useFakeTimers()
      const failed = run(effect, { requestTimeout: "10 seconds" }, server)
      await vi.advanceTimersByTimeAsync(seconds * second - 500)
      expect(await settledIn(failed)).toBe(false)
      await vi.advanceTimersByTimeAsync(3 * second)
      await flush()
      expect(await settledIn(failed)).toBe(true)
      expect(await failed).toMatchObject({ kind })
    })

    it(`F89 the limit of ${name} fires when faked time comes, advanced step by step`, async () => {
      vi.useFakeTimers()
      const failed = run(effect, { requestTimeout: "10 seconds" }, server)
      await flush()
      for (let i = 0; i < 250; i++) {
        vi.advanceTimersByTime(50)
        await flush()
        if (i === 150) expect(await settledIn(failed)).toBe(false)
      }
      expect(await settledIn(failed)).toBe(true)
      expect(await failed).toMatchObject({ kind })
    })

    it(`F89 what was started while setTimeout did nothing holds up no later limit: ${name}`, async () => {
      vi.stubGlobal("setTimeout", () => 0)
      void run(effect, { requestTimeout: "10 seconds" }, server)
      await flush()
      vi.unstubAllGlobals()
      const begun = performance.now()
      expect(await run(TaskService.status(id), { requestTimeout: 50 })).toMatchObject({ kind: "request" })
      expect(performance.now() - begun).toBeLessThan(1000)
    })

    it(`F89 timers exchanged between two requests: ${name}`, async () => {
      void run(effect, { requestTimeout: "10 seconds" }, server)
      await flush()
      vi.useFakeTimers()
      const failed = run(effect, { requestTimeout: "10 seconds" }, server)
      await vi.advanceTimersByTimeAsync(seconds * second + 3 * second)
      await flush()
      expect(await settledIn(failed)).toBe(true)
      const stuck = run(effect, { requestTimeout: "10 seconds" }, server)
      await flush()
      vi.useRealTimers()
      const begun = performance.now()
      expect(await run(TaskService.status(id), { requestTimeout: 50 })).toMatchObject({ kind: "request" })
      expect(performance.now() - begun).toBeLessThan(1000)
      expect(await settledIn(stuck)).toBe(false)
    })
  }
})

describe("F90 a runtime where a timer dies with the request that set it", () => {
  const { clearTimeout, setTimeout: real } = globalThis
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  const edge = () => {
    const current = new AsyncLocalStorage<string>()
    const timers = new Map<string, Array<ReturnType<typeof real>>>()
    const tagged = (work: () => void, millis?: number) => {
      const timer = real(work, millis)
      const name = current.getStore() ?? ""
      timers.set(name, [...timers.get(name) ?? [], timer])
      return timer
    }
    vi.stubGlobal("setTimeout", tagged)
    return {
      /** Serves a request with a runtime of its own. */
      handle: (
        name: string,
        effect: Effect.Effect<unknown, unknown, Services>,
        config: RWKVConfig.Options,
        server?: Server
      ) =>
        current.run(name, () => {
          const client = server === undefined ? hanging : serve(server).client
          // Fibers of one scheduler run on in the turn of whichever request woke it.
          const scheduler = Layer.setScheduler(new Scheduler.MixedScheduler(2048))
          const runtime = ManagedRuntime.make(Layer.provideMerge(over(client, config), scheduler))
          const begun = performance.now()
          const failed = runtime.runPromise(Effect.flip(effect)).then(
            (error) => ({ error, after: performance.now() - begun })
          )
          return {
            failed,
            /** The request has been answered: nothing of it is left. */
            end: () => {
              for (const timer of timers.get(name) ?? []) clearTimeout(timer)
            }
          }
        })
    }
  }

  const kinds: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, Services>, Server | undefined]> = [
    ["requests", TaskService.status(id), undefined],
    ["waits", TaskService.wait(id, { timeout: 100 }), {}],
    ...transports.map((transport) =>
      [
        `streams (${transport})`,
        Stream.runDrain(StreamService.create(request, { transport, idleTimeout: 50, stallTimeout: 100 })),
        { status: () => ({ status: 2, generated: 0 }) }
      ] as const
    )
  ]

  for (const [name, effect, server] of kinds) {
    it(`F90 three at once, the first of which goes: the limits of the others are their own, ${name}`, async () => {
      const { handle } = edge()
      const config = { requestTimeout: 100 }
      const first = handle("first", effect, config, server)
      void first.failed.catch(() => {})
      const others = [handle("second", effect, config, server), handle("third", effect, config, server)]
      await new Promise<void>((resolve) => real(resolve, 20))
      first.end()
      for (const { failed } of others) {
        const { after, error } = await failed
        expect(error).toMatchObject({ _tag: "RWKVTimeoutError" })
        expect(after).toBeLessThan(600)
      }
    })
  }
})
