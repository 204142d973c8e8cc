import type { HttpClient as Platform } from "@effect/platform"
import { type Chunk, type ConfigError, Effect, Layer, Schedule, Schema, type Scope, Stream } from "effect"
import {
  type Generation,
  type HttpClient,
  Protocol,
  RWKV,
  type RWKVConfig,
  type RWKVError,
  StreamService,
  type Task,
  TaskService
} from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"
import { describe, expect, test } from "tstyche"

/** What the members of a service need to run: nothing. */
type Needs<Service> = {
  [Name in keyof Service]: Service[Name] extends (...args: never) => infer Result ? Of<Result> : Of<Service[Name]>
}[keyof Service]

type Of<Result> = Result extends Stream.Stream<infer _A, infer _E, infer R> ? R
  : Result extends Effect.Effect<infer _A, infer _E, infer R> ? R
  : never

const request = { prompt: "Hello" }

describe("services", () => {
  test("streams of text are Stream<string, RWKVError>", () => {
    type Text = Stream.Stream<string, RWKVError.RWKVError>
    expect<ReturnType<StreamService.Service["create"]>>().type.toBe<Text>()
    expect<ReturnType<StreamService.Service["fim"]>>().type.toBe<Text>()
    expect<ReturnType<StreamService.Service["subscribe"]>>().type.toBe<Text>()
    expect<ReturnType<StreamService.Service["continue"]>>().type.toBe<Text>()
    expect<ReturnType<StreamService.Service["fork"]>>().type.toBe<Text>()
    expect<ReturnType<Task.Task["stream"]>>().type.toBe<Text>()
  })

  test("streams of events are Stream<StreamEvent, RWKVError>", () => {
    type Events = Stream.Stream<Protocol.StreamEvent, RWKVError.RWKVError>
    expect<ReturnType<StreamService.Service["createEvents"]>>().type.toBe<Events>()
    expect<ReturnType<StreamService.Service["fimEvents"]>>().type.toBe<Events>()
    expect<ReturnType<StreamService.Service["subscribeEvents"]>>().type.toBe<Events>()
    expect<ReturnType<StreamService.Service["continueEvents"]>>().type.toBe<Events>()
    expect<ReturnType<StreamService.Service["forkEvents"]>>().type.toBe<Events>()
    expect<ReturnType<Task.Task["streamEvents"]>>().type.toBe<Events>()
  })

  test("no method needs anything", () => {
    // A bulk run needs what the stream of its requests needs.
    expect<Needs<Omit<TaskService.Service, "runAll">>>().type.toBe<never>()
    // A run that is opened lasts as long as its Scope.
    expect<Needs<Omit<StreamService.Service, "open" | "openContinue" | "openFork">>>().type.toBe<never>()
    expect<Needs<Pick<StreamService.Service, "open" | "openContinue" | "openFork">>>().type.toBe<Scope.Scope>()
    expect<Needs<HttpClient.Service>>().type.toBe<never>()
    expect<Needs<Task.Task>>().type.toBe<never>()
  })

  test("accessors need their service, and nothing else", () => {
    type Required<A> = A extends Effect.Effect<infer _A, infer _E, infer R> ? R : never
    expect<Required<ReturnType<typeof TaskService.create>>>().type.toBe<TaskService.TaskService>()
    expect<Required<ReturnType<typeof TaskService.run>>>().type.toBe<TaskService.TaskService>()
    expect<Required<ReturnType<typeof TaskService.delete>>>().type.toBe<TaskService.TaskService>()
    expect<Required<ReturnType<typeof TaskService.continue>>>().type.toBe<TaskService.TaskService>()
    expect<Required<typeof TaskService.list>>().type.toBe<TaskService.TaskService>()
    expect(StreamService.create(request)).type.toBe<
      Stream.Stream<string, RWKVError.RWKVError, StreamService.StreamService>
    >()
    expect(TaskService.create(request)).type.toBe<
      Effect.Effect<Task.Task, RWKVError.CallFailure, TaskService.TaskService>
    >()
  })

  test("the program of the design compiles to what it says", () => {
    const program = Effect.gen(function*() {
      const task = yield* TaskService.create({ prompt: "Hello world", maxTokens: 50 })
      const result = yield* task.wait({ timeout: "10 seconds" })
      const pieces = yield* Stream.runCollect(StreamService.create({ prompt: "Tell me a story", maxTokens: 200 }))
      return [result.text, pieces] as const
    })
    expect(program).type.toBe<
      Effect.Effect<
        readonly [string, Chunk.Chunk<string>],
        RWKVError.RWKVError,
        TaskService.TaskService | StreamService.StreamService
      >
    >()
    const provided = Effect.provide(program, Layer.provide(RWKV.layer(), Emulator.layer()))
    expect<Effect.Effect.Context<typeof provided>>().type.toBe<never>()
  })
})

describe("layers", () => {
  test("all services over a platform client", () => {
    expect(RWKV.layer()).type.toBe<
      Layer.Layer<RWKV.RWKV, RWKVError.RWKVValidationError, Platform.HttpClient>
    >()
    expect(RWKV.layerConfig()).type.toBe<
      Layer.Layer<RWKV.RWKV, ConfigError.ConfigError | RWKVError.RWKVValidationError, Platform.HttpClient>
    >()
    expect(RWKV.layerFetch()).type.toBe<Layer.Layer<RWKV.RWKV, RWKVError.RWKVValidationError>>()
    expect(RWKV.layerWithoutConfig).type.toBe<
      Layer.Layer<
        Exclude<RWKV.RWKV, RWKVConfig.RWKVConfig>,
        RWKVError.RWKVValidationError,
        RWKVConfig.RWKVConfig | Platform.HttpClient
      >
    >()
  })

  test("the emulator stands where the platform's client does", () => {
    expect(Emulator.layer()).type.toBe<Layer.Layer<Emulator.Emulator | Platform.HttpClient>>()
  })

  test("the emulator's replies are scripted by messages of a chat", () => {
    const reply = Emulator.chat(({ messages, options, request, turn }) => {
      expect(messages).type.toBe<ReadonlyArray<RWKVChat.Message>>()
      expect(options.think).type.toBe<RWKVChat.Think>()
      expect(request).type.toBe<Emulator.PromptRequest>()
      expect(turn).type.toBe<string>()
      return messages.length > 1 ? { text: "Hi", toolCalls: [RWKVChat.toolCall("f", {})] } : undefined
    })
    expect(reply).type.toBeAssignableTo<NonNullable<Emulator.Options["reply"]>>()
    expect(Emulator.chat).type.not.toBeCallableWith(() => 1)
    expect(Emulator.chat).type.not.toBeCallableWith(() => ({ text: 1 }))
  })
})

describe("models", () => {
  test("a text is no TaskId until it is checked", () => {
    expect<string>().type.not.toBeAssignableTo<Protocol.TaskId>()
    expect<Protocol.TaskId>().type.toBeAssignableTo<string>()
    expect(Schema.decodeSync(Protocol.TaskId)("TMP_1")).type.toBe<Protocol.TaskId>()
    expect<Task.Task["id"]>().type.toBe<Protocol.TaskId>()
    expect<string>().type.toBeAssignableTo<Parameters<typeof TaskService.status>[0]>()
  })

  test("requests take what belongs to them only", () => {
    // Calls that return nothing: an Effect that is not used would be an error of its own.
    const create: (request: Generation.CreateRequest) => void = TaskService.create
    const temporary: (request: Parameters<TaskService.Service["createTemporary"]>[0]) => void =
      TaskService.createTemporary
    const fim: (request: Generation.FimRequest) => void = TaskService.fim
    const proceed: (id: string, request: Generation.ContinueRequest) => void = TaskService.continue
    const fork: (id: string, request: Generation.ForkRequest) => void = TaskService.fork
    expect(create).type.toBeCallableWith({ prompt: [1, 2], topK: -1, persistence: "persistent" as const })
    expect(create).type.not.toBeCallableWith({})
    expect(create).type.not.toBeCallableWith({ prompt: "a", max_tokens: 5 })
    expect(create).type.not.toBeCallableWith({ prompt: "a", stream: true })
    expect(temporary).type.toBeCallableWith({ prompt: "a" })
    expect(temporary).type.not.toBeCallableWith({ prompt: "a", persistence: "persistent" as const })
    expect(fim).type.toBeCallableWith({ prefix: "" })
    expect(fim).type.not.toBeCallableWith({ prompt: "a" })
    expect(proceed).type.toBeCallableWith("TMP_1", { prompt: "a" })
    expect(proceed).type.not.toBeCallableWith("TMP_1", { prompt: "a", seed: 1 })
    expect(fork).type.toBeCallableWith("TMP_1", { prompt: "a", persistence: "temporary" as const })
    expect(fork).type.not.toBeCallableWith("TMP_1", { maxTokens: 5 })
    expect<Generation.CreateRequest["maxTokens"]>().type.toBe<number | undefined>()
  })

  test("F106 a subscription takes nothing that belongs to looks", () => {
    const schedule = Schedule.spaced("1 second")
    const onProgress = () => Effect.void
    const wait: (options?: Task.WaitOptions) => void = () => {}
    const bulk: (options?: Task.BulkOptions) => void = () => {}
    for (const takes of [wait, bulk]) {
      expect(takes).type.toBeCallableWith()
      expect(takes).type.toBeCallableWith({})
      expect(takes).type.toBeCallableWith({ timeout: "1 minute" as const })
      expect(takes).type.toBeCallableWith({ schedule })
      expect(takes).type.toBeCallableWith({ schedule, by: "polling" as const })
      expect(takes).type.toBeCallableWith({ by: "subscription" as const, timeout: "1 minute" as const })
      expect(takes).type.toBeCallableWith({ by: "subscription" as const, schedule: undefined })
      expect(takes).type.not.toBeCallableWith({ by: "subscription" as const, schedule })
      expect(takes).type.not.toBeCallableWith({ by: "listening" as const })
    }
    expect(wait).type.toBeCallableWith({ onProgress })
    expect(wait).type.toBeCallableWith({ onProgress, schedule, by: "polling" as const })
    expect(wait).type.not.toBeCallableWith({ onProgress, by: "subscription" as const })
    // The progress of many runs is that of their results, whatever tells of their ends.
    expect(bulk).type.toBeCallableWith({ onProgress, by: "subscription" as const })
    // Which way is not known before the program runs.
    expect<{ readonly by: "polling" | "subscription" }>().type.toBeAssignableTo<Task.WaitOptions>()
    expect<{ readonly by: "polling" | "subscription" }>().type.toBeAssignableTo<Task.BulkOptions>()
    expect<Task.BulkResult["request"]>().type.toBe<Generation.CreateRequest | Generation.FimRequest>()
  })

  test("a status is one of four words", () => {
    expect<Protocol.TaskInfo["status"]>().type.toBe<"Prefill" | "Ready" | "Running" | "Finished">()
  })

  test("events are told apart by their tag", () => {
    const textOf = Protocol.StreamEvent.$match({
      Started: ({ taskId }) => {
        expect(taskId).type.toBe<Protocol.TaskId>()
        return ""
      },
      Text: ({ text }) => text,
      Finished: ({ result }) => {
        expect(result).type.toBe<Protocol.TaskResult>()
        return result.text
      }
    })
    expect<ReturnType<typeof textOf>>().type.toBe<string>()
  })
})
