/** What cannot be reached, for whatever reason, takes no work of a pool. */
import { HttpClient, HttpClientError } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TaskService } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { failureOf, settle } from "../support/harness.js"
import { server } from "./cluster.js"

const causes = [
  Object.assign(new Error("getaddrinfo ENOTFOUND b"), { code: "ENOTFOUND" }),
  Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }),
  Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" }),
  Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }),
  new TypeError("fetch failed", { cause: new Error("bad port") })
]

/** Servers `a` and `b`, of which `b` is never reached. */
const over = (cause: Error, servers: ReadonlyArray<RWKVPool.Server>) =>
  Effect.provide(
    RWKVPool.layer({ servers }).pipe(
      Layer.provide(Layer.scoped(
        HttpClient.HttpClient,
        Effect.map(Emulator.make({ reply: ({ text }) => `<${text}>` }), ({ httpClient }) =>
          HttpClient.make((request, url) =>
            url.hostname === "a"
              ? httpClient.execute(request)
              : Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause }))
          ))
      ))
    )
  )

for (const cause of causes) {
  it.scoped(`a server that cannot be reached is left out, and others do its work: ${String(cause.cause ?? cause)}`, () =>
    Effect.gen(function*() {
      const prompts = Array.from({ length: 12 }, (_, index) => ({ prompt: `${index}`, maxTokens: 20 }))
      const results = yield* settle(Stream.runCollect(TaskService.runAll(prompts)))
      expect(Array.from(results, ({ result }) => result._tag)).toEqual(prompts.map(() => "Right"))
      const { figures } = yield* RWKVPool.RWKVPool
      expect((yield* figures).servers).toMatchObject([{ health: "open" }, { health: "lost" }])
    }).pipe(over(cause, [server("a"), server("b")])))

  it.scoped(`a pool of none that can be reached says why: ${String(cause.cause ?? cause)}`, () =>
    Effect.gen(function*() {
      const failure = yield* failureOf(TaskService.run({ prompt: "x", maxTokens: 5 }), "5 seconds")
      expect(failure).toMatchObject({ _tag: "RWKVConnectionError", requestSent: false })
      expect(failure.message).toMatch(/no server of the pool takes work.*; b: .+/)
    }).pipe(over(cause, [server("b")])))
}
