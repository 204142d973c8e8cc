/**
 * One request to the server: sent with the configuration's headers, bounded in time and size, never redirected elsewhere, and
 * failed by type.
 *
 * @internal
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, RWKVDecodeError, RWKVTimeoutError } from "../../RWKVError.js"
import * as Body from "./body.js"
import { ended, type Feed, type Signal, toStream } from "../stream/connection.js"
import { breach } from "./breach.js"
import { excerptWithout } from "./redaction.js"
import { fromStatus } from "./status.js"
import { fromTransport, type Subject } from "./transport.js"
import { excerpt } from "../input/excerpt.js"
import * as Json from "../input/json.js"
import { type Frame, makeDecoder } from "./sse.js"
import { runtimeOf, start } from "../start.js"
import { isTraced } from "../trace.js"
import * as validate from "../input/validate.js"

/**
 * `refuse` turns an answer into a failure that only this call knows.
 *
 * @internal
 */
export interface Call<E> extends Subject {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object | undefined
  readonly refuse?: ((status: number, body: string) => E | undefined) | undefined
}

/** @internal */
export interface Requests {
  /** The answer decoded by a Schema. */
  readonly json: <A, I, E = never>(call: Call<E>, schema: Schema.Schema<A, I>) => Effect.Effect<A, CallFailure | E>
  /** Any 2xx answer: its body if it has this shape. */
  readonly accepted: <A, I, E = never>(
    call: Call<E>,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<Option.Option<A>, CallFailure | E>
  /** The frames of an event stream; the connection is closed with the stream. */
  readonly frames: <E = never>(call: Effect.Effect<Call<E>, CallFailure>) => Stream.Stream<Frame, CallFailure | E>
}

/** Headers that spans may show. All others are hidden there: a proxy may echo a secret under any name. */
const unshown = /^(?!(?:accept|allow|content-(?:encoding|length|type)|date|retry-after|server|transfer-encoding)$)/i

/** Header values as a server may echo them, the longest first, for one may contain another. */
const echoes = (headers: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.values(headers)
    .flatMap((value) => [value, value.replace(/^\w+ /, "")])
    .flatMap((value) => [value, JSON.stringify(value).slice(1, -1)])
    .filter((value) => value.length > 3)
    .sort((a, b) => b.length - a.length)

const isOk = ({ status }: HttpClientResponse.HttpClientResponse) => status >= 200 && status < 300

type Answer = HttpClientResponse.HttpClientResponse

/** @internal */
export const make = (platformClient: HttpClient.HttpClient, config: RWKVConfig.Service): Requests => {
  const headers = Redacted.value(config.headers)
  const secrets = echoes(headers)
  /** How to say what is said about a call: without the secrets of the configuration, and the texts of the call. */
  const sayOf = (call: Call<unknown>) => {
    const say = call.body === undefined ? excerpt : excerptWithout(call.body)
    return (text: string) => say(secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text))
  }
  const { host, origin } = new URL(config.baseUrl)
  const hidden = [unshown, ...Object.keys(headers)]
  const client = HttpClient.withScope(config.transformClient(platformClient))

  const about = ({ operation, taskId }: Subject) => ({ operation, taskId })

  const tooLarge = (call: Call<unknown>) =>
    new RWKVDecodeError({ ...about(call), description: `larger than ${config.maxResponseSize} bytes` })

  const cut = (call: Call<unknown>, response: Answer) => (cause: unknown) =>
    fromTransport(call, host)(
      new HttpClientError.ResponseError({ request: response.request, response, reason: "Decode", cause })
    )

  const readBody = (call: Call<unknown>, response: Answer) =>
    Effect.mapError(
      Body.text(response, config.maxResponseSize, () => tooLarge(call)),
      (cause) => cause instanceof RWKVDecodeError ? cause : cut(call, response)(cause)
    )

  const requestTo = (method: "GET" | "POST", accept: string) =>
    HttpClientRequest.setHeaders(HttpClientRequest.make(method)(config.baseUrl, { headers: { accept } }), headers)
  const forms = {
    json: { GET: requestTo("GET", "application/json"), POST: requestTo("POST", "application/json") },
    frames: { GET: requestTo("GET", "text/event-stream"), POST: requestTo("POST", "text/event-stream") }
  }

  /** Where a redirect leads that repeats the request as it is on the same server: a slash at the end of a path. */
  const movedTo = (response: Answer): string | undefined => {
    if (response.status !== 307 && response.status !== 308) return undefined
    const location = response.headers["location"]
    if (location === undefined || !URL.canParse(location, response.request.url)) return undefined
    const url = new URL(location, response.request.url)
    return url.origin === origin ? url.href : undefined
  }

  const refuse = <E>(call: Call<E>, response: Answer): Effect.Effect<never, CallFailure | E> =>
    readBody(call, response).pipe(
      // The status says enough when the explanation is too long to be read.
      Effect.catchTag("RWKVDecodeError", () => Effect.succeed("")),
      Effect.flatMap((body): Effect.Effect<never, CallFailure | E> => {
        const own = call.refuse?.(response.status, body)
        return own === undefined ? fromStatus(about(call), response, body, sayOf(call)) : Effect.fail(own)
      })
    )

  /** Sends a call and goes on with the answer, if it is a good one. */
  const exchange = <A, E, R>(
    call: Call<E>,
    form: keyof typeof forms,
    read: (response: Answer) => Effect.Effect<A, CallFailure | E, R>
  ): Effect.Effect<A, CallFailure | E, R | Scope.Scope> => {
    const execute = (
      request: HttpClientRequest.HttpClientRequest,
      moved: boolean
    ): Effect.Effect<A, CallFailure | E, R | Scope.Scope> => {
      const onSuccess = (response: Answer): Effect.Effect<A, CallFailure | E, R | Scope.Scope> => {
        if (isOk(response)) return read(response)
        const url = moved ? undefined : movedTo(response)
        return url === undefined
          ? refuse(call, response)
          : Effect.zipRight(readBody(call, response), execute(HttpClientRequest.setUrl(request, url), true))
      }
      return Effect.matchEffect(client.execute(request), {
        onSuccess,
        onFailure: (error) =>
          // A client that was changed to fail for statuses has an answer all the same.
          error._tag === "ResponseError" && error.reason === "StatusCode"
            ? onSuccess(error.response)
            : Effect.fail(fromTransport(call, host)(error))
      })
    }
    const request = HttpClientRequest.setUrl(forms[form][call.method], config.baseUrl + call.path)
    return call.body === undefined
      ? execute(request, false)
      : Effect.matchEffect(HttpBody.json(call.body), {
        onFailure: () => Effect.fail(validate.invalid(call.operation, "", "is too large to be sent")),
        onSuccess: (body) => execute(HttpClientRequest.setBody(request, body), false)
      })
  }

  /** What a request's own fiber has beside what the caller's has. */
  const surroundings = (fiber: Fiber.RuntimeFiber<unknown, unknown>, scope: Scope.Scope) => {
    const context = fiber.currentContext
    // A client of the program's own may bring a tracer.
    const traced = config.transformClient === identity
      ? isTraced(fiber)
      : fiber.getFiberRef(FiberRef.currentTracerEnabled)
    return {
      runtime: runtimeOf(
        fiber,
        context.pipe(
          Context.add(Scope.Scope, scope),
          // fetch would repeat a POST as a GET, and hand every header but one to another origin.
          Context.add(FetchHttpClient.RequestInit, {
            ...Option.getOrUndefined(Context.getOption(context, FetchHttpClient.RequestInit)),
            redirect: "manual"
          })
        )
      ),
      updateRefs: (refs: FiberRefs.FiberRefs, fiberId: Parameters<typeof FiberRefs.forkAs>[1]) =>
        FiberRefs.updateManyAs(refs, {
          entries: [
            [Headers.currentRedactedNames, [[fiberId, [
              ...fiber.getFiberRef(Headers.currentRedactedNames),
              ...hidden
            ]]]],
            // Tracing headers are not asked for: they leave the trust of the program, and force browsers into preflights.
            [HttpClient.currentTracerPropagation, [[fiberId, false]]],
            [FiberRef.currentTracerEnabled, [[fiberId, traced]]]
          ]
        })
    }
  }

  const limitOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>, call: Call<unknown>) => ({
    clock: Context.get(fiber.currentDefaultServices, Clock.Clock),
    duration: config.requestTimeout,
    expired: () => new RWKVTimeoutError({ ...about(call), kind: "request", limit: config.requestTimeout })
  })

  /** An exchange within the time of a request. What it leaves open when it fails is closed. */
  const bounded = <A, E>(
    call: Call<E>,
    effect: Effect.Effect<A, E, Scope.Scope>
  ): Effect.Effect<A, E | RWKVTimeoutError> =>
    Effect.flatMap(Scope.make(), (scope) =>
      Effect.withFiberRuntime<A, E | RWKVTimeoutError>((fiber) => {
        const { runtime, updateRefs } = surroundings(fiber, scope)
        const close = (exit: Exit.Exit<unknown, unknown>) => Scope.close(scope, exit)
        return Effect.async((resume) => {
          const { interrupt } = start(runtime, effect, {
            limit: limitOf(fiber, call),
            updateRefs,
            onExit: (exit) => resume(Exit.isSuccess(exit) ? exit : Effect.zipRight(close(exit), exit))
          })
          return Effect.zipRight(interrupt, close(Exit.void))
        })
      }))

  const parse = <A, I>(call: Call<unknown>, schema: Schema.Schema<A, I>, body: string) => {
    const unreadable = (description: string) => new RWKVDecodeError({ ...about(call), description })
    if (body === "") return Either.left(unreadable("empty"))
    const json = Json.parse(body)
    if (Option.isNone(json)) return Either.left(unreadable("not JSON"))
    return Either.mapLeft(
      ParseResult.decodeUnknownEither(schema)(json.value),
      (error) => unreadable(breach(error))
    )
  }

  const answer = <A, E>(call: Call<E>, use: (body: string) => Effect.Effect<A, CallFailure>) =>
    bounded(call, exchange(call, "json", (response) => Effect.flatMap(readBody(call, response), use)))

  const readFrames =
    <E>(call: Call<E>, heard: (signal: Signal<CallFailure | E>) => void, over: () => void) => (response: Answer) => {
      if (!/^text\/event-stream\b/i.test(response.headers["content-type"] ?? "")) {
        return Effect.fail(new RWKVDecodeError({ ...about(call), description: "not an event stream" }))
      }
      const decoder = makeDecoder(config.maxFrameSize, sayOf(call))
      let told = false
      const tell = (frames: ReadonlyArray<Frame>, last?: Signal<CallFailure | E>) => {
        if (told) return
        if (frames.length > 0) heard({ _tag: "Frames", frames })
        told = last !== undefined
        if (last !== undefined) heard(last)
      }
      return Body.read(response, {
        // What comes after the end is read all the same: only a body that was read whole leaves its socket to others.
        bytes: (bytes) => tell(decoder.push(bytes), decoder.ended() ? ended : undefined),
        end: () => {
          over()
          tell(decoder.flush(), ended)
        },
        fail: (cause) => tell([], { _tag: "Broken", cause: Cause.map(cause, cut(call, response)) })
      })
    }

  const feed = <E>(resolved: Effect.Effect<Call<E>, CallFailure>): Feed<CallFailure | E> => (tell) =>
    Effect.flatMap(Scope.make(), (scope) =>
      Effect.withFiberRuntime((fiber) => {
        let closed = false
        let over = false
        let paused = false
        let reading: Body.Reading | undefined
        const heard = (signal: Signal<CallFailure | E>) => {
          if (!closed) tell(signal)
        }
        const opened = (exit: Exit.Exit<Body.Reading, CallFailure | E>) => {
          if (Exit.isFailure(exit)) return heard({ _tag: "Broken", cause: exit.cause })
          reading = exit.value
          if (paused) reading.pause()
        }
        const begin = (call: Call<E>) => {
          const { runtime, updateRefs } = surroundings(fiber, scope)
          const read = readFrames(call, heard, () => {
            over = true
          })
          return start(runtime, exchange(call, "frames", read), {
            limit: limitOf(fiber, call),
            updateRefs,
            onExit: opened
          })
        }
        return Effect.matchCause(resolved, {
          onFailure: (cause) => {
            heard({ _tag: "Broken", cause })
            return Effect.void
          },
          onSuccess: (call) => begin(call).interrupt
        }).pipe(Effect.map((interrupt) => ({
          pause: () => {
            paused = true
            reading?.pause()
          },
          resume: () => {
            paused = false
            reading?.resume()
          },
          close: Effect.suspend(() => {
            closed = true
            // Nothing is left of a body that was read whole.
            if (over) return Effect.void
            reading?.cancel()
            return Effect.zipRight(interrupt, Scope.close(scope, Exit.void))
          })
        })))
      }))

  return {
    json: (call, schema) => answer(call, (body) => parse(call, schema, body)),
    accepted: (call, schema) => answer(call, (body) => Effect.succeed(Either.getRight(parse(call, schema, body)))),
    frames: (resolved) => toStream(feed(resolved))
  }
}
