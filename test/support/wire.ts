import * as Http from "@effect/platform"
import { Effect, Exit } from "effect"
import { HttpClient, RWKVConfig } from "effect-rwkv"

export const origin = "http://localhost:8000"

/** A request as it left the SDK. */
export interface Sent {
  readonly method: string
  readonly url: string
  /** Path and query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Respond = (
  sent: Sent,
  request: Http.HttpClientRequest.HttpClientRequest
) => Response | Effect.Effect<Response, Http.HttpClientError.HttpClientError>

const bodyOf = (body: Http.HttpBody.HttpBody) => body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""

/** The platform's HttpClient, which records what is sent and answers as told. */
export const platform = (respond: Respond) => {
  const sent: Array<Sent> = []
  const client = Http.HttpClient.make((request, url) =>
    Effect.suspend(() => {
      const one: Sent = {
        method: request.method,
        url: url.href,
        path: url.pathname + url.search,
        headers: { ...request.headers },
        body: bodyOf(request.body)
      }
      sent.push(one)
      const response = respond(one, request)
      const web = response instanceof Response ? Effect.succeed(response) : response
      return Effect.map(web, (web) => Http.HttpClientResponse.fromWeb(request, web))
    })
  )
  return { client, sent }
}

/** The endpoints over any platform. */
export const over = (client: Http.HttpClient.HttpClient, options?: RWKVConfig.Options) =>
  HttpClient.make.pipe(
    Effect.provideServiceEffect(RWKVConfig.RWKVConfig, RWKVConfig.make(options)),
    Effect.provideService(Http.HttpClient.HttpClient, client),
    Effect.map((http) => ({ http }))
  )

/** The endpoints over a platform that answers as told. */
export const make = (respond: Respond, options?: RWKVConfig.Options) => {
  const { client, sent } = platform(respond)
  return Effect.map(over(client, options), ({ http }) => ({ http, sent }))
}

export const text = (body: string, status = 200, headers: Readonly<Record<string, string>> = {}) =>
  new Response(status === 204 ? null : body, {
    status,
    headers: { "content-type": "application/json", "content-length": String(new Blob([body]).size), ...headers }
  })

export const json = (body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}) =>
  text(JSON.stringify(body), status, headers)

export const created = {
  task_id: "TMP_1",
  result: "",
  prefill_time: 0.5,
  gen_time: 0,
  speed: 0,
  finished: false
}

export const info = { task_id: "TMP_1", generated_buf: 5, status: 3 }

export const list = {
  cpu_cache_count: 1,
  database_count: 2,
  total_count: 3,
  cpu_tasks: ["TMP_1"],
  db_tasks: ["TASK_1"]
}

export const models = {
  object: "list",
  data: [{ id: "rwkv-7", object: "model", created: 1795392104, owned_by: "rwkv" }]
}

/** What the real server says to each path. */
export const ok: Respond = ({ path }) =>
  path.includes("/list") ?
    json(list) :
    path.includes("/models") ?
    json(models) :
    /\/(status|stop|delete)/.test(path) ?
    json(info) :
    json(created)

export const events = (...payloads: ReadonlyArray<string>) =>
  new Response(payloads.map((payload) => `data: ${payload}\n\n`).join(""), {
    headers: { "content-type": "text/event-stream; charset=utf-8" }
  })

/** A connection that broke, as the platform reports it. */
export const broken = (request: Http.HttpClientRequest.HttpClientRequest, code: string) =>
  Effect.fail(
    new Http.HttpClientError.RequestError({
      request,
      reason: "Transport",
      cause: new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) })
    })
  )

const assumeNever: (value: unknown) => asserts value is never = () => {}

/** A value as a caller without types may pass it anywhere. */
export const untyped = (value: unknown): never => {
  assumeNever(value)
  return value
}

/** The failure, and no other exit. */
export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: Effect.succeed,
    onSuccess: (value) => Effect.dieMessage(`succeeded with ${String(Exit.succeed(value))}`)
  })
