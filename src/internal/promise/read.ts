/**
 * What is pushed by a fiber, for readers who ask: a web stream, and an async iterator over it. Each question is
 * answered in its order, and whoever leaves is let go at once.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import { invalid } from "../input/validate.js"

type Iterator<A> = Required<Omit<AsyncIterableIterator<A, undefined>, "throw">>

export interface AsyncStream<A> extends AsyncDisposable {
  readonly [Symbol.asyncIterator]: () => Iterator<A>
  /** The values for what takes a web stream; cancelling that leaves early. For bytes, pipe it through an encoder. */
  readonly toReadableStream: () => ReadableStream<A>
}

type Settle = (failure?: { readonly reason: unknown }) => void

/** Starts what hands over each value, and is told how it ended; what it returns ends it early. */
type Begin<A> = (each: (value: A) => Effect.Effect<void>, settle: Settle) => () => Promise<void>

/** Nothing begins before the first value is asked for. */
const source = <A>(begin: Begin<A>) => {
  let asked = constVoid
  let stop: (() => Promise<void>) | undefined
  let reader: ReadableStreamDefaultController<A> | undefined
  const settle: Settle = (failure) => {
    if (failure === undefined) reader?.close()
    else reader?.error(failure.reason)
    reader = undefined
  }
  const each = (value: A) =>
    Effect.async<void>((resume) => {
      asked = () => resume(Effect.void)
      reader?.enqueue(value)
    })
  const leave = async () => {
    settle()
    await stop?.()
  }
  const web = new ReadableStream<A>({
    start: (controller) => void (reader = controller),
    pull: () => {
      asked()
      stop ??= begin(each, settle)
    },
    cancel: () => {
      reader = undefined
      return stop?.()
    }
  }, { highWaterMark: 0 })
  return { leave, web }
}

const iterate = <A>({ leave, web }: ReturnType<typeof source<A>>) => {
  const reader = web.getReader()
  const done: IteratorResult<A, undefined> = { done: true, value: undefined }
  let told = false
  const iterator: Iterator<A> = {
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

/** Who takes it first leaves what ends that one's reading in the lock: those that share it have one reader. */
export const asyncStream = <A>(
  operation: string,
  begin: Begin<A>,
  lock: { leave?: () => Promise<void> }
): AsyncStream<A> => {
  const own = source(begin)
  const refuse: Begin<A> = (_each, settle) => {
    settle({ reason: invalid(operation, "", "has one reader, and was read already") })
    return () => Promise.resolve()
  }
  const take = () => {
    const mine = lock.leave === undefined ? own : source(refuse)
    lock.leave ??= own.leave
    return mine
  }
  return {
    [Symbol.asyncIterator]: () => iterate(take()),
    [Symbol.asyncDispose]: own.leave,
    toReadableStream: () => take().web
  }
}
