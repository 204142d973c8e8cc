/** Streams of programs without Effect: how they are asked, left, aborted, and how they fail. */
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { type AsyncStream, RWKVConnectionError, RWKVServerError, RWKVValidationError } from "effect-rwkv/promise"
import { RWKVError, StreamTruncatedError, TaskNotFoundError } from "effect-rwkv/promise"
import { Emulator } from "effect-rwkv/testing"
import { getEventListeners } from "node:events"
import { isProxy } from "node:util/types"
import { endless, eventually, promises, rejection, reply, says } from "../support/promises.js"

const done = { done: true, value: undefined }

const collect = async <A>(stream: AsyncIterable<A>) => {
  const values: Array<A> = []
  for await (const value of stream) values.push(value)
  return values
}

const reader = <A>(stream: AsyncStream<A>) => stream[Symbol.asyncIterator]()

describe("an async stream", () => {
  promises("has the whole text, and sends nothing before it is asked", async ({ client, verbs }) => {
    const stream = client.stream(says)
    expect(verbs()).toEqual([])
    expect((await collect(stream)).join("")).toBe(reply)
  })

  promises("fills in the middle where a prefix is given", async ({ client, verbs }) => {
    expect((await collect(client.stream({ prefix: "a", suffix: "b" }))).join("")).toBe(reply)
    expect(verbs()).toContain("POST fim")
  })

  promises("stops its task where the loop is left, and has no second reader", async ({ client, stopped, verbs }) => {
    const stream = client.stream(endless)
    for await (const text of stream) {
      expect(text).not.toBe("")
      break
    }
    await stopped()
    expect(verbs()).toContain("POST stop")
    expect(await rejection(collect(stream))).toBeInstanceOf(RWKVValidationError)
  })

  promises("stops its task where the loop throws, whose error passes", async ({ client, stopped }) => {
    const mine = new Error("mine")
    const loop = async () => {
      for await (const _ of client.stream(endless)) throw mine
    }
    expect(await rejection(loop())).toBe(mine)
    await stopped()
  })

  promises("answers parallel questions in their order, and those beyond the end with the end", async ({ client }) => {
    const iterator = reader(client.stream(says))
    const answers = await Promise.all(Array.from({ length: 40 }, () => iterator.next()))
    const values = answers.filter(({ done }) => done !== true).map(({ value }) => value)
    expect(values.length).toBeGreaterThan(1)
    expect(values.join("")).toBe(reply)
    expect(answers.slice(values.length)).toEqual(Array.from(answers.slice(values.length), () => done))
    expect(await iterator.next()).toEqual(done)
  })

  promises("settles what waits when it is left", async ({ client, stopped }) => {
    const silent = reader(client.stream(endless))
    await silent.next()
    const waiting = Array.from({ length: 50 }, () => silent.next())
    const left = silent.return()
    const answers = await Promise.all(waiting)
    expect(answers.at(-1)).toEqual(done)
    expect(await left).toEqual(done)
    expect(await silent.next()).toEqual(done)
    await stopped()
  })

  promises(
    "settles what waits when it is left before the server has answered",
    async ({ client, emulator }) => {
      await Effect.runPromise(
        emulator.inject({ on: { path: "/tmp" }, kind: Emulator.FaultKind.Hang({ executed: false }) })
      )
      const opening = reader(client.stream(says, { stopTimeout: 0 }))
      const first = opening.next()
      await opening.return()
      expect(await first).toEqual(done)
    },
    {},
    { closeTimeout: 50 }
  )

  promises("that is left before it begins sends nothing", async ({ client, verbs }) => {
    const iterator = reader(client.stream(says))
    expect(await iterator.return()).toEqual(done)
    expect(await iterator.next()).toEqual(done)
    await client.stream(says)[Symbol.asyncDispose]()
    expect(verbs()).toEqual([])
  })

  promises("stops its task where it is disposed of", async ({ client, running, stopped }) => {
    {
      await using stream = client.stream(endless)
      await reader(stream).next()
      expect(await running()).toBe(1)
    }
    await stopped()
  })

  promises("leaves a task alone that it only listens to", async ({ client, running }) => {
    const task = await client.create(endless)
    for await (const _ of task.stream()) break
    expect(await running()).toBe(1)
    await task.stop()
  })

  promises("fails once, by the error itself, after what had come", async ({ client, emulator }) => {
    const iterator = reader(client.stream(endless, { idleTimeout: 20 }))
    await iterator.next()
    await Effect.runPromise(emulator.restart("kill"))
    const errors: Array<unknown> = []
    const answers = Array.from({ length: 60 }, () => iterator.next().catch((error: unknown) => void errors.push(error)))
    await Promise.all(answers)
    expect(errors.length).toBe(1)
    const [error] = errors
    expect(error instanceof StreamTruncatedError || error instanceof TaskNotFoundError).toBe(true)
    expect(isProxy(error)).toBe(false)
    expect(await iterator.next()).toEqual(done)
  })

  promises("tells a failure that came while nobody asked to the next who asks", async ({ client }) => {
    const iterator = reader(client.generateAll([says, endless], { failures: "fail", timeout: 1000 }))
    await iterator.next()
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(await rejection(iterator.next())).toMatchObject({ _tag: "RWKVTimeoutError", kind: "wait" })
    expect(await iterator.next()).toEqual(done)
  }, { profile: "documented" })

  promises("that cannot begin rejects the first question", async ({ client, emulator }) => {
    await Effect.runPromise(emulator.inject({ on: { path: "/tmp" }, kind: Emulator.FaultKind.Status({ status: 500 }) }))
    const error = await rejection(collect(client.stream(says)))
    expect(error).toBeInstanceOf(RWKVServerError)
    expect(error).toBeInstanceOf(Error)
    expect(Object.keys(error as object)).toContain("status")
    expect(RWKVError).toBeDefined()
  })
})

describe("a signal", () => {
  promises("that was aborted before lets nothing begin", async ({ client, verbs }) => {
    const reason = { mine: true }
    const signal = AbortSignal.abort(reason)
    expect(await rejection(collect(client.stream(says, { signal })))).toBe(reason)
    expect(await rejection(client.open(says, { signal }))).toBe(reason)
    expect(verbs()).toEqual([])
  })

  promises("that aborts while the task is created has it stopped", async ({ client, emulator, stopped, verbs }) => {
    await Effect.runPromise(
      emulator.inject({ on: { path: "/tmp" }, kind: Emulator.FaultKind.Delay({ duration: "100 millis" }) })
    )
    const reason = new Error("mine")
    const abort = new AbortController()
    const first = rejection(reader(client.stream(endless, { signal: abort.signal })).next())
    await eventually(() => verbs().length > 0)
    abort.abort(reason)
    expect(await first).toBe(reason)
    await eventually(() => verbs().includes("POST stop"))
    await stopped()
  })

  promises("that aborts between pieces stops the task at once, and rejects the next question", async (env) => {
    const { client, stopped } = env
    const abort = new AbortController()
    const iterator = reader(client.stream(endless, { signal: abort.signal }))
    await iterator.next()
    abort.abort()
    await new Promise((resolve) => setTimeout(resolve, 20))
    await stopped()
    expect(await rejection(iterator.next())).toBe(abort.signal.reason)
    expect(await iterator.next()).toEqual(done)
  })

  promises("that aborts while the question waits rejects it, and ends those behind it", async ({ client, stopped }) => {
    const abort = new AbortController()
    const iterator = reader(client.stream(endless, { signal: abort.signal }))
    await iterator.next()
    const answers = Array.from({ length: 100 }, () => iterator.next().catch((error: unknown) => error))
    await answers[0]
    abort.abort("mine")
    const last = await Promise.all(answers)
    expect(last.filter((answer) => answer === "mine").length).toBe(1)
    expect(last.at(-1)).toEqual(done)
    await stopped()
  })

  promises("that aborts after the end changes nothing, and is listened to no more", async ({ client }) => {
    const abort = new AbortController()
    const options = { signal: abort.signal }
    expect((await collect(client.stream(says, options))).join("")).toBe(reply)
    const run = await client.open(says, options)
    expect(getEventListeners(abort.signal, "abort").length).toBe(1)
    expect((await run.finished()).text).toBe(reply)
    for await (const _ of client.stream(endless, options)) break
    await eventually(() => getEventListeners(abort.signal, "abort").length === 0)
    abort.abort()
    expect((await run.finished()).text).toBe(reply)
  })

  promises("without a reason rejects with an AbortError", async ({ client }) => {
    const abort = new AbortController()
    abort.abort()
    expect(await rejection(collect(client.stream(says, { signal: abort.signal })))).toMatchObject({
      name: "AbortError"
    })
  })
})

describe("a web stream", () => {
  promises("has the whole text", async ({ client, verbs }) => {
    const stream = client.stream(says).toReadableStream()
    await new Promise((resolve) => setImmediate(resolve))
    expect(verbs()).toEqual([])
    expect(await new Response(stream.pipeThrough(new TextEncoderStream())).text()).toBe(reply)
  })

  promises("stops its task where it is cancelled, also in mid-question", async ({ client, stopped }) => {
    const idle = client.stream(endless).toReadableStream().getReader()
    await idle.read()
    await idle.cancel()
    await stopped()
    const asking = client.stream(endless).toReadableStream().getReader()
    await asking.read()
    const waiting = Array.from({ length: 50 }, () => asking.read())
    await asking.cancel("enough")
    expect((await Promise.all(waiting)).at(-1)).toEqual(done)
    await stopped()
    await client.stream(endless).toReadableStream().cancel()
  })

  promises("fails by the error itself", async ({ client, emulator }) => {
    await Effect.runPromise(
      emulator.inject({ on: { path: "/tmp" }, kind: Emulator.FaultKind.Reset({ executed: false }) })
    )
    const error = await rejection(client.stream(says).toReadableStream().getReader().read())
    expect(error).toBeInstanceOf(RWKVConnectionError)
    const abort = new AbortController()
    const aborted = client.stream(endless, { signal: abort.signal }).toReadableStream().getReader()
    await aborted.read()
    abort.abort("mine")
    expect(await rejection(aborted.read().then(() => aborted.read()))).toBe("mine")
  })

  promises("is one reader, like a loop", async ({ client }) => {
    const stream = client.stream(says)
    const [first, second] = [stream.toReadableStream(), stream.toReadableStream()]
    expect(await rejection(second.getReader().read())).toBeInstanceOf(RWKVValidationError)
    expect(await new Response(first.pipeThrough(new TextEncoderStream())).text()).toBe(reply)
  })
})
