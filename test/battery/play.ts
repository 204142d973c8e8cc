/** Plays cases to a program somewhere, against an emulator on a real port. */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"
import { type Case, options, type Reasons } from "./cases.js"
import type { Told } from "./told.js"

/** Has a case of the battery run where the program is. */
export type Ask = (name: string, url: string) => Promise<Told>

const portOf = HttpServer.addressWith((address) => Effect.succeed(address._tag === "TcpAddress" ? address.port : 0))

export const serveEmulator = (cors: boolean) =>
  Effect.gen(function*() {
    const server = NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })
    const context = yield* Layer.build(Emulator.layerServer({ ...options, cors }).pipe(Layer.provideMerge(server)))
    const { port, service } = yield* Effect.provide(
      Effect.all({ service: Emulator.Emulator, port: portOf }),
      context
    )
    return { service, url: `http://127.0.0.1:${port}` }
  })

export type Served = Effect.Effect.Success<ReturnType<typeof serveEmulator>>

export interface Outcome {
  readonly told: Told
  readonly complaint: string | undefined
}

export const play = (ask: Ask, { service, url }: Served, one: Case, reasons: Reasons): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    yield* service.clearRequests
    yield* service.clearFaults
    yield* one.prepare?.(service) ?? Effect.void
    const { complaint, told } = yield* Effect.tryPromise(() => ask(one.run, one.url ?? url)).pipe(
      Effect.timeout("30 seconds"),
      Effect.map((told) => ({ told, complaint: one.complaint(told, reasons) })),
      Effect.catchAll((error) => Effect.succeed({ told: {}, complaint: `${error}` }))
    )
    const seen = one.seen === undefined ? undefined : yield* one.seen(service)
    return { told, complaint: complaint ?? seen }
  })
