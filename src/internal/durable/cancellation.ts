/**
 * Cancels a workflow by a mark in the engine's storage. The engine's own `interrupt` waits until a workflow suspends,
 * and one that waits for a task does not.
 */
import * as Workflow from "@effect/workflow/Workflow"
import { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

export const Cancellation = /*#__PURE__*/ Workflow.make({
  name: "effect-rwkv/Cancellation",
  payload: { executionId: Schema.String },
  idempotencyKey: ({ executionId }) => executionId
})

export const layer = /*#__PURE__*/ Cancellation.toLayer(() => Effect.void)

export const cancel = (executionId: string): Effect.Effect<void, never, WorkflowEngine> =>
  Effect.asVoid(Cancellation.execute({ executionId }, { discard: true }))

/** Makes a look whether a workflow was cancelled; false while the storage does not answer. */
export const looker = (executionId: string): Effect.Effect<Effect.Effect<boolean>, never, WorkflowEngine> =>
  Effect.gen(function*() {
    const engine = yield* WorkflowEngine
    const id = yield* Cancellation.executionId({ executionId })
    return Cancellation.poll(id).pipe(
      Effect.map((result) => result !== undefined),
      Effect.catchAllDefect(() => Effect.succeed(false)),
      Effect.provideService(WorkflowEngine, engine),
      // Not traced: a look each second would fill the trace.
      Effect.withTracerEnabled(false)
    )
  })

/** Looks each second until a look is true. */
export const until = (look: Effect.Effect<boolean>): Effect.Effect<void> =>
  Effect.asVoid(Effect.repeat(look, { until: (found) => found, schedule: Schedule.spaced("1 second") }))
