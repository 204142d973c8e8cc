/** Bodies as the platform's clients bring them from a real socket. */
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, FastCheck as fc, Runtime, type Scope } from "effect"
import * as Body from "../../src/internal/wire/body.js"
import * as Tcp from "../faults/support/tcp.js"
import { bytesOf, reading, type Told, turns, wrapped } from "./support/sources.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)
const encoder = new TextEncoder()

const layers = [...Tcp.https, ["node:http", NodeHttpClient.layer] as const]

const chunked = Tcp.head("200 OK", { "transfer-encoding": "chunked" })

const get = (url: string) => Effect.flatMap(HttpClient.HttpClient, (client) => HttpClient.withScope(client).get(url))

const ended = ({ ends }: Told) => Tcp.eventually(() => ends.length > 0, 5000)

/** The codes in what broke a body, from the outside in. */
const codes = (error: unknown): ReadonlyArray<unknown> =>
  error instanceof Error ? [Reflect.get(error, "code"), ...codes(error.cause)] : []

const over = (
  name: string,
  test: Effect.Effect<void, unknown, HttpClient.HttpClient | Scope.Scope>
) => {
  for (const [layer, http] of layers) {
    it.live(`${name} (${layer})`, () => test.pipe(Effect.scoped, Effect.provide(http)), 20_000)
  }
}

describe("a body from a socket", () => {
  over(
    "that is reset in the middle fails with what the connection failed with",
    Effect.gen(function*() {
      const server = yield* Tcp.serve(() => [
        Tcp.write(chunked),
        Tcp.write(Tcp.chunk("half")),
        Tcp.wait(20),
        Tcp.reset
      ])
      const told = yield* Effect.flatMap(get(server.baseUrl), reading)
      yield* ended(told)
      expect(Buffer.concat(told.chunks).toString()).toBe("half")
      expect(told.ends.flatMap((end) => end === "end" ? end : codes(Cause.squash(end)))).toContain("ECONNRESET")
      const text = yield* Effect.flip(
        Effect.flatMap(get(server.baseUrl), (response) => Body.text(response, 100, () => "too large"))
      )
      expect(codes(text)).toContain("ECONNRESET")
    })
  )

  over(
    "that ends before its length has failed",
    Effect.gen(function*() {
      const server = yield* Tcp.serve(() => [
        Tcp.write(Tcp.head("200 OK", { "content-length": 100 })),
        Tcp.write("half"),
        Tcp.wait(20),
        Tcp.end
      ])
      const told = yield* Effect.flatMap(get(server.baseUrl), reading)
      yield* ended(told)
      expect(told.ends).toHaveLength(1)
      expect(told.ends).not.toContain("end")
    })
  )

  over(
    "that is cancelled, or too large as a text, lets its socket go",
    Effect.gen(function*() {
      const server = yield* Tcp.serve(() => [Tcp.write(chunked), Tcp.write(Tcp.chunk("begin")), Tcp.hang])
      const told = yield* Effect.flatMap(get(server.baseUrl), reading)
      expect(yield* Tcp.eventually(() => told.chunks.length > 0)).toBe(true)
      expect(server.busy()).toBe(1)
      told.cancel()
      expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
      const response = yield* get(server.baseUrl)
      expect(yield* Effect.flip(Body.text(response, 3, () => "too large"))).toBe("too large")
      expect(yield* Tcp.eventually(() => server.busy() === 0)).toBe(true)
    })
  )

  over(
    "that is paused slows the server, and loses nothing",
    Effect.gen(function*() {
      const size = 64 * 1024
      const times = 800
      const server = yield* Tcp.serve(() => [
        Tcp.write(Tcp.head("200 OK", { "content-length": size * times })),
        Tcp.pour("x".repeat(size), times)
      ])
      let length = 0
      const told = yield* Effect.flatMap(get(server.baseUrl), (response) =>
        reading(response, {
          bytes: ({ length: more }) => {
            length += more
          }
        }))
      yield* Tcp.eventually(() => length > 0)
      told.pause()
      let before = -1
      // Until the server cannot write any more.
      while (before !== server.poured()) {
        before = server.poured()
        yield* Effect.sleep(50)
      }
      expect(before).toBeLessThan(size * times / 2)
      told.resume()
      yield* ended(told)
      expect(told.ends).toEqual(["end"])
      expect(length).toBe(size * times)
    })
  )

  for (const [status, headers] of [["204 No Content", {}], ["200 OK", { "content-length": 0 }]] as const) {
    over(
      `that is empty ends: ${status}`,
      Effect.gen(function*() {
        const server = yield* Tcp.serve(() => [Tcp.write(Tcp.head(status, headers))])
        const told = yield* Effect.flatMap(get(server.baseUrl), reading)
        yield* ended(told)
        expect([told.chunks, told.ends]).toEqual([[], ["end"]])
        const response = yield* get(server.baseUrl)
        expect(yield* Body.text(response, 0, () => "too large")).toBe("")
      })
    )
  }

  over(
    "is the same through its Stream, which waits when it is paused",
    Effect.gen(function*() {
      const server = yield* Tcp.serve(() => [
        Tcp.write(chunked),
        ...Array.from("abcdef").flatMap((letter) => [Tcp.write(Tcp.chunk(letter)), Tcp.wait(1)]),
        Tcp.write(Tcp.lastChunk)
      ])
      const told = yield* Effect.flatMap(get(server.baseUrl), (response) => reading(wrapped(response)))
      told.pause()
      yield* turns
      told.resume()
      yield* ended(told)
      expect(Buffer.concat(told.chunks).toString()).toBe("abcdef")
      expect(told.ends).toEqual(["end"])
    })
  )

  for (const [layer, http] of layers) {
    it.live(
      `brings the same bytes, however the server cuts them and wherever the reading is paused (${layer})`,
      () =>
        Effect.gen(function*() {
          let answer: ReadonlyArray<Tcp.Step> = []
          const server = yield* Tcp.serve(() => answer)
          const property = (parts: ReadonlyArray<Uint8Array>, cut: number, pauses: ReadonlyArray<number>) =>
            Effect.gen(function*() {
              const body = parts.map(Tcp.chunk)
              answer = [
                Tcp.write(chunked),
                ...Tcp.pieces(Buffer.concat([...body, encoder.encode(Tcp.lastChunk)]), cut)
              ]
              let own: Body.Reading | undefined
              let count = 0
              const told = yield* Effect.flatMap(get(server.baseUrl), (response) =>
                reading(response, {
                  bytes: () => {
                    if (!pauses.includes(count++)) return
                    own?.pause()
                    setImmediate(() => own?.resume())
                  }
                }))
              own = told
              yield* ended(told)
              expect(bytesOf(told)).toEqual(parts.flatMap((part) => Array.from(part)))
              expect(told.ends).toEqual(["end"])
            }).pipe(Effect.scoped)
          const run = Runtime.runPromise(yield* Effect.runtime<HttpClient.HttpClient>())
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(
                fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 }), { maxLength: 10 }),
                fc.integer({ min: 3, max: 200 }),
                fc.array(fc.nat(8), { maxLength: 4 }),
                (parts, cut, pauses) => run(property(parts, cut, pauses))
              ),
              { numRuns: Math.ceil(numRuns / 4) }
            )
          )
        }).pipe(Effect.scoped, Effect.provide(http)),
      1_000_000
    )
  }
})
