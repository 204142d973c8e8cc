/** Promises of programs without Effect: what they resolve with, reject with, and leave behind. */
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { Polling } from "effect-rwkv"
import {
  createClient,
  isRWKVError,
  RWKVConnectionError,
  RWKVServerError,
  RWKVTimeoutError,
  RWKVValidationError,
  StreamTruncatedError,
  TaskNotFoundError
} from "effect-rwkv/promise"
import { Emulator } from "effect-rwkv/testing"
import { isProxy } from "node:util/types"
import { endless, eventually, promises, rejection, reply, says } from "../support/promises.js"

const { FaultKind } = Emulator

const fail = (): never => {
  throw new Error("mine")
}

const join = async (stream: AsyncIterable<string>) => {
  let text = ""
  for await (const piece of stream) text += piece
  return text
}

describe("a promise", () => {
  promises("rejects with the error itself: its class, its fields, no Proxy", async ({ client, emulator }) => {
    const missing = await rejection(client.task("TMP_00000000000000000000000000000000").status())
    expect(missing).toBeInstanceOf(TaskNotFoundError)
    expect(missing).toBeInstanceOf(Error)
    expect(missing).toMatchObject({ _tag: "TaskNotFoundError", taskId: "TMP_00000000000000000000000000000000" })
    expect(isProxy(missing)).toBe(false)
    expect(isRWKVError(missing)).toBe(true)
    expect(await rejection(client.task("no/id").wait())).toBeInstanceOf(RWKVValidationError)
    await Effect.runPromise(emulator.inject({ on: { path: "/tmp" }, kind: FaultKind.Status({ status: 500 }) }))
    const failed = await rejection(client.generate(says))
    expect(failed).toBeInstanceOf(RWKVServerError)
    expect(Object.keys(failed as object)).toEqual(expect.arrayContaining(["operation", "status"]))
  })

  promises("of a run that is aborted rejects with the reason, and its task is stopped", async ({ client, stopped }) => {
    const abort = new AbortController()
    const run = rejection(client.generate(endless, { signal: abort.signal }))
    await new Promise((resolve) => setTimeout(resolve, 50))
    const reason = { mine: true }
    abort.abort(reason)
    expect(await run).toBe(reason)
    await stopped()
    expect(await rejection(client.generate(endless, { signal: AbortSignal.timeout(50) }))).toMatchObject({
      name: "TimeoutError"
    })
    await stopped()
  })

  promises("of every verb rejects with the reason of a signal that was aborted, and nothing is sent", async (env) => {
    const { client, verbs } = env
    const signal = AbortSignal.abort("mine")
    const options = { signal }
    const task = client.task("TMP_1")
    const all = [
      client.generate(says, options),
      client.open(says, options),
      client.create(says, options),
      client.models(options),
      task.wait(options),
      task.result(options),
      task.status(options),
      task.stop(options),
      task.delete(options),
      task.continue({ prompt: "a" }, options),
      task.fork({ prompt: "a" }, options),
      task.asTemplate(options),
      join(task.stream(options)),
      join(client.stream(says, options)),
      client.generateAll([says], options)[Symbol.asyncIterator]().next()
    ]
    for (const each of all) expect(await rejection(each)).toBe("mine")
    expect(verbs()).toEqual([])
  })

  promises("rejects by type what is no signal, no options and no request", async ({ client, verbs }) => {
    const wrong: ReadonlyArray<unknown> = ["x", null, {}, { aborted: false }, { aborted: false, addEventListener: 1 }]
    for (const signal of wrong) {
      const error = await rejection(Reflect.apply(client.generate, client, [says, { signal }]))
      expect(error, JSON.stringify(signal)).toBeInstanceOf(RWKVValidationError)
    }
    const throws = { get: () => fail() }
    const options = [new Proxy({}, throws), { stops: [] }]
    const requests = [null, undefined, "Hi", {}, new Proxy(says, { ...throws, has: () => fail() })]
    for (const args of [...options.map((each) => [says, each]), ...requests.map((each) => [each])]) {
      for (const verb of [client.generate, client.open]) {
        expect(await rejection(Reflect.apply(verb, client, args))).toBeInstanceOf(RWKVValidationError)
      }
      const stream = Reflect.apply(client.stream, client, args)
      expect(await rejection(join(stream))).toBeInstanceOf(RWKVValidationError)
    }
    expect(verbs()).toEqual([])
  })

  promises("of bad options of the client is rejected by each verb", async () => {
    const clients = [{ baseUrl: "nonsense" }, { apiKey: "a\nb" }, { retries: 3 }, { fetch: 3 }, { httpClient: 3 }, null]
    for (const options of clients) {
      const client = Reflect.apply(createClient, undefined, [options])
      expect(await rejection(client.models()), JSON.stringify(options)).toBeInstanceOf(RWKVValidationError)
      expect(await rejection(join(client.stream(says)))).toBeInstanceOf(RWKVValidationError)
      await client.close()
    }
  })
})

describe("progress", () => {
  promises("is told to callbacks, which are waited for, by each verb that has them", async ({ client }) => {
    const seen: Array<number> = []
    const onProgress = async ({ generatedTokens }: { readonly generatedTokens: number }) => {
      await Promise.resolve()
      seen.push(generatedTokens)
    }
    await client.generate(says, { onProgress })
    const task = await client.create(says)
    await task.wait({ onProgress: (info) => void onProgress(info) })
    expect(seen.at(-1)).toBe(reply.length)
    const done: Array<number> = []
    for await (const _ of client.generateAll([says, says], { onProgress: (told) => void done.push(told.done) }));
    expect(done).toEqual([1, 2])
  })

  promises("rejects with what a callback throws, whose task is stopped, and by type what is none", async (env) => {
    const { client, stopped } = env
    const mine = new Error("mine")
    const throws = () => {
      throw mine
    }
    for (const onProgress of [throws, () => Promise.reject(mine)]) {
      expect(await rejection(client.generate(endless, { onProgress }))).toBe(mine)
      await stopped()
    }
    const none = { onProgress: 3 }
    expect(await rejection(Reflect.apply(client.generate, client, [says, none]))).toBeInstanceOf(RWKVValidationError)
  })
})

describe("a run that is open", () => {
  promises("has its task's id before its text, and its end as often as one likes", async ({ client }) => {
    const run = await client.open(says)
    expect(run.taskId).toMatch(/^TMP_/)
    expect(await join(run.text)).toBe(reply)
    expect((await run.finished()).text).toBe(reply)
    expect((await run.finished()).finishReason).toBe("stop")
    await run.close()
    expect((await run.finished()).text).toBe(reply)
  })

  promises("tells its end though nobody reads, and keeps its text for one who does", async ({ client }) => {
    const run = await client.open(says)
    const [one, two] = await Promise.all([run.finished(), run.finished()])
    expect([one.text, two.text]).toEqual([reply, reply])
    expect(await join(run.text)).toBe(reply)
    expect(await rejection(run.events[Symbol.asyncIterator]().next())).toBeInstanceOf(RWKVValidationError)
  })

  promises("tells its end beside the one who reads, who is not cut off by a second reader", async ({ client }) => {
    const run = await client.open(says)
    const events: Array<string> = []
    const end = run.finished
    for await (const event of run.events) {
      if (events.length === 1) expect(await rejection(join(run.text))).toBeInstanceOf(RWKVValidationError)
      events.push(event._tag)
      if (event._tag === "Finished") expect((await end()).text).toBe(reply)
    }
    expect([events[0], events.at(-1)]).toEqual(["Started", "Finished"])
  })

  promises("is stopped by its reader's leaving, by close and by disposal", async ({ client, stopped }) => {
    const left = await client.open(endless)
    for await (const _ of left.text) break
    await stopped()
    expect(await rejection(left.finished())).toBeInstanceOf(StreamTruncatedError)
    const closed = await client.open(endless)
    const end = rejection(closed.finished())
    await closed.close()
    await stopped()
    expect(await end).toBeInstanceOf(StreamTruncatedError)
    {
      await using run = await client.open(endless)
      expect(run.taskId).toMatch(/^TMP_/)
    }
    await stopped()
    const waiting = await client.open(endless)
    const iterator = waiting.text[Symbol.asyncIterator]()
    const answers = Array.from({ length: 50 }, () => iterator.next())
    await answers[0]
    await waiting.close()
    expect((await Promise.all(answers)).at(-1)).toEqual({ done: true, value: undefined })
    await stopped()
  })

  promises("is stopped by its signal, whose reason all get", async ({ client, stopped }) => {
    const abort = new AbortController()
    const [read, unread] = [
      await client.open(endless, { signal: abort.signal }),
      await client.open(endless, { signal: abort.signal })
    ]
    const text = rejection(join(read.text))
    const ends = [rejection(read.finished()), rejection(unread.finished())]
    await new Promise((resolve) => setTimeout(resolve, 30))
    abort.abort("mine")
    expect(await Promise.all([text, ...ends])).toEqual(["mine", "mine", "mine"])
    expect(await rejection(unread.text[Symbol.asyncIterator]().next())).toBe("mine")
    await stopped()
  })

  promises("rejects before there is anything to read if it cannot start", async ({ client, emulator }) => {
    await Effect.runPromise(emulator.inject({ on: { path: "/tmp" }, kind: FaultKind.Status({ status: 500 }) }))
    expect(await rejection(client.open(says))).toBeInstanceOf(RWKVServerError)
  })
})

describe("a task's handle", () => {
  promises("has the verbs of a task", async ({ client }) => {
    const task = await client.create({ ...says, persistence: "persistent" })
    expect((await task.wait({ timeout: "10 seconds" })).text).toBe(reply)
    expect((await task.status()).status).toBe("Finished")
    expect((await client.task(task.id).result()).text).toBe(reply)
    expect(await join(task.stream({ fromToken: -10 }))).toBe(reply.slice(-10))
    const fork = await task.fork({ prompt: "more", maxTokens: 2000 })
    expect(fork.id).not.toBe(task.id)
    expect((await fork.wait()).text).toBe(reply)
    const more = await task.continue({ prompt: "more", maxTokens: 2000 })
    expect([more.id, (await more.wait()).text]).toEqual([task.id, reply])
    const [cut, copy] = [
      await task.openContinue({ prompt: "more" }, { stop: ["d"] }),
      await fork.openFork({ prompt: "more" }, { cleanup: "keep" })
    ]
    expect([await join(cut.text), (await cut.finished()).finishReason]).toEqual(["abc", "stop-sequence"])
    expect((await copy.finished()).text).toBe(reply)
    const tags = new Set<string>()
    for await (const { _tag } of client.task(copy.taskId).streamEvents()) tags.add(_tag)
    expect([...tags]).toEqual(["Started", "Text", "Finished"])
    expect((await client.list()).totalCount).toBeGreaterThan(2)
    const template = await task.asTemplate()
    expect(template.id).not.toBe(task.id)
    await task.delete()
    expect(await rejection(task.result())).toBeInstanceOf(TaskNotFoundError)
  }, { profile: "documented" })

  promises("stops its task, whose wait fails by type; leaving a wait leaves the task alone", async (env) => {
    const { client, running, stopped } = env
    const task = await client.create(endless)
    expect(await rejection(task.wait({ signal: AbortSignal.timeout(20) }))).toMatchObject({ name: "TimeoutError" })
    expect(await rejection(task.wait({ timeout: 20 }))).toBeInstanceOf(RWKVTimeoutError)
    expect(await running()).toBe(1)
    await task.stop()
    await stopped()
    expect(await rejection(task.wait())).toMatchObject({ _tag: "TaskCancelledError" })
  })

  promises("is made of a fill-in, too", async ({ client, verbs }) => {
    const task = await client.create({ prefix: "a", suffix: "b" })
    expect((await task.wait()).text).toBe(reply)
    expect(verbs()[0]).toBe("POST fim")
  })
})

describe("many runs", () => {
  promises("tell results and errors as values, from requests of either kind", async ({ client }) => {
    const requests = [says, { prompt: "" }, says]
    const later = async function*() {
      yield* requests
    }
    for (const each of [requests, new Set(requests), later()]) {
      const [texts, errors] = [Array<string>(), Array<unknown>()]
      for await (const { error, index, result } of client.generateAll(each, { concurrency: 2 })) {
        if (error === undefined) texts.push(result.text)
        else errors.push([index, error instanceof RWKVValidationError, isProxy(error)])
      }
      expect([texts, errors]).toEqual([each instanceof Set ? [reply] : [reply, reply], [[1, true, false]]])
    }
  })

  promises("fail by what their requests throw, and by what are none", async ({ client, stopped }) => {
    const mine = new Error("mine")
    const throws = async function*() {
      yield endless
      throw mine
    }
    const read = (requests: unknown) =>
      rejection(Reflect.apply(client.generateAll, client, [requests])[Symbol.asyncIterator]().next())
    expect(await read(throws())).toBe(mine)
    await stopped()
    for (const each of [null, 3, {}]) expect(await read(each)).toBeInstanceOf(RWKVValidationError)
  })

  promises("are stopped where the loop is left, and ask for no more requests", async ({ client, running }) => {
    let ended = false
    const requests = async function*() {
      try {
        yield says
        for (;;) yield endless
      } finally {
        ended = true
      }
    }
    for await (const { result } of client.generateAll(requests(), { concurrency: 4 })) {
      expect(result?.text).toBe(reply)
      break
    }
    expect(ended).toBe(true)
    await eventually(async () => await running() === 0)
  }, { profile: "documented" })
})

describe("a client that is closed", () => {
  promises("rejects what is open by type, and stops its tasks", async ({ client, stopped }) => {
    const iterator = client.stream(endless)[Symbol.asyncIterator]()
    const idle = client.stream(endless)[Symbol.asyncIterator]()
    await Promise.all([iterator.next(), idle.next()])
    const pending = Array.from({ length: 80 }, () => iterator.next().catch((error: unknown) => error))
    const run = await client.open(endless)
    const rejected = [
      client.generate(endless),
      run.finished(),
      client.generateAll([endless], { failures: "fail" })[Symbol.asyncIterator]().next()
    ]
      .map(rejection)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await client[Symbol.asyncDispose]()
    await stopped()
    for (const each of rejected) expect(await each).toBeInstanceOf(RWKVConnectionError)
    const answers = await Promise.all(pending)
    expect(answers.filter((answer) => answer instanceof RWKVConnectionError).length).toBe(1)
    const errors: Array<unknown> = []
    for (let asked = 0; asked < 10; asked++) await idle.next().catch((error: unknown) => errors.push(error))
    expect(errors.length).toBe(1)
    expect(errors[0]).toBeInstanceOf(RWKVConnectionError)
  }, { profile: "documented" })

  promises("rejects every verb by type, sends nothing, and may be closed again", async ({ client, verbs }) => {
    await Promise.all([client.close(), client.close()])
    await client.close()
    const task = client.task("TMP_1")
    const all = [
      client.generate(says),
      client.open(says),
      client.create(says),
      client.models(),
      task.wait(),
      task.delete()
    ]
    for (const each of [...all, join(client.stream(says)), join(task.stream())]) {
      expect(await rejection(each)).toSatisfy((error) => error instanceof RWKVConnectionError && !error.requestSent)
    }
    expect(verbs()).toEqual([])
  })

  promises("in the middle of a loop ends the loop by type", async ({ client }) => {
    const loop = async () => {
      for await (const _ of client.stream(endless)) await client.close()
    }
    expect(await rejection(loop())).toBeInstanceOf(RWKVConnectionError)
  })
})

describe("a custom fetch", () => {
  promises("is what requests go through", async () => {
    const urls: Array<string> = []
    const client = createClient({
      baseUrl: "http://gpu:8000/v1",
      apiKey: "secret",
      fetch: async (input, init) => {
        urls.push(`${input} ${new Headers(init?.headers).get("authorization")}`)
        return new Response(JSON.stringify({ object: "list", data: [] }))
      }
    })
    expect(await client.models()).toEqual([])
    expect(urls).toEqual(["http://gpu:8000/v1/models Bearer secret"])
    await client.close()
  })

  promises("that throws rejects by type", async () => {
    const client = createClient({ fetch: () => Promise.reject(new TypeError("fetch failed")), retry: Polling.noRetry })
    expect(await rejection(client.models())).toBeInstanceOf(RWKVConnectionError)
    await client.close()
  })
})
