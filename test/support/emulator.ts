import { HttpClientRequest, type HttpClientResponse } from "@effect/platform"
import { Effect, Fiber, type Scope, Stream, TestClock } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { origin } from "./wire.js"

const letters = (count: number): string =>
  Array.from({ length: count }, (_, index) => String.fromCharCode(97 + index % 26)).join("")

const emoji = [Uint8Array.of(0xf0, 0x9f), Uint8Array.of(0x8c, 0x8d)]

/** The scripts of golden/README.md. Its own recordings show what it leaves out: 2 goes on with 30 letters. */
const scripts: Readonly<Record<number, Emulator.Script>> = {
  0: { tokens: [...letters(26)], end: "loop" },
  1: { tokens: [...letters(10)] },
  2: { tokens: [...letters(31), ...emoji, ...letters(30)] },
  3: { tokens: [..."abc"], end: "user" },
  4: { tokens: [...letters(32)] },
  6: { tokens: [...letters(31), Uint8Array.of(0xf0, 0x9f)] }
}

export const standIn = (request: Emulator.PromptRequest): Emulator.Script | undefined =>
  scripts[request.endpoint === "fim" ? 0 : (request.tokens?.[0] ?? 0) - 60000]

export const start = (options: Emulator.Options = {}) => Emulator.make({ reply: standIn, ...options })

export interface Call {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly contentType?: string | null
  readonly body?: string | Uint8Array | null
}

export const send = (emulator: Emulator.Service, call: Call) => {
  const headers: Record<string, string> = {}
  const contentType = call.contentType === undefined ? "application/json" : call.contentType
  if (contentType !== null && call.method === "POST") headers["content-type"] = contentType
  const request = HttpClientRequest.make(call.method)(origin + call.path)
  const bytes = call.body instanceof Uint8Array ? call.body : new TextEncoder().encode(call.body ?? "")
  const withBody = call.method === "POST" && bytes.length > 0
    ? HttpClientRequest.bodyUint8Array(request, bytes, contentType ?? "")
    : request
  return emulator.httpClient.execute(
    contentType === null
      ? HttpClientRequest.modify(withBody, { headers: { "content-type": "" } })
      : HttpClientRequest.setHeaders(withBody, headers)
  )
}

export const post = (emulator: Emulator.Service, path: string, body: unknown = {}) =>
  send(emulator, { method: "POST", path, body: JSON.stringify(body) })

export const get = (emulator: Emulator.Service, path: string) => send(emulator, { method: "GET", path })

/** The keys of all JSON answers; which of them are there depends on the endpoint. */
export interface Answer {
  readonly task_id: string
  readonly result: string
  readonly finished: boolean
  readonly prefill_time: number
  readonly gen_time: number
  readonly speed: number
  readonly status: number
  readonly generated_buf: number
  readonly cpu_cache_count: number
}

export const json = <E>(response: Effect.Effect<HttpClientResponse.HttpClientResponse, E>) =>
  Effect.flatMap(response, (response) => Effect.map(response.json, (body) => body as Answer))

/** The body of a request that is answered by the script of this number. */
export const prompt = (script: number, max_tokens: number) => ({ prompt: [60000 + script, 50], max_tokens })

/** Creates it, and returns its id. */
export const create = (emulator: Emulator.Service, script: number, max_tokens: number, kind = "create") =>
  Effect.map(json(post(emulator, `/v1/tasks/${kind}`, prompt(script, max_tokens))), (body): string => body.task_id)

export const result = (emulator: Emulator.Service, id: string) => json(get(emulator, `/v1/tasks/${id}/get_result`))
export const status = (emulator: Emulator.Service, id: string) => json(get(emulator, `/v1/tasks/${id}/status`))
export const act = (emulator: Emulator.Service, id: string, action: string, body: unknown = {}) =>
  post(emulator, `/v1/tasks/${id}/${action}`, body)
export const codeOf = <E, R>(response: Effect.Effect<{ readonly status: number }, E, R>) =>
  Effect.map(response, (response) => response.status)

export const done = "data: [DONE]\n\n"

/** Collects frames in the background; the array grows while the clock moves. */
export const frames = <E>(
  response: Effect.Effect<HttpClientResponse.HttpClientResponse, E>
): Effect.Effect<Frames<E>, E, Scope.Scope> =>
  Effect.gen(function*() {
    const { stream } = yield* response
    const chunks: Array<string> = []
    const fiber = yield* stream.pipe(
      Stream.runForEach((chunk) => Effect.sync(() => chunks.push(new TextDecoder().decode(chunk)))),
      Effect.forkScoped
    )
    return { chunks, fiber }
  })

export interface Frames<_E> {
  readonly chunks: Array<string>
  readonly fiber: Fiber.RuntimeFiber<void, unknown>
}

export const isOpen = (frames: Frames<unknown>) => Effect.map(Fiber.poll(frames.fiber), (exit) => exit._tag === "None")

export const data = (chunks: ReadonlyArray<string>): ReadonlyArray<string> =>
  chunks.filter((chunk) => chunk.startsWith("data: {\"data\"")).map((chunk) => JSON.parse(chunk.slice(6)).data)

interface Issue {
  readonly type: string
  readonly loc: ReadonlyArray<string | number>
}

/** What is wrong with a request: the items of a 422, or else the body as it is. */
export const issues = (
  emulator: Emulator.Service,
  body: string | Uint8Array,
  path = "/v1/tasks/tmp",
  method: Call["method"] = "POST"
) =>
  Effect.map(
    Effect.flatMap(send(emulator, { method, path, body }), (response) => response.text),
    (text): ReadonlyArray<Issue | string> => text.startsWith("{\"detail\":[") ? JSON.parse(text).detail : [text]
  )

export const tick = (millis: number) => TestClock.adjust(millis)
