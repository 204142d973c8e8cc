/** Several emulators in one process behind one HttpClient, told apart by their host. */
import { HttpClient, HttpClientError } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Polling } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as RWKVPool from "effect-rwkv/RWKVPool"

export interface Cluster {
  readonly emulators: ReadonlyMap<string, Emulator.Service>
  readonly client: HttpClient.HttpClient
  /** Refuses connections to a server, or accepts them again. */
  readonly refuse: (name: string, refuses: boolean) => void
}

export const server = (name: string, options: Partial<RWKVPool.Server> = {}): RWKVPool.Server => ({
  name,
  baseUrl: `http://${name}:8000`,
  ...options
})

export const emulator = (cluster: Cluster, name: string): Emulator.Service => {
  const found = cluster.emulators.get(name)
  if (found === undefined) throw new Error(`no emulator ${name}`)
  return found
}

/** Every server says its own name in the texts of `named`, and the same texts otherwise. */
export const start = (servers: Readonly<Record<string, Emulator.Options>>) =>
  Effect.gen(function*() {
    const emulators = new Map<string, Emulator.Service>()
    for (const [name, options] of Object.entries(servers)) emulators.set(name, yield* Emulator.make(options))
    const refused = new Set<string>()
    const client = HttpClient.make((request, url) => {
      const emulator = emulators.get(url.hostname)
      return emulator === undefined || refused.has(url.hostname)
        ? Effect.fail(
          new HttpClientError.RequestError({
            request,
            reason: "Transport",
            cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
          })
        )
        : emulator.httpClient.execute(request)
    })
    const cluster: Cluster = {
      emulators,
      client,
      refuse: (name, refuses) => void (refuses ? refused.add(name) : refused.delete(name))
    }
    return cluster
  })

export const pool = <E = never, R = never>(
  cluster: Cluster,
  options: Partial<RWKVPool.Options<E, R>> = {}
) =>
  RWKVPool.layer<E, R>({ servers: Array.from(cluster.emulators.keys(), (name) => server(name)), ...options }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, cluster.client))
  )

export const long = "a story that takes a while to tell. ".repeat(10)
export const story = { prompt: "story", maxTokens: 400 }

/** Two servers that answer alike, with ids of their own. */
export const two = (options: Emulator.Options = { reply: () => long }) =>
  start({ a: { seed: 1, ...options }, b: { seed: 2, ...options } })

export const over = (cluster: Cluster, options: Partial<RWKVPool.Options> = {}) =>
  Effect.provide(pool(cluster, { retry: Polling.noRetry, ...options }))

export const figures = Effect.flatMap(RWKVPool.RWKVPool, ({ figures }) => figures)
