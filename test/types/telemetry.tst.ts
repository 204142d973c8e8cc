import { Effect, Layer, type Metric } from "effect"
import { RWKV, type RWKVError, Telemetry } from "effect-rwkv"
import { describe, expect, test } from "tstyche"

describe("Telemetry.layer", () => {
  test("needs nothing, fails with nothing, and adds nothing to what a program asks for", () => {
    expect(Telemetry.layer()).type.toBe<Layer.Layer<never>>()
    expect(Telemetry.layer({ model: "rwkv-7-g1" })).type.toBe<Layer.Layer<never>>()
    const services = RWKV.layer({})
    expect(Layer.merge(services, Telemetry.layer())).type.toBe<typeof services>()
  })

  test("takes five settings, and no others", () => {
    expect(Telemetry.layer).type.toBeCallableWith({
      model: "rwkv-7-g1",
      content: true,
      propagation: true,
      onRetry: () => Effect.void,
      onReconnect: () => Effect.void
    })
    expect(Telemetry.layer).type.toBeCallableWith({ model: undefined })
    expect(Telemetry.layer).type.not.toBeCallableWith({ baseUrl: "http://localhost:8000" })
    expect(Telemetry.layer).type.not.toBeCallableWith({ model: 7 })
    expect(Telemetry.layer).type.not.toBeCallableWith({ content: "yes" })
  })

  test("tells hooks what failed, and takes none that can fail", () => {
    Telemetry.layer({
      onRetry: (retry) => {
        expect(retry.error).type.toBe<RWKVError.RWKVError>()
        return Effect.void
      },
      onReconnect: (reconnect) => {
        expect(reconnect.taskId).type.toBe<string>()
        expect(reconnect.error).type.toBe<RWKVError.RWKVError | undefined>()
        return Effect.void
      }
    })
    expect(Telemetry.layer).type.not.toBeCallableWith({ onRetry: () => Effect.fail("no") })
    expect(Telemetry.layer).type.not.toBeCallableWith({ onReconnect: () => {} })
  })
})

describe("Telemetry.Telemetry", () => {
  test("is never missing", () => {
    expect(Effect.map(Telemetry.Telemetry, (settings) => settings.model)).type.toBe<Effect.Effect<string | undefined>>()
  })

  test("is provided to a part of a program", () => {
    const part = Effect.provideService(Effect.succeed(1), Telemetry.Telemetry, { model: "rwkv-7-g1" })
    expect(part).type.toBe<Effect.Effect<number>>()
  })
})

describe("what operators read", () => {
  test("is metrics of numbers", () => {
    expect(Telemetry.inferenceDuration).type.toBe<Metric.Metric.Histogram<number>>()
    expect(Telemetry.timeToFirstText).type.toBe<Metric.Metric.Histogram<number>>()
    expect(Telemetry.timePerOutputToken).type.toBe<Metric.Metric.Histogram<number>>()
    expect(Telemetry.outputTokensByRun).type.toBe<Metric.Metric.Histogram<number>>()
    expect(Telemetry.outputTokens).type.toBe<Metric.Metric.Counter<number>>()
    expect(Telemetry.runningTasks).type.toBe<Metric.Metric.Counter<number>>()
  })

  test("is names that are known by their letters", () => {
    expect(Telemetry.names.firstText).type.toBe<"rwkv.first_text">()
    expect(Telemetry.names.errorType).type.toBe<"error.type">()
  })
})
