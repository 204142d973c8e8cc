/**
 * A raw TCP server that plays bytes: whatever a server, a proxy or a network may send, at any border and with any end.
 */
import { FetchHttpClient, type HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Layer, Schedule, type Scope } from "effect"
import { RWKV, type RWKVConfig } from "effect-rwkv"
import { createServer, type Socket } from "node:net"

export interface Request {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Step =
  | { readonly _tag: "Write"; readonly bytes: Uint8Array }
  | { readonly _tag: "Wait"; readonly millis: number }
  | { readonly _tag: "Pour"; readonly bytes: Uint8Array; readonly times: number }
  | { readonly _tag: "Hang" }
  | { readonly _tag: "Reset" }
  | { readonly _tag: "End" }

/** What to play for a request; the number is how many this server has had before. */
export type Script = (request: Request, index: number) => ReadonlyArray<Step>

export interface Server {
  readonly baseUrl: string
  readonly requests: ReadonlyArray<Request>
  /** Sockets open right now; global fetch keeps idle ones for a while. */
  readonly sockets: () => number
  /** Answers that are being played to a socket that is still open. */
  readonly busy: () => number
  readonly accepted: () => number
  /** Bytes that `pour` could write. */
  readonly poured: () => number
}

const encoder = new TextEncoder()
const bytesOf = (text: string | Uint8Array) => typeof text === "string" ? encoder.encode(text) : text

export const write = (text: string | Uint8Array): Step => ({ _tag: "Write", bytes: bytesOf(text) })
export const wait = (millis: number): Step => ({ _tag: "Wait", millis })
/** Writes the same bytes many times, as fast as the other side reads. */
export const pour = (text: string | Uint8Array, times: number): Step => ({ _tag: "Pour", bytes: bytesOf(text), times })
/** Silence until the other side goes. */
export const hang: Step = { _tag: "Hang" }
export const reset: Step = { _tag: "Reset" }
export const end: Step = { _tag: "End" }

/** Each of these bytes in a segment of its own, or pieces of this size. */
export const pieces = (text: string | Uint8Array, size = 1): ReadonlyArray<Step> => {
  const bytes = bytesOf(text)
  return Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, index) => write(bytes.subarray(index * size, (index + 1) * size))
  ).flatMap((step) => [step, wait(0)])
}

export const head = (status: string, headers: Readonly<Record<string, string | number>>): string =>
  `HTTP/1.1 ${status}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`

export const answer = (
  status: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string | number>> = { "content-type": "application/json" }
): ReadonlyArray<Step> => {
  const bytes = bytesOf(body)
  return [write(head(status, { ...headers, "content-length": bytes.length })), write(bytes)]
}

export const json = (body: unknown): ReadonlyArray<Step> => answer("200 OK", JSON.stringify(body))

export const chunk = (text: string | Uint8Array): Uint8Array => {
  const bytes = bytesOf(text)
  const start = encoder.encode(`${bytes.length.toString(16)}\r\n`)
  const all = new Uint8Array(start.length + bytes.length + 2)
  all.set(start)
  all.set(bytes, start.length)
  all.set([13, 10], start.length + bytes.length)
  return all
}

export const lastChunk = "0\r\n\r\n"

export const streamHead = head("200 OK", {
  "content-type": "text/event-stream; charset=utf-8",
  "transfer-encoding": "chunked"
})

export const data = (text: string): string => `data: {"data": ${JSON.stringify(text)}}\n\n`

export const done = "data: [DONE]\n\n"

/** A whole event stream of these texts. */
export const stream = (...texts: ReadonlyArray<string>): ReadonlyArray<Step> => [
  write(streamHead),
  write(chunk(texts.map(data).join("") + done)),
  write(lastChunk)
]

export const id = `TMP_${"0123456789abcdef".repeat(2)}`

export const resultOf = (text: string, finished = true) => ({
  task_id: id,
  result: text,
  prefill_time: 0.01,
  gen_time: finished ? 1.5 : 0,
  speed: 20,
  finished
})

export const infoOf = (status: number, generated = 3) => ({ task_id: id, generated_buf: generated, status })

/** A server with one finished task; `on` changes what it plays for requests whose path ends so. */
export const task = (text: string, on: Readonly<Record<string, Script>> = {}): Script => {
  const counts = new Map<string, number>()
  return (request, index) => {
    const verb = request.path.split("?")[0]?.split("/").at(-1) ?? ""
    const count = counts.get(verb) ?? 0
    counts.set(verb, count + 1)
    const own = on[verb]
    if (own !== undefined) return own(request, count)
    switch (verb) {
      case "tmp":
      case "create":
        return JSON.parse(request.body).stream === true
          ? [
            write(streamHead),
            write(chunk(`data: {"task_id": "${id}", "prefill_time": 0.01}\n\n${data(text)}${done}`)),
            write(lastChunk)
          ]
          : json(resultOf("", false))
      case "stream":
        return stream(text)
      case "get_result":
        return json(resultOf(text))
      case "status":
      case "stop":
      case "delete":
        return json(infoOf(3))
      default:
        return answer("404 Not Found", `{"detail":"Not Found at ${index}"}`)
    }
  }
}

const parse = (text: string): { readonly request: Request; readonly length: number } | undefined => {
  const border = text.indexOf("\r\n\r\n")
  if (border < 0) return undefined
  const [first = "", ...lines] = text.slice(0, border).split("\r\n")
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  }))
  const length = border + 4 + Number(headers["content-length"] ?? 0)
  if (text.length < length) return undefined
  const [method = "", path = ""] = first.split(" ")
  return { request: { method, path, headers, body: text.slice(border + 4, length) }, length }
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Plays the script until the scope ends; `greeting` is played to a connection before any request. */
export const serve = (script: Script, greeting: ReadonlyArray<Step> = []): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: Server; readonly close: () => void }>((resume) => {
      const requests: Array<Request> = []
      const open = new Set<Socket>()
      let accepted = 0
      let poured = 0
      let busy = 0
      const closed = (socket: Socket) =>
        new Promise<void>((resolve) => socket.destroyed ? resolve() : socket.once("close", () => resolve()))
      const play = async (socket: Socket, steps: ReadonlyArray<Step>) => {
        busy++
        await perform(socket, steps).finally(() => {
          busy--
        })
      }
      const perform = async (socket: Socket, steps: ReadonlyArray<Step>) => {
        for (const step of steps) {
          if (socket.destroyed) return
          switch (step._tag) {
            case "Write":
              socket.write(step.bytes)
              break
            case "Wait":
              await sleep(step.millis)
              break
            case "Pour":
              for (let i = 0; i < step.times && !socket.destroyed; i++) {
                poured += step.bytes.length
                if (!socket.write(step.bytes)) {
                  await Promise.race([new Promise<void>((resolve) => socket.once("drain", resolve)), closed(socket)])
                }
              }
              break
            case "Hang":
              await closed(socket)
              break
            case "Reset":
              socket.resetAndDestroy()
              return
            case "End":
              socket.end()
              return
          }
        }
      }
      const server = createServer((socket) => {
        accepted++
        open.add(socket)
        socket.setNoDelay(true)
        socket.on("close", () => open.delete(socket))
        socket.on("error", () => {})
        let text = ""
        let turn: Promise<void> = play(socket, greeting)
        socket.on("data", (bytes) => {
          text += bytes.toString("latin1")
          for (let found = parse(text); found !== undefined; found = parse(text)) {
            text = text.slice(found.length)
            const { request } = found
            requests.push({ ...request, body: Buffer.from(request.body, "latin1").toString("utf8") })
            const steps = script(request, requests.length - 1)
            turn = turn.then(() => play(socket, steps))
          }
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({
          server: {
            baseUrl: `http://127.0.0.1:${port}`,
            requests,
            sockets: () => open.size,
            busy: () => busy,
            accepted: () => accepted,
            poured: () => poured
          },
          close: () => {
            for (const socket of open) socket.destroy()
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ server }) => server))

/** Until a condition holds, or for a second. */
export const eventually = (condition: () => boolean, millis = 1000): Effect.Effect<boolean> =>
  Effect.suspend(() => condition() ? Effect.succeed(true) : Effect.fail("not yet")).pipe(
    Effect.retry(Schedule.spaced(5).pipe(Schedule.upTo(millis))),
    Effect.catchAll(() => Effect.sync(condition))
  )

/** Three more attempts at once. */
export const quickly = Schedule.spaced("1 millis").pipe(Schedule.intersect(Schedule.recurs(3)))

export type Http = Layer.Layer<HttpClient.HttpClient>

export const https: ReadonlyArray<readonly [string, Http]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici]
]

export const client =
  (server: Server, http: Http, options: RWKVConfig.Options = {}) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
    program.pipe(
      Effect.provide(
        RWKV.layer({ baseUrl: server.baseUrl, retry: quickly, requestTimeout: "2 seconds", ...options }).pipe(
          Layer.provide(http)
        )
      )
    )

/** One test for each HTTP layer, over a real socket. */
export const overBoth = (
  name: string,
  test: (http: Http, name: string) => Effect.Effect<void, unknown, Scope.Scope>
): void => {
  for (const [layer, http] of https) it.live(`${name} (${layer})`, () => Effect.scoped(test(http, layer)), 120_000)
}
