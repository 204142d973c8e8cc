/** F92: what a program puts around the platform's fetch. */
import { FetchHttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schedule, Stream } from "effect"
import { RWKV, TaskService } from "effect-rwkv"
import * as wire from "../support/wire.js"
import { id, respond, tidy, verbs } from "../support/verbs.js"

interface Fetched {
  readonly path: string
  readonly method: string
  readonly init: RequestInit
}

/** A fetch that notes what it gets. */
const makeFetch = (answer = respond) => {
  const fetched: Array<Fetched> = []
  const fetch: typeof globalThis.fetch = (input, init = {}) => {
    const path = new URL(String(input)).pathname
    fetched.push({ path, method: init.method ?? "GET", init })
    const body = init.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : ""
    return Promise.resolve(answer(path, body))
  }
  return { fetch, fetched }
}

const overFetch = (fetch: typeof globalThis.fetch) =>
  FetchHttpClient.layer.pipe(Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch)))

const makeInit = (): RequestInit => {
  const init = { credentials: "include", dispatcher: { name: "of the program" }, headers: { "x-own": "a" } } as const
  return init
}

const headersOf = ({ init }: Fetched) => new Headers(init.headers)

type Provided = (init: RequestInit, fetch: typeof globalThis.fetch) => <A, E>(
  program: Effect.Effect<A, E, RWKV.RWKV>
) => Effect.Effect<A, unknown>

/** Where a program may put its init. */
const places: Readonly<Record<string, Provided>> = {
  "the platform's layer": (init, fetch) =>
    Effect.provide(
      RWKV.layer().pipe(
        Layer.provide(overFetch(fetch).pipe(Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, init))))
      )
    ),
  "the whole composite": (init, fetch) =>
    Effect.provide(
      RWKV.layer().pipe(
        Layer.provide(overFetch(fetch)),
        Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, init))
      )
    ),
  "a composite of all layers": (init, fetch) =>
    Effect.provide(
      RWKV.layer().pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide([
          Layer.succeed(FetchHttpClient.RequestInit, init),
          Layer.succeed(FetchHttpClient.Fetch, fetch)
        ])
      )
    ),
  "the caller": (init, fetch) => (program) =>
    program.pipe(
      Effect.provideService(FetchHttpClient.RequestInit, init),
      Effect.provide(RWKV.layer().pipe(Layer.provide(overFetch(fetch))))
    ),
  "the caller, over another of the layer": (init, fetch) => (program) =>
    program.pipe(
      Effect.provideService(FetchHttpClient.RequestInit, init),
      places["the platform's layer"]?.({ credentials: "omit", headers: { "x-own": "of the layer" } }, fetch) ??
        Effect.provide(RWKV.layerFetch())
    )
}

describe("F92 the program's fetch and its RequestInit", () => {
  for (const [place, provided] of Object.entries(places)) {
    for (const [verb, effect] of Object.entries({ ...verbs, ...tidy })) {
      it.live(`F92 ${verb}: the init given to ${place} reaches fetch, which follows no redirect`, () =>
        Effect.gen(function*() {
          const { fetch, fetched } = makeFetch()
          const init = makeInit()
          yield* effect.pipe(provided(init, fetch))
          expect(fetched.length).toBeGreaterThan(0)
          for (const one of fetched) {
            expect(one.init).toMatchObject({ credentials: "include", dispatcher: { name: "of the program" } })
            expect(one.init.redirect).toBe("manual")
            expect(headersOf(one).get("x-own")).toBe("a")
            expect(headersOf(one).get("accept")).toMatch(/^(application\/json|text\/event-stream)$/)
            if (one.method === "GET") expect(one.init.cache).toBe("no-store")
          }
          expect(init).toEqual(makeInit())
        }))
    }
  }

  it.live("F92 an init that asks for redirects to be followed asks in vain, and its own wish for a cache holds", () =>
    Effect.gen(function*() {
      const { fetch, fetched } = makeFetch()
      yield* Effect.all(Object.values(verbs), { discard: true }).pipe(
        places["the caller"]?.({ redirect: "follow", cache: "reload" }, fetch) ?? Effect.provide(RWKV.layerFetch())
      )
      for (const { init } of fetched) expect(init).toMatchObject({ redirect: "manual", cache: "reload" })
    }))

  /** As frameworks patch it: GETs are answered from memory unless they say otherwise. */
  const caching = (fetch: typeof globalThis.fetch): typeof globalThis.fetch => {
    const answers = new Map<string, Response>()
    return async (input, init = {}) => {
      const key = String(input)
      const known = answers.get(key)
      if (init.method !== "GET" || init.cache === "no-store") return fetch(input, init)
      if (known !== undefined) return known.clone()
      const answer = await fetch(input, init)
      answers.set(key, answer.clone())
      return answer
    }
  }

  const given: Readonly<Record<string, RequestInit | undefined>> = {
    "no init": undefined,
    "an init without a word of caches": { credentials: "include" }
  }

  for (const [name, init] of Object.entries(given)) {
    it.live(`F92 a fetch that caches GETs serves no old answer: ${name}`, () =>
      Effect.gen(function*() {
        let looks = 0
        const { fetch } = makeFetch((path, body) => {
          looks++
          return path.includes("/status")
            ? wire.json({ ...wire.info, status: looks < 6 ? 2 : 3, generated_buf: looks })
            : path.includes("/list")
            ? wire.json({ ...wire.list, total_count: looks })
            : path.includes("/models")
            ? wire.json({ ...wire.models, data: Array.from({ length: looks }, () => wire.models.data[0]) })
            : path.includes("/get_result")
            ? wire.json({ ...wire.created, result: `text ${looks}`, gen_time: 1, finished: looks > 6 })
            : path.includes("/stream")
            ? wire.events(`{"data": "text ${looks + 1}"}`, "[DONE]")
            : respond(path, body)
        })
        const layer = RWKV.layer().pipe(Layer.provide(overFetch(caching(fetch))))
        yield* Effect.gen(function*() {
          const task = yield* TaskService.task(id)
          const changes = <A, E, R>(read: Effect.Effect<A, E, R>) =>
            Effect.gen(function*() {
              const before = yield* read
              expect(yield* read).not.toEqual(before)
            })
          yield* changes(task.status)
          yield* task.wait({ by: "polling", schedule: Schedule.spaced(1) })
          yield* changes(task.result)
          yield* changes(TaskService.list)
          yield* changes(TaskService.models)
          yield* changes(Stream.mkString(task.stream()))
        }).pipe(
          init === undefined
            ? (program) => program
            : Effect.provideService(FetchHttpClient.RequestInit, init),
          Effect.provide(layer)
        )
      }))
  }

  it.live("F92 fetch exchanged by the caller, between two verbs, is the one that is called", () =>
    Effect.gen(function*() {
      const ofLayer = makeFetch()
      const layer = RWKV.layer().pipe(Layer.provide(overFetch(ofLayer.fetch)))
      yield* Effect.gen(function*() {
        for (const verb of Object.values({ ...verbs, ...tidy })) {
          // A fork is read in the background.
          yield* Effect.sleep("20 millis")
          const before = ofLayer.fetched.length
          const ofCaller = makeFetch()
          yield* Effect.provideService(verb, FetchHttpClient.Fetch, ofCaller.fetch)
          expect(ofCaller.fetched.length).toBeGreaterThan(0)
          for (const { init } of ofCaller.fetched) expect(init.redirect).toBe("manual")
          expect(ofLayer.fetched.length).toBe(before)
          yield* verb
          expect(ofLayer.fetched.length).toBeGreaterThan(before)
        }
      }).pipe(Effect.provide(layer))
    }))
})
