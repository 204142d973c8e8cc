/**
 * What is pushed by a fiber, for readers who ask: a web stream, and an async iterator over it. Each question is answered in
 * its order, and whoever leaves is let go at once.
 */
import * as Effect from "effect/Effect"
import { invalid } from "../input/validate.js"

export interface AsyncStream<A> extends AsyncDisposable {
  readonly [Symbol.asyncIterator]: () => Required<Omit<AsyncIterableIterator<A, undefined>, "throw">>
  /** The values for what takes a web stream; cancelling that leaves early. For bytes, pipe it through an encoder. */
  readonly toReadableStream: () => ReadableStream<A>
}

/** Starts what hands over each value, and is told how it ended; what it returns ends it early. */
type Begin<A> = (
  each: (value: A) => Effect.Effect<void>,
  ended: () => void,
  failed: (reason: unknown) => void
) => () => Promise<void>

/** Nothing begins before the first value is asked for. */
const source = <A>(begin: Begin<A>) => {
  const latch = Effect.unsafeMakeLatch(false)
  let stop: (() => Promise<void>) | undefined
  let reader: ReadableStreamDefaultController<A> | undefined
  const end = () => {
    const last = reader
    reader = undefined
    return last
  }
  const each = (value: A) =>
    latch.whenOpen(Effect.sync(() => {
      latch.unsafeClose()
      reader?.enqueue(value)
    }))
  const web = new ReadableStream<A>({
    start: (controller) => void (reader = controller),
    pull: () => {
      latch.unsafeOpen()
      stop ??= begin(each, () => end()?.close(), (reason) => end()?.error(reason))
    },
    cancel: () => {
      end()
      return stop?.()
    }
  }, { highWaterMark: 0 })
  const leave = async () => {
    end()?.close()
    await stop?.()
  }
  return { web, leave }
}

const iterate = <A>({ leave, web }: ReturnType<typeof source<A>>) => {
  const reader = web.getReader()
  const done: IteratorResult<A, undefined> = { done: true, value: undefined }
  let told = false
  const iterator: ReturnType<AsyncStream<A>[typeof Symbol.asyncIterator]> = {
    next: () =>
      reader.read().then((read) => read.done ? done : read, (reason: unknown) => {
        // A failure is told once, to the first who asks.
        if (told) return done
        told = true
        throw reason
      }),
    return: async () => {
      told = true
      await leave()
      return done
    },
    [Symbol.asyncIterator]: () => iterator
  }
  return iterator
}

/** Those that have a lock in common have one reader. */
export const asyncStream = <A>(operation: string, begin: Begin<A>, lock = { taken: false }): AsyncStream<A> => {
  const own = source(begin)
  const take = () => {
    const refused = source<A>((_each, _ended, failed) => {
      failed(invalid(operation, "", "has one reader, and was read already"))
      return () => Promise.resolve()
    })
    const mine = lock.taken ? refused : own
    lock.taken = true
    return mine
  }
  return {
    [Symbol.asyncIterator]: () => iterate(take()),
    [Symbol.asyncDispose]: own.leave,
    toReadableStream: () => take().web
  }
}
