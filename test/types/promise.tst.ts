import { type Effect, Layer, type Stream } from "effect"
import { type Protocol, RWKV, type RWKVError, StreamService, type Task, type TaskService, Telemetry } from "effect-rwkv"
import { type AsyncStream, createClient, RWKVConnectionError } from "effect-rwkv/promise"
import type { BulkResult, Chat, Client, OpenTurn, Options, Run, TaskHandle } from "effect-rwkv/promise"
import type * as RWKVChat from "effect-rwkv/RWKVChat"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { describe, expect, test } from "tstyche"

const client = createClient()

describe("promises", () => {
  test("ten lines without Effect stream, abort and catch a typed error", () => {
    const program = async () => {
      const client = createClient({ baseUrl: "http://localhost:8000" })
      try {
        const signal = AbortSignal.timeout(10_000)
        for await (const text of client.stream({ prompt: "Hi" }, { signal })) expect(text).type.toBe<string>()
      } catch (error) {
        if (error instanceof RWKVConnectionError) expect(error.requestSent).type.toBe<boolean>()
        else throw error
      } finally {
        await client.close()
      }
    }
    expect(program()).type.toBe<Promise<void>>()
  })

  test("verbs resolve with what the services succeed with", () => {
    expect(client.generate({ prompt: "Hi" }, { stop: ["a"] })).type.toBe<Promise<Protocol.TaskResult>>()
    expect(client.stream({ prefix: "a", suffix: "b" })).type.toBe<AsyncStream<string>>()
    expect(client.create({ prompt: "Hi" })).type.toBe<Promise<TaskHandle>>()
    expect(client.task("TMP_1").delete({ force: true })).type.toBe<Promise<void>>()
    expect(client.task("TMP_1").status()).type.toBe<Promise<Protocol.TaskInfo>>()
    expect(client.stream({ prompt: "Hi" }).toReadableStream()).type.toBe<ReadableStream<string>>()
  })

  test("of many, each has a result or an error", () => {
    const program = async () => {
      for await (const { error, result } of client.generateAll([{ prompt: "Hi" }])) {
        if (error === undefined) expect(result).type.toBe<Protocol.TaskResult>()
        else expect(error).type.toBe<RWKVError.WaitFailure>()
      }
    }
    expect(program()).type.toBe<Promise<void>>()
  })

  test("what cannot be is refused", () => {
    expect(client.generate).type.not.toBeCallableWith({ prompt: "Hi" }, { by: "polling", stop: ["a"] })
    expect(client.generate).type.not.toBeCallableWith({ prompt: "Hi" }, { signal: "now" })
    expect(client.stream).type.not.toBeCallableWith({ prompt: "Hi" }, { stops: ["a"] })
    expect(client.task("TMP_1").wait).type.not.toBeCallableWith({ by: "subscription", onProgress: () => {} })
    expect(client.chat).type.not.toBeCallableWith({ thinks: "on" })
    expect(createClient).type.not.toBeCallableWith({ apiKey: 3 })
  })

  test("everything can be disposed of, and tests give the emulator's layer", () => {
    expect(client).type.toBeAssignableTo<AsyncDisposable>()
    expect(client.stream({ prompt: "Hi" })).type.toBeAssignableTo<AsyncDisposable>()
    expect(createClient).type.toBeCallableWith({ httpClient: Emulator.layer() })
  })

  test("services are a layer that needs the platform's client at most, and bring all other options", () => {
    const services = RWKVPool.layer({ servers: [{ name: "a", baseUrl: "http://a" }] })
    expect(createClient).type.toBeCallableWith({ services, httpClient: Emulator.layer(), fetch })
    expect(createClient).type.toBeCallableWith({ services: Layer.merge(RWKV.layer(), Telemetry.layer()) })
    expect(createClient).type.not.toBeCallableWith({ services, baseUrl: "http://b" })
    expect(createClient).type.not.toBeCallableWith({ services: StreamService.layer })
    expect(createClient).type.not.toBeCallableWith({ services: Telemetry.layer() })
  })

  test("callbacks return promises or nothing, and get what those of the services get", () => {
    const told = async ({ generatedTokens }: Protocol.TaskInfo) => void generatedTokens
    expect(client.task("TMP_1").wait).type.toBeCallableWith({ onProgress: told })
    expect(client.generate).type.toBeCallableWith({ prompt: "Hi" }, { onProgress: () => {} })
    expect(client.generate).type.toBeCallableWith({ prompt: "Hi" }, { onProgress: async () => {} })
    expect(client.generateAll).type.toBeCallableWith([], { onProgress: ({ done }: { done: number }) => void done })
  })
})

describe("the promises' options", () => {
  type Last<Args extends ReadonlyArray<unknown>> = Args extends [unknown, (infer O)?] ? O : Args[0]
  type Of<Verb> = Verb extends (...args: infer Args) => unknown ? Exclude<Last<Args>, undefined> : never
  type Tasks = TaskService.Service
  type Streams = StreamService.Service
  type Third<Verb> = Verb extends (...args: infer Args) => unknown ? Exclude<Args[2], undefined> : never

  test("are those of the services, with a signal", () => {
    expect<Of<Client["generate"]>>().type.toBe<Options<Of<Tasks["run"]>>>()
    expect<Of<Client["generateAll"]>>().type.toBe<Options<Task.BulkOptions>>()
    expect<Of<Client["stream"]>>().type.toBe<Options<Of<Streams["create"]>>>()
    expect<Of<Client["stream"]>>().type.toBe<Options<Of<Streams["fim"]>>>()
    expect<Of<Client["open"]>>().type.toBe<Options<Of<Streams["open"]>>>()
    expect<Of<TaskHandle["wait"]>>().type.toBe<Options<Of<Tasks["wait"]>>>()
    expect<Of<TaskHandle["stop"]>>().type.toBe<Options<Of<Tasks["stop"]>>>()
    expect<Of<TaskHandle["delete"]>>().type.toBe<Options<Of<Tasks["delete"]>>>()
    expect<Of<TaskHandle["continue"]>>().type.toBe<Options<Third<Tasks["continue"]>>>()
    expect<Of<TaskHandle["fork"]>>().type.toBe<Options<Third<Tasks["fork"]>>>()
    expect<Of<TaskHandle["stream"]>>().type.toBe<Options<Of<Streams["subscribe"]>>>()
    expect<Of<TaskHandle["streamEvents"]>>().type.toBe<Options<Of<Streams["subscribeEvents"]>>>()
    expect<Of<TaskHandle["openContinue"]>>().type.toBe<Options<Third<Streams["openContinue"]>>>()
    expect<Of<TaskHandle["openFork"]>>().type.toBe<Options<Third<Streams["openFork"]>>>()
    expect<Of<Client["chat"]>>().type.toBe<Options<RWKVChat.SessionOptions>>()
    expect<Of<Client["resume"]>>().type.toBe<Options<Omit<RWKVChat.SessionOptions, "history">>>()
    expect<Of<Chat["send"]>>().type.toBe<Options<RWKVChat.TurnOptions>>()
    expect<Of<Chat["stream"]>>().type.toBe<Options<RWKVChat.TurnOptions>>()
    expect<Of<Chat["open"]>>().type.toBe<Options<RWKVChat.TurnOptions>>()
    expect<Of<Chat["branch"]>>().type.toBe<Options<Omit<RWKVChat.SessionOptions, "history">>>()
    expect<Of<Chat["undo"]>>().type.toBe<Options>()
    expect<Of<Client["models"]>>().type.toBe<Options>()
  })

  test("lack nothing but callbacks that return Effects", () => {
    type Missing<O> = O extends unknown ? Exclude<keyof O, keyof Options<O>> : never
    type All = Task.RunOptions | Task.BulkOptions | Task.StreamOptions | Task.SubscribeOptions | RWKVChat.SessionOptions
    expect<Missing<All>>().type.toBe<never>()
    expect<keyof Options<Task.StopOptions>>().type.toBe<"signal" | "within">()
  })

  test("every verb of a handle, a run, a turn and a session is there", () => {
    type Verbs<A> = { [K in keyof A]: A[K] extends string | undefined ? never : K }[keyof A]
    expect<Exclude<Verbs<Task.Task>, keyof TaskHandle>>().type.toBe<"prefillTime">()
    expect<Exclude<Verbs<RWKVChat.Session>, keyof Chat>>().type.toBe<never>()
    expect<Exclude<keyof Task.Opened, keyof Run>>().type.toBe<never>()
    expect<Exclude<keyof RWKVChat.OpenTurn, keyof OpenTurn>>().type.toBe<never>()
    // What the client has by another name, or what its requests say.
    type Elsewhere = "run" | "runAll" | "fim" | "createTemporary" | "createPersistent"
    expect<Exclude<keyof Tasks, Elsewhere | keyof Client | keyof TaskHandle>>().type.toBe<never>()
    type Events = "createEvents" | "fimEvents" | "continueEvents" | "forkEvents" // as those of a run
    type Subscribing = "subscribe" | "subscribeEvents"
    expect<Exclude<keyof Streams, Elsewhere | Events | Subscribing | keyof Client | keyof TaskHandle>>()
      .type.toBe<never>()
  })

  test("chats resolve with what sessions succeed with", () => {
    const chat = async () => await client.chat({ think: "on" })
    expect(chat()).type.toBe<Promise<Chat>>()
    expect<ReturnType<Chat["send"]>>().type.toBe<Promise<RWKVChat.Turn>>()
    expect<ReturnType<Chat["stream"]>>().type.toBe<AsyncStream<RWKVChat.ReplyPart>>()
    expect<ReturnType<Chat["history"]>>().type.toBe<Promise<Effect.Effect.Success<RWKVChat.Session["history"]>>>()
    expect<ReturnType<Chat["branch"]>>().type.toBe<Promise<Chat>>()
    expect<Run["text"]>().type.toBe<AsyncStream<Stream.Stream.Success<Task.Opened["text"]>>>()
    expect<ReturnType<Client["generateAll"]>>().type.toBe<AsyncStream<BulkResult>>()
  })
})
