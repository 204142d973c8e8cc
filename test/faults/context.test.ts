/** F93: what a program puts around its effects, and what its middleware makes of it. */
import { HttpClient as Platform, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Effect,
  Equal,
  Exit,
  Fiber,
  FiberRef,
  FiberRefs,
  HashSet,
  Layer,
  Logger,
  LogLevel,
  Option,
  Schedule,
  Supervisor,
  type Tracer
} from "effect"
import { Polling, RWKV, type RWKVConfig, TaskService } from "effect-rwkv"
import * as wire from "../support/wire.js"
import { id, reads, respond, tidy, type Verb, verbs, works } from "../support/verbs.js"

class Tenant extends Context.Tag("Tenant")<Tenant, { readonly name: string }>() {}

const trace = FiberRef.unsafeMake("nobody")
const written = FiberRef.unsafeMake<ReadonlyArray<string>>([])

interface Seen {
  readonly trace: string
  readonly tenant: string
  readonly spans: ReadonlyArray<string>
  readonly annotation: unknown
  readonly level: string
}

const spansOf = (span: Option.Option<Tracer.AnySpan>): ReadonlyArray<string> =>
  Option.match(span, {
    onNone: () => [],
    onSome: (span) => span._tag === "Span" ? [span.name, ...spansOf(span.parent)] : [span.spanId]
  })

const look: Effect.Effect<Seen> = Effect.gen(function*() {
  const annotations = yield* FiberRef.get(FiberRef.currentLogAnnotations)
  const names = yield* Effect.map(Effect.option(Effect.currentParentSpan), spansOf)
  const level = yield* FiberRef.get(FiberRef.currentMinimumLogLevel)
  return {
    trace: yield* FiberRef.get(trace),
    tenant: Option.match(yield* Effect.serviceOption(Tenant), { onNone: () => "none", onSome: ({ name }) => name }),
    spans: names,
    annotation: Option.getOrUndefined(
      Option.fromIterable([...annotations].flatMap(([key, value]) => key === "user" ? [value] : []))
    ),
    level: level.label
  }
})

/** Middleware that notes what it sees, and writes a line for each request. */
const makeMiddleware = () => {
  const seen: Array<Seen & { readonly path: string }> = []
  const pathOf = ({ url }: HttpClientRequest.HttpClientRequest) => new URL(url).pathname
  return {
    seen,
    transformClient: (client: Platform.HttpClient) =>
      Platform.transform(client, (effect, request) =>
        Effect.gen(function*() {
          const path = pathOf(request)
          seen.push({ path, ...(yield* look) })
          yield* FiberRef.update(written, (lines) => [...lines, `> ${path}`])
          const response = yield* effect
          yield* FiberRef.update(written, (lines) => [...lines, `< ${path}`])
          return response
        }))
  }
}

const over = (client: Platform.HttpClient, config: RWKVConfig.Options) =>
  RWKV.layer({ retry: Polling.noRetry, ...config }).pipe(
    Layer.provide(Layer.succeed(Platform.HttpClient, client))
  )

const served = () => wire.platform(({ body, path }) => respond(path, body))

const byCaller = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  program.pipe(
    Effect.locally(trace, "the caller"),
    Effect.annotateLogs({ user: "u" }),
    Logger.withMinimumLogLevel(LogLevel.Warning),
    Effect.withSpan("the caller's"),
    Effect.provideService(Tenant, { name: "t" })
  )

/** A fiber refers to the same as before, but for what the middleware wrote. */
const expectUnchanged = (before: FiberRefs.FiberRefs, after: FiberRefs.FiberRefs) => {
  for (const ref of HashSet.union(FiberRefs.fiberRefs(before), FiberRefs.fiberRefs(after))) {
    if (Object.is(ref, written)) continue
    const [known, value] = [FiberRefs.getOrDefault(before, ref), FiberRefs.getOrDefault(after, ref)]
    if (Context.isContext(known) && Context.isContext(value)) {
      expect([...value.unsafeMap]).toEqual([...known.unsafeMap])
    } else if (!Equal.equals(known, value)) expect(value).toEqual(known)
  }
}

/** What the middleware wrote during an effect that leaves its caller as it was. */
const linesOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* Effect.getFiberRefs
    const exit = yield* Effect.exit(effect)
    expectUnchanged(before, yield* Effect.getFiberRefs)
    return [exit, yield* FiberRef.get(written)] as const
  }).pipe(Effect.locally(written, []))

const failures: Readonly<Record<string, wire.Respond>> = {
  "an answer that says no": () => wire.json({ detail: "no" }, 401),
  "an answer of a server that fails": () => wire.text("Internal Server Error", 500),
  "an answer that is not JSON": () => wire.text("<html>"),
  "a connection that breaks": (_, request) => wire.broken(request, "ECONNRESET"),
  "no answer in time": () => Effect.never,
  "a client that dies": () => Effect.die(new Error("a defect"))
}

describe("F93 what a program puts around its effects", () => {
  for (const [name, verb] of Object.entries({ ...verbs, ...tidy })) {
    it.live(`F93 ${name}: middleware sees what the caller set`, () =>
      Effect.gen(function*() {
        const { client, sent } = served()
        const { seen, transformClient } = makeMiddleware()
        yield* byCaller(verb).pipe(Effect.provide(over(client, { transformClient })))
        expect(seen.map(({ path }) => path)).toEqual(sent.map(({ url }) => new URL(url).pathname))
        for (const { path: _, ...one } of seen) {
          expect(one).toMatchObject({ trace: "the caller", tenant: "t", annotation: "u", level: "WARN" })
          expect(one.spans.at(-1)).toBe("the caller's")
        }
      }))
  }

  for (const [name, verb] of Object.entries(verbs)) {
    it.live(`F93 ${name}: what middleware writes is the caller's afterwards, and nothing else changed`, () =>
      Effect.gen(function*() {
        const { client, sent } = served()
        const { transformClient } = makeMiddleware()
        const [exit, lines] = yield* byCaller(linesOf(verb)).pipe(Effect.provide(over(client, { transformClient })))
        expect(exit._tag).toBe("Success")
        const paths = sent.map(({ url }) => new URL(url).pathname)
        // A deletion at the end of a stream is the owner's, behind the caller.
        const ofOwner = (path: string) => name.startsWith("create") && path.endsWith("/delete")
        const all = paths.flatMap((path) => ofOwner(path) ? [] : [`> ${path}`, `< ${path}`])
        // The rest of a fork is read for the service, whoever listens.
        expect(lines).toEqual(
          all.slice(0, name.startsWith("fork") ? all.findLastIndex((line) => line.includes("/fork")) + 1 : all.length)
        )
      }))

    for (const [how, answer] of Object.entries(failures)) {
      it.live(`F93 ${name}: also when it fails, as with the platform's own client: ${how}`, () =>
        Effect.gen(function*() {
          const { client, sent } = wire.platform(answer)
          const { transformClient } = makeMiddleware()
          const [exit, lines] = yield* byCaller(linesOf(verb)).pipe(
            Effect.provide(over(client, { transformClient, requestTimeout: "20 millis" }))
          )
          expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(false)
          const began = lines.filter((line) => line.startsWith(">"))
          expect(began).toEqual(sent.map(({ url }) => `> ${new URL(url).pathname}`))
          expect(began.length).toBeGreaterThan(0)
          if (how === "no answer in time") return
          // The platform's own client, with the same middleware and no SDK.
          const plain = transformClient(client).execute(HttpClientRequest.get(`${wire.origin}/plain`))
          const [, others] = yield* linesOf(plain)
          expect(others[0]).toBe("> /plain")
        }))
    }
  }

  it.live("F93 what middleware writes in every attempt of a read is the caller's", () =>
    Effect.gen(function*() {
      const { client } = wire.platform(() => wire.text("busy", 503))
      const { transformClient } = makeMiddleware()
      const retry = Schedule.intersect(Schedule.spaced(1), Schedule.recurs(2))
      const lines = yield* Effect.exit(TaskService.status(id)).pipe(
        Effect.zipRight(FiberRef.get(written)),
        Effect.provide(over(client, { transformClient, retry }))
      )
      expect(lines.filter((line) => line.startsWith(">"))).toHaveLength(3)
    }))

  for (const [name, verb] of Object.entries(verbs)) {
    it.live(`F93 ${name}: a supervisor of the program sees the fibers of its requests`, () =>
      Effect.gen(function*() {
        const started = new Set<unknown>()
        class Noting extends Supervisor.AbstractSupervisor<void> {
          override value = Effect.void
          override onStart<A, E, R>(
            _context: Context.Context<R>,
            _effect: Effect.Effect<A, E, R>,
            _parent: Option.Option<Fiber.RuntimeFiber<unknown, unknown>>,
            fiber: Fiber.RuntimeFiber<A, E>
          ) {
            started.add(fiber)
          }
        }
        const ran = new Set<unknown>()
        const { client } = served()
        const transformClient = (client: Platform.HttpClient) =>
          Platform.transform(client, (effect) =>
            Effect.zipRight(
              Effect.withFiberRuntime((fiber) => Effect.sync(() => ran.add(fiber))),
              effect
            ))
        yield* Effect.fork(Effect.provide(verb, over(client, { transformClient }))).pipe(
          Effect.flatMap(Fiber.join),
          Effect.supervised(new Noting())
        )
        expect(ran.size).toBeGreaterThan(0)
        for (const fiber of ran) expect(started.has(fiber)).toBe(true)
      }))
  }

  // The answer to what makes the server work is awaited in the background.
  const open: Readonly<Record<string, Verb>> = {
    ...reads,
    stop: works["stop"] ?? Effect.void,
    delete: works["delete"] ?? Effect.void
  }

  for (const [name, verb] of Object.entries(open)) {
    it.live(`F93 ${name}: the interruption of the caller reaches the middleware`, () =>
      Effect.gen(function*() {
        const { client } = wire.platform(() => Effect.never)
        const begun = yield* Deferred.make<void>()
        let interrupted = 0
        const transformClient = (client: Platform.HttpClient) =>
          Platform.transform(client, (effect) =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.zipRight(effect),
              Effect.onInterrupt(() =>
                Effect.sync(() => {
                  interrupted++
                })
              )
            ))
        yield* Effect.gen(function*() {
          const fiber = yield* Effect.fork(verb)
          yield* Deferred.await(begun)
          const exit = yield* Fiber.interrupt(fiber)
          expect(Exit.isInterrupted(exit)).toBe(true)
          expect(interrupted).toBe(1)
        }).pipe(Effect.provide(over(client, { transformClient })))
      }))
  }
})
