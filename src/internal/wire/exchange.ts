/**
 * From a call to its answer: sent, followed to where the same server says it has moved, and failed by type if it is
 * refused.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isError } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, RWKVDecodeError } from "../../RWKVError.js"
import { excerpt } from "../input/excerpt.js"
import { invalid } from "../input/validate.js"
import * as Body from "./body.js"
import { echoesOf, excerptWithout } from "./redaction.js"
import { fromStatus } from "./status.js"
import * as telemetry from "./telemetry.js"
import { fromTransport, type Subject } from "./transport.js"

/** `refuse` turns an answer into a failure that only this call knows. */
export interface Call<E> extends Subject {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: object | undefined
  /** Whether the answer holds text that has to be the server's own, byte for byte. */
  readonly exact?: boolean | undefined
  readonly refuse?: ((status: number, body: string) => E | undefined) | undefined
}

type Answer = HttpClientResponse.HttpClientResponse

type Client<R> = HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>

export const about = ({ operation, taskId }: Subject) => ({ operation, taskId })

/**
 * Where a redirect leads that repeats the request as it is on the same server: a slash at the end of a path. Addresses
 * end up in spans and logs of others, so one that repeats a secret or a prompt is not followed.
 */
const movedTo = (origin: string, { headers, request, status }: Answer, say: (text: string) => string) => {
  if (status !== 307 && status !== 308) return undefined
  const location = headers["location"]
  if (location === undefined || !URL.canParse(location, request.url)) return undefined
  const url = new URL(location, request.url)
  const path = url.pathname + url.search
  const told = Option.exists(decoded(path), (text) => say(text) === text)
  return url.origin === origin && told ? origin + path : undefined
}

const decoded = Option.liftThrowable((path: string) => decodeURIComponent(path.replaceAll("+", " ")))

const answerIn = Option.liftThrowable((error: HttpClientError.HttpClientError) =>
  error._tag === "ResponseError" && error.reason === "StatusCode" ? error.response : undefined
)

export type Exchange = ReturnType<typeof make>

/** @param config the settings as they hold for the request */
export const make = (config: RWKVConfig.Service) => {
  const headers = Redacted.value(config.headers)
  const secrets = echoesOf(headers)
  const { host, origin, pathname } = new URL(config.baseUrl)

  /** How to say what is said about a call: without the secrets of the configuration, and the texts of the call. */
  const sayOf = (call: Call<unknown>) => {
    const say = call.body === undefined ? excerpt : excerptWithout(call.body)
    return (text: string) => say(hide(text))
  }

  const hide = (text: string) => secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)

  const broken = (call: Call<unknown>) => (error: HttpClientError.HttpClientError, died = false) =>
    fromTransport(call, host, sayOf(call), error, died)

  /** Said of answers that look as if somebody else had been asked. */
  const hint = `is baseUrl right? Its path is ${excerpt(hide(pathname))}`

  /** The id that a proxy gave the request, if it is one and repeats no secret. */
  const requestIdOf = (call: Call<unknown>, { headers }: Answer): string | undefined => {
    const id = config.requestIdHeaders.map((name) => headers[name]).find((id) => id !== undefined)
    return id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) && sayOf(call)(id) === id ? id : undefined
  }

  /** Names the request in the errors about its answer. */
  const named = (call: Call<unknown>, response: Answer) => <E>(error: E): E => {
    const requestId = requestIdOf(call, response)
    if (requestId !== undefined && isError(error)) Reflect.set(error, "requestId", requestId)
    return error
  }

  const readBody = (call: Call<unknown>, response: Answer, exact = call.exact === true) =>
    Effect.mapError(
      Body.text(response, {
        limit: config.maxResponseSize,
        exact,
        fail: (description) => new RWKVDecodeError({ ...about(call), description })
      }),
      (error) => error._tag === "RWKVDecodeError" ? error : broken(call)(error)
    )

  const refuse = <E>(call: Call<E>, response: Answer): Effect.Effect<never, CallFailure | E> =>
    readBody(call, response, false).pipe(
      // The status says enough when the explanation is too long to be read.
      Effect.catchTag("RWKVDecodeError", () => Effect.succeed("")),
      Effect.flatMap((body): Effect.Effect<never, CallFailure | E> => {
        const own = call.refuse?.(response.status, body)
        return own === undefined ? fromStatus(about(call), response, body, sayOf(call), hint) : Effect.fail(own)
      })
    )

  const execute = <E, R>(
    call: Call<E>,
    client: Client<R>,
    request: HttpClientRequest.HttpClientRequest,
    moved = false
  ): Effect.Effect<Answer, CallFailure | E, R> =>
    Effect.suspend(() => client.execute(request)).pipe(
      // A client that was changed to fail for statuses has an answer all the same.
      Effect.catchAll((error) =>
        Effect.mapError(Option.flatMap(answerIn(error), Option.fromNullable), () => broken(call)(error))
      ),
      // What an HTTP layer throws because its runtime lacks something is a failure of the connection.
      Effect.catchAllDefect((cause) =>
        Effect.fail(broken(call)(new HttpClientError.RequestError({ request, reason: "Transport", cause }), true))
      ),
      Effect.flatMap((response): Effect.Effect<Answer, CallFailure | E, R> => {
        if (response.status >= 200 && response.status < 300) return Effect.succeed(response)
        const url = moved ? undefined : movedTo(origin, response, sayOf(call))
        if (url === undefined) return Effect.mapError(refuse(call, response), named(call, response))
        const again = execute(call, client, HttpClientRequest.setUrl(request, url), true)
        return Effect.zipRight(Effect.ignore(readBody(call, response)), again)
      })
    )

  const send = <E, R>(call: Call<E>, client: Client<R>, accept: string): Effect.Effect<Answer, CallFailure | E, R> => {
    const request = HttpClientRequest.make(call.method)(config.baseUrl + call.path, { headers: { accept, ...headers } })
    const { body } = call
    return body === undefined ? execute(call, client, request) : Effect.matchEffect(HttpBody.json(body), {
      onFailure: () => Effect.fail(invalid(call.operation, "", "is too large to be sent")),
      onSuccess: (json) =>
        Effect.zipRight(
          telemetry.note(({ sent }) => sent(body)),
          execute(call, client, HttpClientRequest.setBody(request, json))
        )
    })
  }

  return { broken, hint, named, readBody, requestIdOf, sayOf, send }
}
