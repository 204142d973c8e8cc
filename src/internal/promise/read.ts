/**
 * What is pushed by a fiber, for readers who ask: each is answered in their order, and whoever leaves is let go at once.
 */
import * as Effect from "effect/Effect"
import { invalid } from "../input/validate.js"

/** Starts what hands over each value, and is told how it ended; what it returns ends it early. */
export type Begin<A> = (
  each: (value: A) => Effect.Effect<void>,
  ended: (failure?: { readonly reason: unknown }) => void
) => () => Promise<void>

interface Asked<A> {
  readonly resolve: (result: IteratorResult<A>) => void
  readonly reject: (reason: unknown) => void
}

const done: IteratorResult<never> = { done: true, value: undefined }

/** Nothing begins before the first value is asked for. */
const iterate = <A>(begin: Begin<A>) => {
  const asked: Array<Asked<A>> = []
  const latch = Effect.unsafeMakeLatch(false)
  let leave: (() => Promise<void>) | undefined
  let failed: { readonly reason: unknown } | undefined
  let over = false
  const each = (value: A) =>
    latch.whenOpen(Effect.sync(() => {
      asked.shift()?.resolve({ done: false, value })
      if (asked.length === 0) latch.unsafeClose()
    }))
  // A failure is told once, to the first who asks.
  const settle = () => {
    for (const { reject, resolve } of over ? asked.splice(0) : []) {
      if (failed === undefined) resolve(done)
      else reject(failed.reason)
      failed = undefined
    }
  }
  const end = (failure?: { readonly reason: unknown }) => {
    if (!over) failed = failure
    over = true
    settle()
  }
  const iterator = {
    next: () =>
      new Promise<IteratorResult<A>>((resolve, reject) => {
        asked.push({ resolve, reject })
        latch.unsafeOpen()
        if (!over) leave ??= begin(each, end)
        settle()
      }),
    return: async (): Promise<IteratorResult<A>> => {
      end()
      failed = undefined
      await leave?.()
      return done
    },
    throw: async (error: unknown): Promise<IteratorResult<A>> => {
      await iterator.return()
      throw error
    },
    [Symbol.asyncIterator]: () => iterator
  }
  return iterator
}

export const asyncStream = <A>(operation: string, begin: Begin<A>) => {
  const iterator = iterate(begin)
  let taken = false
  const refuse: Begin<A> = (_each, ended) => {
    ended({ reason: invalid(operation, "", "has one reader, and was read already") })
    return () => Promise.resolve()
  }
  const take = () => {
    const mine = taken ? iterate(refuse) : iterator
    taken = true
    return mine
  }
  return {
    [Symbol.asyncIterator]: take,
    [Symbol.asyncDispose]: async () => void await iterator.return(),
    toReadableStream: () => {
      const reader = take()
      return new ReadableStream<A>({
        pull: async (controller) => {
          const { done, value } = await reader.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        },
        cancel: async () => void await reader.return()
      }, { highWaterMark: 0 })
    }
  }
}
