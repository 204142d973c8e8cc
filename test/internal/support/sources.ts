/** Bodies that say what a test tells them to, in the answers of the platform's clients. */
import { HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Cause, Effect, type Scope } from "effect"
import { Readable } from "node:stream"
import * as Body from "../../../src/internal/wire/body.js"

export interface Source {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly push: (bytes: Uint8Array) => void
  readonly end: () => void
  readonly fail: (error: unknown) => void
  /** Whether whoever reads has let it go. */
  readonly left: () => boolean
  /** Bytes that wait to be read, apart from what was handed out already. */
  readonly waiting: () => number
}

const request = HttpClientRequest.get("http://localhost/")

const base = HttpClientResponse.fromWeb(request, new Response(""))

/** An answer of a client that keeps this as its source. */
export const withSource = (source: unknown): HttpClientResponse.HttpClientResponse =>
  Object.defineProperty(Object.create(base), "source", { value: source })

export const fromWeb = (response: Response) => HttpClientResponse.fromWeb(request, response)

/** An answer that someone has wrapped: what it is made of is no longer known. */
export const wrapped = (response: HttpClientResponse.HttpClientResponse): HttpClientResponse.HttpClientResponse =>
  Object.create(response)

const web =
  (wrap: (response: HttpClientResponse.HttpClientResponse) => HttpClientResponse.HttpClientResponse) => () => {
    let left = false
    let told: ReadableStreamDefaultController<Uint8Array> | undefined
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        told = controller
      },
      cancel: () => {
        left = true
      }
    }, { highWaterMark: 1_000_000, size: ({ length }) => length })
    const source: Source = {
      response: wrap(fromWeb(new Response(body))),
      push: (bytes) => told?.enqueue(bytes),
      end: () => told?.close(),
      fail: (error) => told?.error(error),
      left: () => left,
      waiting: () => 1_000_000 - (told?.desiredSize ?? 0)
    }
    return source
  }

export const node = (sourceOf: (body: Readable) => unknown) => () => {
  const body = new Readable({ read: () => {} })
  // As the clients have: a failure that nobody hears does not end the process.
  body.on("error", () => {})
  const source: Source = {
    response: withSource(sourceOf(body)),
    push: (bytes) => body.push(bytes),
    end: () => body.push(null),
    fail: (error) => body.destroy(error instanceof Error ? error : new Error(String(error))),
    left: () => body.destroyed,
    waiting: () => body.readableLength
  }
  return source
}

/** How the answers of the platform's clients hold their bodies. */
export const sources = [
  ["a web stream", web((response) => response)],
  ["a Readable as the body, as undici has it", node((body) => ({ body, headers: {} }))],
  ["a Readable as the answer, as node:http has it", node((body) => body)],
  ["anything else, by its Stream", web(wrapped)]
] as const

export const isNode = (what: string) => what.includes("Readable")

/** The turns of the event loop that streams take. */
export const turns = Effect.repeatN(
  Effect.async<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  }),
  4
)

export interface Told {
  readonly chunks: Array<Uint8Array>
  /** `"end"`, or the cause of a failure. */
  readonly ends: Array<Cause.Cause<unknown> | "end">
}

export const bytesOf = ({ chunks }: Told): ReadonlyArray<number> => chunks.flatMap((chunk) => Array.from(chunk))

/** What was failed with. */
export const failures = ({ ends }: Told) => ends.map((end) => end === "end" ? end : Cause.squash(end))

/** Reads, and writes down what is told. */
export const reading = (
  response: HttpClientResponse.HttpClientResponse,
  sink: Partial<Body.Sink> = {}
): Effect.Effect<Body.Reading & Told, never, Scope.Scope> => {
  const told: Told = { chunks: [], ends: [] }
  return Effect.map(
    Body.read(response, {
      bytes: (bytes) => {
        told.chunks.push(bytes)
        sink.bytes?.(bytes)
      },
      end: () => {
        told.ends.push("end")
        sink.end?.()
      },
      fail: (cause) => {
        told.ends.push(cause)
        sink.fail?.(cause)
      }
    }),
    (reading) => ({ ...reading, ...told })
  )
}
