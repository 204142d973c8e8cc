/**
 * The handle of a batch: its progress and failures, read from the chunks that have ended.
 */
import { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Batch, countOf, type Failed, type Job, type Look, look, spread, type Summary } from "./batch.js"
import * as Cancellation from "./cancellation.js"

export interface Progress {
  /** Prompts whose results were handed over, in this round and those before. */
  readonly done: number
  /** Prompts that failed in their last round. */
  readonly failed: number
  /** All prompts. */
  readonly size: number
  /** Whether the round has ended. */
  readonly ended: boolean
}

export interface Handle {
  /** The engine's id of this round. */
  readonly executionId: string
  /** 0, and 1 more with each `retry`. */
  readonly round: number
  /** Waits for the end of the round. */
  readonly wait: Effect.Effect<Summary>
  /**
   * The progress, which grows as chunks of 64 prompts end: read each second, or as often as `every` says, and emitted
   * when it has changed. Ends with the round.
   */
  readonly progress: (options?: { readonly every?: Duration.DurationInput | undefined }) => Stream.Stream<Progress>
  /** The prompts that failed in their last round, of all chunks that have ended. */
  readonly failures: Stream.Stream<Failed>
  /**
   * Stops all tasks of the round within 10 seconds, and begins no more; `retry` does the rest. A server of
   * today may miss a stop (H29): such a task is kept, runs to its `maxTokens`, and a warning names it.
   */
  readonly cancel: Effect.Effect<void>
  /**
   * Waits for the end of the round, then starts another one for what failed or was not begun, and returns its handle.
   */
  readonly retry: Effect.Effect<Handle>
}

/** Reads the progress; chunks that are known to have ended are not read again. */
const readProgress = (job: Job, hasEnded: Effect.Effect<boolean, never, WorkflowEngine>) => {
  const seen: Array<Look | undefined> = Array.from({ length: countOf(job) })
  const { chunks } = spread(job)
  return Effect.gen(function*() {
    const ended = yield* hasEnded
    // Chunks begin in order: behind `chunks` unfinished ones none has begun.
    let open = ended || job.round > 0 ? Infinity : chunks
    for (let number = 0; number < seen.length && open > 0; number++) {
      if (seen[number]?.settled) continue
      const now = yield* look(job, number)
      seen[number] = now
      if (!now.settled) open--
    }
    const [done, failed] = seen.reduce(
      ([done, failed], one) => [done + (one?.done ?? 0), failed + (one?.failed.length ?? 0)],
      [0, 0]
    )
    return { done, failed, size: job.size, ended }
  })
}

export const start = (job: Job): Effect.Effect<Handle, never, WorkflowEngine> =>
  Effect.gen(function*() {
    const engine = yield* WorkflowEngine
    const withEngine = Effect.provideService(WorkflowEngine, engine)
    const executionId = yield* Batch.execute(job, { discard: true })
    const wait = withEngine(Batch.execute(job))
    const hasEnded = Effect.map(Batch.poll(executionId), (result) => result?._tag === "Complete")
    return {
      executionId,
      round: job.round,
      wait,
      progress: ({ every = "1 second" } = {}) =>
        Stream.suspend(() => Stream.repeatEffectWithSchedule(readProgress(job, hasEnded), Schedule.spaced(every))).pipe(
          Stream.takeUntil(({ ended }) => ended),
          Stream.changesWith((a, b) => a.done === b.done && a.failed === b.failed && a.ended === b.ended),
          Stream.provideService(WorkflowEngine, engine)
        ),
      failures: Stream.range(0, countOf(job) - 1).pipe(
        Stream.mapEffect((number) => look(job, number)),
        Stream.flatMap(({ failed }) => Stream.fromIterable(failed)),
        Stream.provideService(WorkflowEngine, engine)
      ),
      cancel: withEngine(Cancellation.cancel(executionId)),
      retry: Effect.zipRight(wait, withEngine(Effect.suspend(() => start({ ...job, round: job.round + 1 }))))
    }
  })
