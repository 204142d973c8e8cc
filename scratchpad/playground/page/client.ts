/** The SDK in a page: streams read from ports of their own, and every request told to the run that makes it. */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect, FiberRef, ManagedRuntime } from "effect"
import { RWKV } from "effect-rwkv"
import type { Info } from "../info.js"

export interface Line {
  readonly kind: "request" | "answer" | "event" | "fault"
  readonly text: string
}

/** Where the requests of a run are written down. The SDK's middleware sees the FiberRefs of the program. */
export const log = FiberRef.unsafeMake<(line: Line) => void>(() => {})

const readsStream = ({ method, url }: HttpClientRequest.HttpClientRequest) =>
  (method === "GET" ? /\/stream(\?|$)/ : /\/fork(\?|$)/).test(url)

const logged = (client: HttpClient.HttpClient) =>
  HttpClient.transform(client, (answer, { method, url }) =>
    Effect.flatMap(FiberRef.get(log), (tell) => {
      const { pathname, search } = new URL(url)
      tell({ kind: "request", text: `${method} ${pathname}${search}` })
      const began = performance.now()
      return Effect.tap(answer, ({ status }) =>
        Effect.sync(() =>
          tell({ kind: "answer", text: `${status} in ${Math.round(performance.now() - began)} ms` })
        ))
    }))

/** Six connections to an origin are all that a browser opens: streams take turns on several. */
const spread = (ports: ReadonlyArray<number>) => {
  let next = 0
  return HttpClient.mapRequest((request) => {
    const port = ports[next % Math.max(1, ports.length)]
    if (port === undefined || !readsStream(request)) return request
    next++
    const url = new URL(request.url)
    url.port = `${port}`
    return HttpClientRequest.setUrl(request, url.href)
  })
}

export const makeRuntime = ({ streamPorts }: Info) =>
  ManagedRuntime.make(RWKV.layerFetch({
    baseUrl: location.origin,
    transformClient: (client) => logged(spread(streamPorts)(client))
  }))

export type Runtime = ReturnType<typeof makeRuntime>
