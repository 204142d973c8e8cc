/**
 * Sends a call and returns its answer: follows one redirect on the same server, and makes refusals typed failures.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty, isError } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, RWKVDecodeError } from "../../RWKVError.js"
import { excerpt } from "../input/excerpt.js"
import { about } from "../input/failure.js"
import { invalid } from "../input/validate.js"
import * as Body from "./body.js"
import { echoesOf, excerptWithout } from "./redaction.js"
import { fromStatus } from "./status.js"
import * as telemetry from "./telemetry.js"
import { fromTransport, type Subject } from "./transport.js"

/** One call. `refuse` maps a status to a failure that only this call has. */
export interface Call<E> extends Subject {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object | undefined
  /** Whether the answer holds text that has to be the server's own, byte for byte. */
  readonly exact?: boolean | undefined
  readonly refuse?: ((status: number, body: string) => E | undefined) | undefined
}

type Response = HttpClientResponse.HttpClientResponse

type Client<R> = HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>

/**
 * The URL of a 307 or 308 on the same server, as for a slash at the end of the path. URLs end up in spans and logs, so
 * one that repeats a secret or a prompt is not followed.
 */
const movedTo = (origin: string, { headers, request, status }: Response, say: (text: string) => string) => {
  if (status !== 307 && status !== 308) return undefined
  const location = headers["location"]
  if (location === undefined || !URL.canParse(location, request.url)) return undefined
  const url = new URL(location, request.url)
  const path = url.pathname + url.search
  const isClean = Option.exists(decoded(path), (text) => say(text) === text)
  return url.origin === origin && isClean ? origin + path : undefined
}

const decoded = Option.liftThrowable((path: string) => decodeURIComponent(path.replaceAll("+", " ")))

const answerIn = Option.liftThrowable((error: HttpClientError.HttpClientError) =>
  error._tag === "ResponseError" && error.reason === "StatusCode" ? error.response : undefined
)

/** Middleware may return anything as an answer. */
const isAnswer = (u: unknown): u is Response => hasProperty(u, HttpClientResponse.TypeId)

export type Exchange = ReturnType<typeof make>

/** @param config the settings, with the overrides in force for the request */
export const make = (config: RWKVConfig.Service) => {
  const headers = Redacted.value(config.headers)
  const secrets = echoesOf(headers)
  const { host, origin, pathname } = new URL(config.baseUrl)

  const hide = (text: string) => secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)

  /** Added to errors about an answer that seems to come from another server. */
  const hint = `is baseUrl right? Its path is ${excerpt(hide(pathname))}`

  /** How errors quote a call: without the secrets of the configuration, and the texts of the call. */
  const wordingOf = (call: Call<unknown>) => {
    const shown = excerptWithout(call.body)
    const say = (text: string) => shown(hide(text))
    return {
      say,
      broken: (error: HttpClientError.HttpClientError, died = false) => fromTransport(call, host, say, error, died)
    }
  }

  /** An answer, with what errors about it need. */
  const answerOf = (call: Call<unknown>, { broken, say }: ReturnType<typeof wordingOf>, response: Response) => {
    const given = config.requestIdHeaders.map((name) => response.headers[name]).find((id) => id !== undefined)
    const isShown = given !== undefined && /^[\x21-\x7e]{1,128}$/.test(given) && say(given) === given
    /** The id that a proxy gave the request, if it is printable and repeats no secret. */
    const requestId = isShown ? given : undefined
    return {
      broken,
      requestId,
      response,
      say,
      /** Adds the request's id to an error. */
      named: <E>(error: E): E => {
        if (requestId !== undefined && isError(error)) Reflect.set(error, "requestId", requestId)
        return error
      },
      text: (exact = false) =>
        Effect.mapError(
          Body.text(response, {
            limit: config.maxResponseSize,
            exact,
            fail: (description) => new RWKVDecodeError({ ...about(call), description })
          }),
          (error) => error._tag === "RWKVDecodeError" ? error : broken(error)
        )
    }
  }

  type Answer = ReturnType<typeof answerOf>

  const refuse = <E>(call: Call<E>, { response, say, text }: Answer): Effect.Effect<never, CallFailure | E> =>
    text().pipe(
      // Where the body is larger than the limit, the status alone decides.
      Effect.catchTag("RWKVDecodeError", () => Effect.succeed("")),
      Effect.flatMap((body): Effect.Effect<never, CallFailure | E> => {
        const own = call.refuse?.(response.status, body)
        return own === undefined ? fromStatus(about(call), response, body, say, hint) : Effect.fail(own)
      })
    )

  const send = <E, R>(call: Call<E>, client: Client<R>, accept: string): Effect.Effect<Answer, CallFailure | E, R> => {
    const wording = wordingOf(call)
    const execute = (
      request: HttpClientRequest.HttpClientRequest,
      moved = false
    ): Effect.Effect<Answer, CallFailure | E, R> =>
      Effect.suspend(() => client.execute(request)).pipe(
        // `transformClient` may make statuses fail; such a failure still holds the answer.
        Effect.catchAll((error) =>
          Effect.mapError(Option.flatMap(answerIn(error), Option.fromNullable), () => wording.broken(error))
        ),
        Effect.filterOrDieMessage(isAnswer, "what came is no answer"),
        // An HTTP layer throws if its runtime lacks something: a failure of the connection, not a defect.
        Effect.catchAllDefect((cause) =>
          Effect.fail(wording.broken(new HttpClientError.RequestError({ request, reason: "Transport", cause }), true))
        ),
        Effect.flatMap((response): Effect.Effect<Answer, CallFailure | E, R> => {
          const answer = answerOf(call, wording, response)
          if (response.status >= 200 && response.status < 300) return Effect.succeed(answer)
          const url = moved ? undefined : movedTo(origin, response, wording.say)
          return url === undefined
            ? Effect.mapError(refuse(call, answer), answer.named)
            : Effect.zipRight(Effect.ignore(answer.text()), execute(HttpClientRequest.setUrl(request, url), true))
        })
      )
    const request = HttpClientRequest.make(call.method)(config.baseUrl + call.path, { headers: { accept, ...headers } })
    const { body } = call
    return body === undefined ? execute(request) : Effect.matchEffect(HttpBody.json(body), {
      onFailure: () => Effect.fail(invalid(call.operation, "", "is too large to be sent")),
      onSuccess: (json) =>
        Effect.zipRight(telemetry.note(({ sent }) => sent(body)), execute(HttpClientRequest.setBody(request, json)))
    })
  }

  return { hint, send }
}
