/** Chats of programs without Effect: their turns, what they leave in the history, and what on the server. */
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { type Client, RWKVConnectionError, RWKVStatusError, RWKVValidationError } from "effect-rwkv/promise"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"
import { type Env, eventually, promises, rejection } from "../support/promises.js"

const { assistant, user } = RWKVChat

const echo: Emulator.Options = {
  reply: Emulator.chat(({ turn }) =>
    turn.startsWith("endless") ? { tokens: ["tick "], end: "loop" } : { reasoning: "Hm.", text: `You said ${turn}` }
  )
}

const chats = (name: string, program: (env: Env) => Promise<void>) => promises(name, program, echo)

const thinks = { think: "on", generation: { maxTokens: 1000 } } as const

const exchange = (text: string) => [user(text), assistant(`You said ${text}`, "Hm.")]

/** What is left on the server, soon. */
const nothing = ({ emulator }: Env) => eventually(async () => (await Effect.runPromise(emulator.tasks)).length === 0)

/** Whether a task was asked to stop, and runs no more. */
const left = async ({ running, verbs }: Env) => {
  expect(verbs()).toContain("POST stop")
  await eventually(async () => await running() === 0)
}

const ticking = async (client: Client, options: Parameters<Client["chat"]>[0] = {}) => {
  const chat = await client.chat(options)
  const turn = rejection(chat.send("endless"))
  const next = rejection(chat.send("b"))
  await new Promise((resolve) => setTimeout(resolve, 30))
  return { chat, turn, next }
}

describe("a chat", () => {
  chats("goes on from turn to turn, tells its state, takes turns back and branches", async (env) => {
    const { client } = env
    await using chat = await client.chat({ ...thinks, system: "Be brief." })
    const { finishReason, reply, usage } = await chat.send("a")
    expect([reply.text, reply.reasoning, finishReason]).toEqual(["You said a", "Hm.", "stop"])
    expect(usage.outputTokens).toBeGreaterThan(0)
    const parts: Array<RWKVChat.ReplyPart> = []
    for await (const part of chat.stream("b")) parts.push(part)
    expect(RWKVChat.replyFromParts(parts)).toMatchObject({ text: "You said b", reasoning: "Hm." })
    const both = [...exchange("a"), ...exchange("b")]
    expect(await chat.history()).toEqual(both)
    const state = await chat.state()
    expect(state).toEqual({ version: 1, system: "Be brief.", messages: both })
    await using resumed = await client.resume(JSON.parse(JSON.stringify(state)), thinks)
    await using branch = await chat.branch({ think: "off" })
    expect(await chat.undo()).toEqual(exchange("b"))
    await Promise.all([branch.send("c"), resumed.send("d"), chat.send("e")])
    expect((await branch.history()).slice(2)).toMatchObject([...exchange("b"), user("c"), { _tag: "Assistant" }])
    expect(await resumed.state()).toEqual({ ...state, messages: [...both, ...exchange("d")] })
    expect(await chat.history()).toEqual([...exchange("a"), ...exchange("e")])
    await nothing(env)
  })

  chats("opens a turn once its task is named: its parts are a web stream, and its end is told often", async (env) => {
    const chat = await env.client.chat(thinks)
    const read = await chat.open("a")
    const texts: Array<string> = []
    const sink = new WritableStream<RWKVChat.ReplyPart>({ write: (part) => void texts.push(part._tag) })
    await read.parts.toReadableStream().pipeTo(sink)
    expect([...new Set(texts)]).toEqual(["Reasoning", "Text"])
    expect((await read.turn()).reply.text).toBe("You said a")
    const unread = await chat.open("b")
    expect((await Promise.all([unread.turn(), unread.turn()])).map(({ reply }) => reply.text))
      .toEqual(["You said b", "You said b"])
    {
      await using gone = await chat.open("endless")
      expect(gone.parts).toBeDefined()
    }
    await left(env)
    expect(await chat.history()).toEqual([...exchange("a"), ...exchange("b")])
    await nothing(env)
  })

  chats("sends what is asked for at once one after the other, in its order, signals or not", async ({ client }) => {
    const chat = await client.chat()
    const { signal } = new AbortController()
    const texts = ["a", "b", "c", "d"]
    const sent = texts.map((text, index) => chat.send(text, index % 2 === 0 ? { signal } : undefined))
    expect((await Promise.all(sent)).map(({ reply }) => reply.text)).toEqual(texts.map((text) => `You said ${text}`))
    expect(await chat.history()).toEqual(texts.flatMap(exchange))
  })

  chats("that is aborted rejects with the reason and leaves the history, also where it waits", async (env) => {
    const chat = await env.client.chat()
    await chat.send("a")
    const [abort, waiting] = [new AbortController(), new AbortController()]
    const turn = rejection(chat.send("endless", { signal: abort.signal }))
    const queued = rejection(chat.send("b", { signal: waiting.signal }))
    const next = chat.send("c")
    await new Promise((resolve) => setTimeout(resolve, 30))
    waiting.abort("waited")
    expect(await queued).toBe("waited")
    abort.abort("enough")
    expect(await turn).toBe("enough")
    await left(env)
    expect((await next).reply.text).toBe("You said c")
    const reading = async () => {
      const again = new AbortController()
      for await (const _ of chat.stream("endless", { signal: again.signal })) again.abort("read")
    }
    expect(await rejection(reading())).toBe("read")
    for (const refused of [chat.send, chat.open]) {
      expect(await rejection(refused("d", { signal: AbortSignal.abort("before") }))).toBe("before")
    }
    expect(await chat.history()).toEqual([...exchange("a"), ...exchange("c")])
    await nothing(env)
  })

  chats("that is left by its reader leaves nothing, or what was delivered", async (env) => {
    for (const onInterrupt of ["drop", "keep"] as const) {
      const chat = await env.client.chat({ onInterrupt })
      for await (const _ of chat.stream("endless")) break
      await left(env)
      expect(await chat.history()).toMatchObject(onInterrupt === "drop" ? [] : [user("endless"), { _tag: "Assistant" }])
    }
    await nothing(env)
  })

  chats("rejects by type what is no option, no message, no state, and what the server refuses", async (env) => {
    const { client, emulator, verbs } = env
    const wrong: ReadonlyArray<unknown> = [{ system: " " }, { thinks: "on" }, { budget: 3 }, { signal: 3 }, "x"]
    for (const options of wrong) {
      const error = await rejection(Reflect.apply(client.chat, client, [options]))
      expect(error, JSON.stringify(options)).toBeInstanceOf(RWKVValidationError)
    }
    for (const state of [null, undefined, { version: 1, messages: [{ _tag: "User", content: "" }] }]) {
      expect(await rejection(Reflect.apply(client.resume, client, [state]))).toBeInstanceOf(RWKVValidationError)
    }
    const chat = await client.chat()
    for (const input of ["", [], null, RWKVChat.system("a")]) {
      const error = await rejection(Reflect.apply(chat.send, chat, [input]))
      expect(error, JSON.stringify(input)).toBeInstanceOf(RWKVValidationError)
    }
    expect(verbs()).toEqual([])
    await Effect.runPromise(emulator.inject({ on: { path: "/tmp" }, kind: Emulator.FaultKind.Status({ status: 401 }) }))
    expect(await rejection(chat.send("a"))).toBeInstanceOf(RWKVStatusError)
    expect(await chat.history()).toEqual([])
    await chat.send("b")
    expect(await chat.history()).toEqual(exchange("b"))
  })
})

describe("a chat that is closed", () => {
  chats("rejects by type what runs, waits and comes, and leaves nothing on the server", async (env) => {
    const { chat, next, turn } = await ticking(env.client)
    await chat.close()
    for (const each of [turn, next, rejection(chat.send("c")), rejection(chat.open("d"))]) {
      expect(await each).toBeInstanceOf(RWKVConnectionError)
    }
    await left(env)
    expect(await chat.history()).toEqual([])
    await chat[Symbol.asyncDispose]()
    await nothing(env)
  })

  chats("by its signal rejects with the reason", async (env) => {
    const abort = new AbortController()
    const { chat, next, turn } = await ticking(env.client, { signal: abort.signal })
    const other = await chat.branch()
    abort.abort("enough")
    const read = async () => {
      for await (const _ of chat.stream("c"));
    }
    for (const each of [turn, next, rejection(chat.send("c")), rejection(read()), rejection(chat.open("d"))]) {
      expect(await each).toBe("enough")
    }
    expect((await other.send("e")).reply.text).toBe("You said e")
    expect(await rejection(env.client.chat({ signal: abort.signal }))).toBe("enough")
    await left(env)
    await nothing(env)
  })

  chats("takes along the task that it keeps between its turns", async (env) => {
    for (const close of [true, false]) {
      const chat = await env.client.chat({ ...thinks, strategy: "continue" })
      await chat.send("a")
      expect((await chat.send("b")).strategy).toBe("continue")
      expect((await env.client.list()).totalCount).toBe(1)
      await (close ? chat : env.client).close()
      await nothing(env)
    }
  })

  chats("with its client rejects by type, and leaves nothing on the server", async (env) => {
    const { chat, next, turn } = await ticking(env.client)
    await env.client.close()
    for (const each of [turn, next, rejection(chat.send("c")), rejection(chat.branch())]) {
      expect(await each).toBeInstanceOf(RWKVConnectionError)
    }
    await nothing(env)
  })
})
