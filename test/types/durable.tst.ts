import type { SqlClient } from "@effect/sql/SqlClient"
import type { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import type { ConfigError, Effect, Exit, Layer, Option, Stream } from "effect"
import type { RWKVError, TaskService } from "effect-rwkv"
import * as RWKVDurable from "effect-rwkv/RWKVDurable"
import { describe, expect, test } from "tstyche"

const request = { prompt: "Hello", maxTokens: 50 }

describe("RWKVDurable", () => {
  test("a generation needs a workflow and the verbs of tasks, and fails as a wait does", () => {
    expect(RWKVDurable.generate({ name: "a", request })).type.toBe<
      Effect.Effect<
        {
          readonly text: string
          readonly usage: RWKVDurable.Generated["usage"]
          readonly finishReason: RWKVDurable.Generated["finishReason"]
        },
        RWKVError.WaitFailure,
        TaskService.TaskService | WorkflowEngine | WorkflowInstance
      >
    >()
    expect<typeof RWKVDurable.Failure.Type>().type.toBe<RWKVError.WaitFailure>()
  })

  test("a request says what bounds it", () => {
    const middle = { name: "a", request: { prefix: "a", maxTokens: 5 }, recreate: 1 }
    expect<RWKVDurable.GenerateOptions>().type.toBeAssignableFrom<typeof middle>()
    expect(RWKVDurable.generate).type.not.toBeCallableWith({ name: "a", request: { prompt: "a" } })
    expect(RWKVDurable.generate).type.not.toBeCallableWith({ request })
    expect(RWKVDurable.start).type.not.toBeCallableWith({ key: "a", request: { prompt: "a" } })
  })

  test("whoever starts, polls and cancels needs the engine alone", () => {
    expect(RWKVDurable.start({ key: "a", request })).type.toBe<
      Effect.Effect<string, RWKVError.RWKVValidationError, WorkflowEngine>
    >()
    expect(RWKVDurable.poll("a")).type.toBe<
      Effect.Effect<Option.Option<Exit.Exit<RWKVDurable.Generated, RWKVError.WaitFailure>>, never, WorkflowEngine>
    >()
    expect(RWKVDurable.cancel("a")).type.toBe<Effect.Effect<void, never, WorkflowEngine>>()
  })

  test("a batch is a value whose members need nothing and do not fail", () => {
    expect(RWKVDurable.batch({ key: "a", source: "s", size: 5 })).type.toBe<
      Effect.Effect<RWKVDurable.Batch, RWKVError.RWKVValidationError, WorkflowEngine>
    >()
    expect<RWKVDurable.Batch["wait"]>().type.toBe<Effect.Effect<RWKVDurable.BatchSummary>>()
    expect<RWKVDurable.Batch["failures"]>().type.toBe<Stream.Stream<RWKVDurable.BatchFailure>>()
    expect<RWKVDurable.Batch["retry"]>().type.toBe<Effect.Effect<RWKVDurable.Batch>>()
  })

  test("layers say what they need", () => {
    expect(RWKVDurable.layer).type.toBe<Layer.Layer<never, never, WorkflowEngine | TaskService.TaskService>>()
    expect(RWKVDurable.layerBatch).type.toBe<
      Layer.Layer<
        never,
        never,
        WorkflowEngine | TaskService.TaskService | RWKVDurable.Source | RWKVDurable.Sink
      >
    >()
    expect(RWKVDurable.layerSingle()).type.toBe<Layer.Layer<WorkflowEngine, ConfigError.ConfigError, SqlClient>>()
  })
})
