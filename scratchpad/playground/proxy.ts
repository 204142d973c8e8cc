/** A request of the page, handed on to a real server: bodies as they come, nothing buffered. */
import { type HttpApp, HttpClient, HttpClientRequest, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Config, Effect, Option, Redacted, Stream } from "effect"

const passed = (headers: Readonly<Record<string, string>>, names: ReadonlyArray<string>) =>
  Object.fromEntries(names.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, value]]
  }))

export const proxy = (baseUrl: string) =>
  Effect.gen(function*() {
    const key = yield* Config.option(Config.redacted("RWKV_API_KEY"))
    const base = baseUrl.replace(/\/+$/, "").replace(/\/v1$/, "")
    const client = (yield* HttpClient.HttpClient).pipe(
      HttpClient.mapRequest((request) =>
        Option.match(key, {
          onNone: () => request,
          onSome: (key) => HttpClientRequest.bearerToken(request, Redacted.value(key))
        })
      )
    )
    const app: HttpApp.Default<never, never> = Effect.gen(function*() {
      const { headers, method, text, url } = yield* HttpServerRequest.HttpServerRequest
      const body = yield* text
      const request = HttpClientRequest.make(method)(`${base}${url}`).pipe(
        HttpClientRequest.setHeaders(passed(headers, ["accept", "content-type"])),
        body === "" ? (request) => request : HttpClientRequest.bodyText(body, headers["content-type"])
      )
      const response = yield* client.execute(request)
      const stream = Stream.concat(Stream.make(new Uint8Array()), response.stream)
      return HttpServerResponse.stream(stream, {
        status: response.status,
        headers: passed(response.headers, ["content-type", "cache-control", "retry-after", "x-request-id"])
      })
    }).pipe(
      Effect.catchAll(() => Effect.succeed(HttpServerResponse.text(`No answer from ${base}`, { status: 502 })))
    )
    return app
  })
