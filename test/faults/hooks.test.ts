/** What a program does in its hooks is not taken for what the operation around them does. */
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { TaskService, Telemetry } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { againstTestClock, failureOf } from "../support/harness.js"

const { FaultKind } = Emulator

const slow: Emulator.Options = { pulse: "1 minute" }

/** A call that fails, and whose caller goes on. */
const another = Effect.map(
  TaskService.TaskService,
  ({ models }) => Effect.ignore(Effect.timeout(models, "50 millis"))
)

it.effect("a wait that is over says nothing of the failures in its onProgress", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    const call = yield* another
    yield* emulator.inject({ on: { path: "/models" }, times: Infinity, kind: FaultKind.Refuse() })
    const task = yield* TaskService.create({ prompt: "a" })
    const schedule = Schedule.spaced("100 millis")
    const error = yield* failureOf(task.wait({ timeout: "1 second", schedule, onProgress: () => call }), "50 millis")
    expect([error._tag, error.message]).toEqual([
      "RWKVTimeoutError",
      `TaskService.wait: not finished within 1s (task ${task.id})`
    ])
    expect(error.isSafeToRepeat).toBe(false)
  }).pipe(againstTestClock(slow)))

it.effect("a wait that is over says nothing of the failures in hooks of telemetry", () =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    const call = yield* another
    const task = yield* TaskService.create({ prompt: "a" })
    yield* emulator.inject({ on: { path: "/models" }, times: Infinity, kind: FaultKind.Refuse() })
    yield* emulator.inject({ on: { path: "/status" }, times: Infinity, kind: FaultKind.Status({ status: 500 }) })
    const waits = task.wait({ timeout: "2 seconds", schedule: Schedule.spaced("100 millis") })
    const error = yield* failureOf(waits, "50 millis").pipe(
      Effect.provide(
        Telemetry.layer({ onRetry: ({ operation }) => operation === "TaskService.wait" ? call : Effect.void })
      )
    )
    expect(error).toMatchObject({ _tag: "RWKVTimeoutError", cause: { _tag: "RWKVServerError" } })
  }).pipe(againstTestClock(slow)))
