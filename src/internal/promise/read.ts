/**
 * What is pushed by a fiber, for readers who ask: a web stream, and an async iterator over it. Each question is
 * answered in its order, and whoever leaves is let go at once.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"

type Iterator<A> = Required<Omit<AsyncIterableIterator<A, undefined>, "throw">>

export interface AsyncStream<A> extends AsyncDisposable {
  readonly [Symbol.asyncIterator]: () => Iterator<A>
  /** The values for what takes a web stream; cancelling that leaves early. For bytes, pipe it through an encoder. */
  readonly toReadableStream: () => ReadableStream<A>
}

type Each<A> = (value: A) => Effect.Effect<void>

/** Starts what hands over each value, and tells how it ended; what it returns ends it early. */
type Begin<A> = (each: Each<A>, finish: () => void, fail: (reason: unknown) => void) => () => Promise<void>

/** What those have in common that have one reader: how to end his reading. */
export interface Lock {
  leave?: () => Promise<void>
}

/** Nothing begins before the first value is asked for. */
const onDemand = { highWaterMark: 0 }

/** The web stream's own iterator lets nobody leave before the last question is answered, and not every one has it. */
const iterate = <A>(web: ReadableStream<A>): Iterator<A> => {
  const reader = web.getReader()
  const read = async function*(): AsyncGenerator<A, undefined> {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  }
  const values = read()
  const iterator: Iterator<A> = {
    next: () => values.next(),
    return: () => reader.cancel().catch(constVoid).then(() => values.return(undefined)),
    [Symbol.asyncIterator]: () => iterator
  }
  return iterator
}

/** @param refusal what a second reader is told */
export const asyncStream = <A>(begin: Begin<A>, refusal: () => unknown, lock: Lock): AsyncStream<A> => {
  let asked = constVoid
  let stop: (() => Promise<void>) | undefined
  let reader: ReadableStreamDefaultController<A> | undefined
  const each: Each<A> = (value) =>
    Effect.async((resume) => {
      asked = () => resume(Effect.void)
      reader?.enqueue(value)
    })
  const finish = () => {
    reader?.close()
    reader = undefined
  }
  const fail = (reason: unknown) => {
    reader?.error(reason)
    reader = undefined
  }
  const leave = async () => {
    finish()
    await stop?.()
  }
  const web = new ReadableStream<A>({
    start: (controller) => void (reader = controller),
    pull: () => {
      asked()
      stop ??= begin(each, finish, fail)
    },
    cancel: () => {
      reader = undefined
      return stop?.()
    }
  }, onDemand)
  const take = () => {
    if (lock.leave !== undefined) return new ReadableStream<A>({ pull: (second) => second.error(refusal()) }, onDemand)
    lock.leave = leave
    return web
  }
  return {
    [Symbol.asyncIterator]: () => iterate(take()),
    [Symbol.asyncDispose]: leave,
    toReadableStream: take
  }
}
