/** Programs without Effect against an emulator of their own, which holds nothing of theirs when they are done. */
import { HttpClient } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import { type Client, type ClientOptions, createClient } from "effect-rwkv/promise"
import { Emulator } from "effect-rwkv/testing"

export const endless = { prompt: "endless", maxTokens: 40_000 }

export const says = { prompt: "Hi", maxTokens: 2000 }

/** What the server says to all but `endless`: ten frames. */
export const reply = "abcdefghijklmnopqrstuvwxyz012345".repeat(10)

const server: Emulator.Options = {
  pulse: 2,
  pollInterval: 2,
  reply: ({ text }) => text === "endless" ? { tokens: ["tick "], end: "loop" } : reply
}

export interface Env {
  readonly client: Client
  readonly emulator: Emulator.Service
  readonly running: () => Promise<number>
  /** Whether all that was started was asked to stop by now, and has ended soon after. */
  readonly stopped: () => Promise<void>
  /** `"POST stop"` ...: the requests so far. */
  readonly verbs: () => ReadonlyArray<string>
}

export const eventually = async (condition: () => Promise<boolean> | boolean) => {
  for (let looks = 0; looks < 2000; looks++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error("it did not come about")
}

/** What a promise rejects with. */
export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then((value) => {
    throw new Error(`resolved with ${JSON.stringify(value)}`)
  }, (error: unknown) => error)

/** A promise whose rejection nobody handles fails it, too. */
export const promises = (
  name: string,
  program: (env: Env) => Promise<void>,
  options: Emulator.Options = {},
  config: ClientOptions = {}
) =>
  it(name, async () => {
    const unhandled: Array<unknown> = []
    const note = (reason: unknown) => void unhandled.push(reason)
    process.on("unhandledRejection", note)
    const runtime = ManagedRuntime.make(Emulator.layer({ ...server, ...options }))
    const emulator = await runtime.runPromise(Emulator.Emulator)
    const client = createClient({ httpClient: Layer.succeed(HttpClient.HttpClient, emulator.httpClient), ...config })
    const running = () => Effect.runPromise(emulator.running)
    const verbs = () =>
      Effect.runSync(emulator.requests).map(({ method, path }) =>
        `${method} ${path.split("/").at(-1)?.replace(/\?.*/, "")}`
      )
    const stopped = async () => {
      const count = (verb: string) => verbs().filter((each) => each === verb).length
      expect(count("POST stop")).toBe(count("POST tmp"))
      await eventually(async () => await running() === 0)
    }
    try {
      await program({ client, emulator, running, stopped, verbs })
      await client.close()
      await eventually(async () => await running() === 0 && await Effect.runPromise(emulator.openStreams) === 0)
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).toEqual([])
    } finally {
      process.off("unhandledRejection", note)
      await client.close()
      await runtime.dispose()
    }
  })
