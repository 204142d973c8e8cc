/**
 * The platform's client as requests to the server need it. What the program put around it stays: its context, its
 * FiberRefs, its spans and its middleware.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { constTrue } from "effect/Function"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { Telemetry } from "../../Telemetry.js"
import { invalid } from "../input/validate.js"
import { bare } from "../telemetry/bare.js"

/** Headers that spans may show. All others are hidden there: a proxy may echo a secret under any name. */
const unshown = /^(?!(?:accept|allow|content-(?:encoding|length|type)|date|retry-after|server|transfer-encoding)$)/i

/** Some edge runtimes have no cache to ask for, and throw if they are. */
const mayCache = (): boolean => hasProperty(globalThis.Request?.prototype, "cache")

/**
 * The program's `RequestInit`, wherever it was given, beside what holds for every request of ours: fetch would repeat a
 * redirected POST as a GET, and hand every header but one to another origin. Reads ask for no cached answer.
 */
const initOf = (
  given: RequestInit | undefined,
  { method }: HttpClientRequest.HttpClientRequest
): RequestInit => ({
  ...(method === "GET" && mayCache() ? { cache: "no-store" } : {}),
  ...given,
  redirect: "manual"
})

const isClient = (u: unknown): u is HttpClient.HttpClient => hasProperty(u, HttpClient.TypeId)

/** Adds to the context of the running fiber. */
const withInit = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<HttpClientRequest.HttpClientRequest> =>
  Effect.as(
    FiberRef.update(FiberRef.currentContext, (context) =>
      Context.add(
        context,
        FetchHttpClient.RequestInit,
        initOf(Option.getOrUndefined(Context.getOption(context, FetchHttpClient.RequestInit)), request)
      )),
    request
  )

/** One for each tracer, made once and not for each request. */
const discreetly = new WeakMap<Tracer.Tracer, Tracer.Tracer>()

/** The program's tracer, whose spans are not told what requests hold. */
const discreet = (tracer: Tracer.Tracer): Tracer.Tracer => {
  const known = discreetly.get(tracer)
  if (known !== undefined) return known
  const made = Tracer.make({
    span: (...args) => {
      const span = tracer.span(...args)
      const end = span.end.bind(span)
      const value: typeof end = (time, exit) => end(time, bare(exit))
      // The span stays the tracer's own, which knows it again when it is a parent.
      Reflect.defineProperty(span, "end", { value, configurable: true, writable: true })
      return span
    },
    context: tracer.context.bind(tracer)
  })
  discreetly.set(tracer, made)
  return made
}

/** The tracer of a program that has none. */
const native = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** A request makes a span where a tracer of the program's is told of it, or the server is. */
const inSpan = <A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tracerWith((tracer) =>
    tracer !== native ? Effect.withTracer(request, discreet(tracer)) : Effect.flatMap(
      FiberRef.get(HttpClient.currentTracerPropagation),
      (propagates) => propagates ? request : Effect.locally(request, HttpClient.currentTracerDisabledWhen, constTrue)
    )
  )

/**
 * A layer of the platform keeps the context it was built in, and shows it to nothing but its own step from request to
 * answer. So the init is added there, under all middleware, and the caller gets its own context back.
 */
const underneath = (client: HttpClient.HttpClient): HttpClient.HttpClient => {
  const { execute } = HttpClient.mapRequestEffect(client, withInit)
  return HttpClient.makeWith(
    (request: Effect.Effect<HttpClientRequest.HttpClientRequest>) =>
      Effect.flatMap(
        request,
        (request) => inSpan(Effect.mapInputContext(execute(request), (context: Context.Context<never>) => context))
      ),
    Effect.succeed
  )
}

/** With the program's own middleware, which may throw, and may return anything. */
export const transformed = (client: HttpClient.HttpClient, { transformClient }: RWKVConfig.Service) => {
  const refuse = (message: string) => invalid("RWKVConfig.make", "transformClient", message)
  return Effect.try({
    try: () => Option.liftPredicate(isClient)(transformClient(underneath(client))),
    catch: () => refuse("must not throw")
  }).pipe(Effect.flatMap(Effect.mapError(() => refuse("must return an HttpClient"))))
}

/** @param hidden names of headers that spans do not show, beside those that are never shown */
export const make = (
  client: HttpClient.HttpClient,
  hidden: Effect.Effect<ReadonlyArray<string>>
): HttpClient.HttpClient =>
  client.pipe(
    HttpClient.transformResponse((answer) =>
      Effect.flatMap(Telemetry, ({ propagation = false }) =>
        Effect.flatMap(hidden, (hidden) =>
          answer.pipe(
            // Tracing headers are not asked for: they leave the trust of the program, and force browsers into
            // preflights.
            Effect.locally(HttpClient.currentTracerPropagation, propagation),
            Effect.locallyWith(Headers.currentRedactedNames, (names) => [...names, unshown, ...hidden])
          )))
    )
  )
