/**
 * The bytes of an answer, handed over as they come.
 *
 * What the platform's clients answer holds a web stream or Node's Readable. Those are read by their own callbacks: the
 * platform's Stream over them takes longer for a piece of text than everything else that happens to it. Any other answer is
 * read by its Stream.
 *
 * @internal
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { hasProperty, isFunction } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * What hears of the bytes. After `end` or `fail` nothing more is told.
 *
 * @internal
 */
export interface Sink {
  readonly bytes: (bytes: Uint8Array) => void
  readonly end: () => void
  readonly fail: (cause: Cause.Cause<unknown>) => void
}

/** @internal */
export interface Reading {
  readonly pause: () => void
  readonly resume: () => void
  /** Takes no more, and lets the connection go. */
  readonly cancel: () => void
}

type Read = (sink: Sink) => Reading

/** As far as it is used. */
interface Readable {
  readonly on: (event: string, listener: (value?: unknown) => void) => unknown
  readonly read: () => unknown
  readonly destroy: () => unknown
  readonly destroyed?: boolean
  readonly readableDidRead?: boolean
  readonly errored?: unknown
}

const isReadable = (u: unknown): u is Readable =>
  hasProperty(u, "on") && isFunction(u.on) && hasProperty(u, "read") && isFunction(u.read)

const isWebStream = (u: unknown): u is ReadableStream<Uint8Array> =>
  hasProperty(u, "getReader") && isFunction(u.getReader)

const none = () => {}

const idle: Reading = { pause: none, resume: none, cancel: none }

/** A mistake in what hears the bytes ends the reading: it must not end the process. */
const careful = (sink: Sink): Sink => {
  let over = false
  const attempt = (tell: () => void) => {
    if (over) return
    Either.match(Either.try(tell), {
      onLeft: (defect) => {
        over = true
        // Who made a mistake with bytes may make it here too.
        Either.try(() => sink.fail(Cause.die(defect)))
      },
      onRight: none
    })
  }
  const last = (tell: () => void) => {
    attempt(tell)
    over = true
  }
  return {
    bytes: (bytes) => attempt(() => sink.bytes(bytes)),
    end: () => last(sink.end),
    fail: (cause) => last(() => sink.fail(cause))
  }
}

/** Reads on when it is opened again. */
const gated = (next: () => void) => {
  let open = true
  return {
    next,
    open: () => open,
    pause: () => {
      open = false
    },
    resume: () => {
      open = true
      next()
    }
  }
}

const readNode = (body: Readable): Read => (sink) => {
  if (body.destroyed === true) {
    sink.fail(Cause.fail(body.errored))
    return idle
  }
  const gate = gated(() => {
    // All that the parser found in one go comes as one piece.
    for (let bytes = gate.open() ? body.read() : null; bytes !== null; bytes = gate.open() ? body.read() : null) {
      if (ArrayBuffer.isView(bytes)) sink.bytes(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      else sink.fail(Cause.fail(new TypeError("a body that is not bytes")))
    }
  })
  body.on("readable", gate.next)
  body.on("end", sink.end)
  body.on("error", (error) => sink.fail(Cause.fail(error)))
  body.on("close", () => sink.fail(Cause.fail(body.errored)))
  return { ...gate, cancel: () => body.destroy() }
}

const readWeb = (body: ReadableStream<Uint8Array>): Read => (sink) => {
  const reader = body.getReader()
  let reading = false
  const gate = gated(() => {
    if (!gate.open() || reading) return
    reading = true
    reader.read().then(took, failed)
  })
  const took = (result: ReadableStreamReadResult<Uint8Array>) => {
    reading = false
    if (result.done) return sink.end()
    sink.bytes(result.value)
    gate.next()
  }
  const failed = (error: unknown) => sink.fail(Cause.fail(error))
  gate.next()
  return {
    ...gate,
    cancel: () => {
      reader.cancel().then(none, none)
    }
  }
}

/** The body of the platform's own answers; null if there is none, or the runtime shows none. */
const bodyOf = (response: HttpClientResponse.HttpClientResponse): unknown => {
  if (!Object.hasOwn(response, "source") || !hasProperty(response, "source")) return undefined
  const { source } = response
  return isReadable(source) ? source : hasProperty(source, "body") ? source.body ?? null : null
}

/** Whether a client of the program's own has read it: then the platform remembers what it said. */
const isUsed = (body: unknown): boolean =>
  isReadable(body) ? body.readableDidRead === true : isWebStream(body) && body.locked

/** How a body is read without the Stream over it. */
const directly = (body: unknown): Read | undefined =>
  isUsed(body) ? undefined : isReadable(body) ? readNode(body) : isWebStream(body) ? readWeb(body) : undefined

/** An answer without a body is an empty one. */
const streamOf = (response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, unknown> =>
  Stream.catchAll(
    response.stream,
    (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(error.cause)
  )

/**
 * Hands the bytes over until the scope is closed. What is paused leaves them in the socket.
 *
 * @internal
 */
export const read = (
  response: HttpClientResponse.HttpClientResponse,
  listener: Sink
): Effect.Effect<Reading, never, Scope.Scope> =>
  Effect.suspend(() => {
    const sink = careful(listener)
    const direct = directly(bodyOf(response))
    if (direct !== undefined) return Effect.succeed(direct(sink))
    const open = Effect.unsafeMakeLatch(true)
    return streamOf(response).pipe(
      Stream.runForEach((bytes) => {
        sink.bytes(bytes)
        return open.await
      }),
      // What breaks in a Stream that others made is no mistake of ours.
      Effect.catchAllDefect(Effect.fail),
      Effect.matchCause({ onFailure: sink.fail, onSuccess: sink.end }),
      Effect.forkScoped,
      Effect.as({
        pause: () => {
          open.unsafeClose()
        },
        resume: () => {
          open.unsafeOpen()
        },
        cancel: none
      })
    )
  })

/**
 * A whole body as text. It fails with `tooLarge` when there are more bytes than the limit; the rest is not read.
 *
 * @internal
 */
export const text = <E>(
  response: HttpClientResponse.HttpClientResponse,
  limit: number,
  tooLarge: () => E
): Effect.Effect<string, unknown> =>
  Effect.suspend(() => {
    const utf8 = new TextDecoder()
    let size = 0
    let text = ""
    const take = (bytes: Uint8Array) => {
      size += bytes.length
      if (size <= limit) text += utf8.decode(bytes, { stream: true })
      return size <= limit
    }
    const whole = () => text + utf8.decode()
    const body = bodyOf(response)
    if (body === null || isUsed(body)) {
      return response.text.pipe(
        Effect.mapError(({ cause }) => cause),
        Effect.filterOrFail((text) => text.length <= limit, tooLarge)
      )
    }
    const direct = directly(body)
    return direct === undefined
      ? Stream.runForEachWhile(streamOf(response), (bytes) => Effect.sync(() => take(bytes))).pipe(
        Effect.catchAllDefect(Effect.fail),
        Effect.flatMap(() => size <= limit ? Effect.sync(whole) : Effect.fail(tooLarge()))
      )
      : Effect.async<string, unknown>((resume) => {
        const reading = direct(careful({
          bytes: (bytes) => {
            if (take(bytes)) return
            reading.cancel()
            resume(Effect.fail(tooLarge()))
          },
          end: () => resume(Effect.succeed(whole())),
          fail: (cause) => resume(Effect.failCause(cause))
        }))
        return Effect.sync(reading.cancel)
      })
  })
