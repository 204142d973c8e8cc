import type { Protocol, RWKVError } from "effect-rwkv"
import { type AsyncStream, createClient, RWKVConnectionError, type TaskHandle } from "effect-rwkv/promise"
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
    expect(client.task("TMP_1").wait).type.not.toBeCallableWith({ onProgress: () => {} })
    expect(createClient).type.not.toBeCallableWith({ apiKey: 3 })
  })

  test("everything can be disposed of, and tests give the emulator's layer", () => {
    expect(client).type.toBeAssignableTo<AsyncDisposable>()
    expect(client.stream({ prompt: "Hi" })).type.toBeAssignableTo<AsyncDisposable>()
    expect(createClient).type.toBeCallableWith({ httpClient: Emulator.layer() })
  })
})
