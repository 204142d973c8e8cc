import { Effect, Schedule, Stream } from "effect"
import { type Protocol, RWKVConfig, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { describe, expect, test } from "tstyche"

const override = RWKVConfig.withConfigOverride({ requestTimeout: "20 seconds" })

describe("withConfigOverride", () => {
  test("keeps an Effect an Effect, which can fail because of the override as well", () => {
    const piped = TaskService.status("TMP_1").pipe(override)
    expect(piped).type.toBe<Effect.Effect<Protocol.TaskInfo, RWKVError.TaskFailure, TaskService.TaskService>>()
    expect(override(Effect.succeed(1))).type.toBe<Effect.Effect<number, RWKVError.RWKVValidationError>>()
  })

  test("keeps a Stream a Stream", () => {
    const piped = StreamService.create({ prompt: "Hello" }).pipe(override, Stream.take(1))
    expect(piped).type.toBe<Stream.Stream<string, RWKVError.RWKVError, StreamService.StreamService>>()
    expect(override(Stream.make(1))).type.toBe<Stream.Stream<number, RWKVError.RWKVValidationError>>()
  })

  test("takes four options, and no others", () => {
    expect(RWKVConfig.withConfigOverride).type.toBeCallableWith({
      requestTimeout: 5,
      headers: { "x-tenant": "a" },
      retry: Schedule.stop,
      defaults: { maxTokens: 5 }
    })
    expect(RWKVConfig.withConfigOverride).type.not.toBeCallableWith({ baseUrl: "http://localhost:8000" })
    expect(RWKVConfig.withConfigOverride).type.not.toBeCallableWith({ defaults: { prompt: "Hello" } })
    expect(override).type.not.toBeCallableWith("Hello")
  })
})
