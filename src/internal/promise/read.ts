/**
 * What is pushed by a fiber, for readers who ask: a web stream, and an async iterator over it. Each question is answered in
 * its order, and whoever leaves is let go at once.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import { invalid } from "../input/validate.js"

/** Starts what hands over each value, and is told how it ended; what it returns ends it early. */
export type Begin<A> = (
  each: (value: A) => Effect.Effect<void>,
  ended: () => void,
  failed: (reason: unknown) => void
) => () => Promise<void>

/** Nothing begins before the first value is asked for. */
const source = <A>(begin: Begin<A>) => {
  const latch = Effect.unsafeMakeLatch(false)
  let close = constVoid
  let over = false
  let stop: (() => Promise<void>) | undefined
  const web = new ReadableStream<A>({
    start: (controller) => {
      close = () => {
        if (!over) controller.close()
        over = true
      }
    },
    pull: (controller) => {
      const each = (value: A) =>
        latch.whenOpen(Effect.sync(() => {
          latch.unsafeClose()
          controller.enqueue(value)
        }))
      latch.unsafeOpen()
      stop ??= begin(each, close, (reason) => {
        over = true
        controller.error(reason)
      })
    },
    cancel: () => {
      over = true
      return stop?.()
    }
  }, { highWaterMark: 0 })
  const leave = async () => {
    close()
    await stop?.()
  }
  return { web, leave }
}

const iterate = <A>({ leave, web }: ReturnType<typeof source<A>>) => {
  const reader = web.getReader()
  const done: IteratorResult<A, undefined> = { done: true, value: undefined }
  let told = false
  const iterator = {
    // A failure is told once, to the first who asks.
    next: () =>
      reader.read().then(
        (read): IteratorResult<A, undefined> => read.done ? done : read,
        (reason: unknown) => {
          const first = !told
          told = true
          return first ? Promise.reject(reason) : done
        }
      ),
    return: async () => {
      told = true
      await leave()
      return done
    },
    throw: async (error: unknown) => {
      await iterator.return()
      throw error
    },
    [Symbol.asyncIterator]: () => iterator
  }
  return iterator
}

/** Those that have a lock in common have one reader. */
export const asyncStream = <A>(operation: string, begin: Begin<A>, lock = { taken: false }) => {
  const own = source(begin)
  const take = () => {
    if (lock.taken) {
      return source<A>((_each, _ended, failed) => {
        failed(invalid(operation, "", "has one reader, and was read already"))
        return () => Promise.resolve()
      })
    }
    lock.taken = true
    return own
  }
  return {
    [Symbol.asyncIterator]: () => iterate(take()),
    [Symbol.asyncDispose]: own.leave,
    toReadableStream: () => take().web
  }
}
