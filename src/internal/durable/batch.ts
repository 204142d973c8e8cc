/**
 * A batch: one workflow that starts chunks, and chunks that run prompts. Neither holds more than its own part of the
 * job.
 */
import * as Workflow from "@effect/workflow/Workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { excerpt } from "../input/excerpt.js"
import * as Cancellation from "./cancellation.js"
import { check, type Generated, type Request } from "./schemas.js"
import * as Work from "./work.js"

export interface Page {
  /** The place of the first prompt that is wanted, from 0 on. */
  readonly offset: number
  /** How many are wanted: 1 to 64. */
  readonly limit: number
}

export class Source extends Context.Tag("effect-rwkv/RWKVDurable/Source")<Source, {
  readonly page: (source: string, page: Page) => Effect.Effect<ReadonlyArray<Request>, unknown>
}>() {}

export interface Result extends Generated {
  /** The batch's key, a slash and the index: the same whenever this result is handed over. */
  readonly key: string
  /** The batch's key. */
  readonly batch: string
  /** The place of the prompt in the source, from 0 on. */
  readonly index: number
}

export class Sink extends Context.Tag("effect-rwkv/RWKVDurable/Sink")<Sink, {
  readonly write: (result: Result) => Effect.Effect<void, unknown>
}>() {}

const Count = Schema.NonNegativeInt

export interface Failed {
  /** The place of the prompt in the source, from 0 on. */
  readonly index: number
  /** The tag of the error; `"Source"` or `"Sink"` if that service of the program failed. */
  readonly reason: string
  readonly message: string
}

const Failed: Schema.Schema<Failed> =
  /*#__PURE__*/ (() => Schema.Struct({ index: Count, reason: Schema.String, message: Schema.String }))()

/** Prompts in one chunk, and so the most that are run again after a kill. */
const chunkSize = 64

export interface Summary {
  /** Prompts whose results were handed over in this round. */
  readonly done: number
  /** Prompts that failed in this round. */
  readonly failed: number
  /** Whether the round was cancelled: the prompts that are in neither number were not begun. */
  readonly cancelled: boolean
}

const Summary: Schema.Schema<Summary> =
  /*#__PURE__*/ (() => Schema.Struct({ done: Count, failed: Count, cancelled: Schema.Boolean }))()

export const Batch = /*#__PURE__*/ Workflow.make({
  name: "effect-rwkv/Batch",
  payload: { key: Schema.String, source: Schema.String, size: Count, inFlight: Count, recreate: Count, round: Count },
  idempotencyKey: ({ key, round }) => `${key}/${round}`,
  success: Summary
})

export type Job = typeof Batch.payloadSchema.Type

const Chunk = /*#__PURE__*/ Workflow.make({
  name: "effect-rwkv/BatchChunk",
  payload: {
    batch: Schema.String,
    key: Schema.String,
    source: Schema.String,
    offset: Count,
    limit: Count,
    atOnce: Count,
    recreate: Count,
    /** The places in the page to run, which failed in the round before; all of them if absent. */
    only: Schema.optional(Schema.Array(Count))
  },
  idempotencyKey: ({ batch, offset }) => `${batch}/${offset}`,
  success: Schema.Struct({ done: Count, failed: Schema.Array(Failed) })
})

/** The places of the prompts that a chunk runs. */
const placesOf = ({ limit, only }: typeof Chunk.payloadSchema.Type) =>
  only ?? Array.from({ length: limit }, (_, place) => place)

/** Calls a service of the program, which may fail or throw; repeats it for 10 minutes. */
const asked = <A>(ask: () => Effect.Effect<A, unknown>): Effect.Effect<A, string> =>
  Effect.suspend(ask).pipe(
    Effect.catchAllDefect(Effect.fail),
    Effect.retry(Work.retriesFor("10 minutes")),
    Effect.mapError((error) => excerpt(error instanceof Error ? error.message : String(error)))
  )

/** Watches for the cancellation of a batch with one fiber for all prompts of a workflow. */
const watching = (batch: string) =>
  Effect.gen(function*() {
    const look = yield* Cancellation.looker(batch)
    const flag = yield* Deferred.make<void>()
    const raise = Deferred.succeed(flag, undefined)
    if (yield* look) yield* raise
    yield* Effect.fork(Effect.zipRight(Cancellation.until(look), raise))
    return Deferred.isDone(flag)
  })

const operation = "RWKVDurable.batch"

const chunks = Chunk.toLayer((part) =>
  Effect.gen(function*() {
    const { page } = yield* Source
    const { write } = yield* Sink
    const { atOnce, batch, key, limit, offset, recreate, source } = part
    const isCancelled = yield* watching(batch)
    const requests = yield* Effect.either(
      asked(() =>
        Effect.filterOrFail(page(source, { offset, limit }), (page) => Array.isArray(page), () => "is no list")
      )
    )
    const one = (place: number) => {
      const index = offset + place
      const failed = (reason: string, message: string) => Option.some<Failed>({ index, reason, message })
      if (Either.isLeft(requests)) return Effect.succeed(failed("Source", requests.left))
      const request = requests.right[place]
      if (request === undefined) return Effect.succeed(failed("Source", "the page holds no request for it"))
      const generate = Work.run({
        operation,
        name: String(index),
        request,
        recreate,
        wait: undefined,
        isCancelled,
        // Saves a stored step for each of a million prompts; a kill repeats the deletions of one chunk at most.
        recordsDeletion: false,
        // The text is the sink's to keep: the engine records only that it was handed over, or why not.
        record: Schema.NullOr(Schema.String),
        finish: (generated) =>
          asked(() => write({ ...generated, batch: key, index, key: `${key}/${index}` })).pipe(
            Effect.match({ onFailure: (message) => message, onSuccess: () => null })
          )
      })
      return Effect.zipRight(check(operation, request), generate).pipe(Effect.match({
        onFailure: ({ _tag, message }) => failed(_tag, excerpt(message)),
        onSuccess: (refusal) => refusal === null ? Option.none() : failed("Sink", refusal)
      }))
    }
    const places = placesOf(part)
    const failed = (yield* Effect.forEach(places, one, { concurrency: atOnce })).flatMap(Option.toArray)
    return { done: places.length - failed.length, failed }
  })
)

/** What is known of a chunk, over a round and all before it. */
export interface Look {
  readonly done: number
  readonly failed: ReadonlyArray<Failed>
  /** Whether it has ended in any round. */
  readonly begun: boolean
  /** Whether nothing more will come of it in this round. */
  readonly settled: boolean
}

const unseen: Look = { done: 0, failed: [], begun: false, settled: false }

export const countOf = ({ size }: Job) => Math.ceil(size / chunkSize)

/** Chunks under way, and prompts under way in each: their product is at most `inFlight`, wherever they run. */
export const spread = (job: Job) => {
  const atOnce = Math.max(1, Math.min(countOf(job), Math.floor(Math.sqrt(job.inFlight))))
  return { chunks: atOnce, prompts: Math.floor(job.inFlight / atOnce) }
}

const partOf = (job: Job, batch: string, number: number, only?: ReadonlyArray<number>) => {
  const { key, recreate, size, source } = job
  const offset = number * chunkSize
  const limit = Math.min(chunkSize, size - offset)
  return { batch, key, source, offset, limit, atOnce: spread(job).prompts, recreate, only }
}

/** The result of a chunk in a round; undefined while it has not ended. */
const resultOf = (job: Job, number: number) =>
  Effect.gen(function*() {
    const part = partOf(job, yield* Batch.executionId(job), number)
    const result = yield* Chunk.poll(yield* Chunk.executionId(part))
    return result?._tag === "Complete" && result.exit._tag === "Success" ? result.exit.value : undefined
  }).pipe(Effect.withTracerEnabled(false))

export const look = (job: Job, number: number): Effect.Effect<Look, never, WorkflowEngine> =>
  Effect.gen(function*() {
    const before = job.round === 0 ? unseen : yield* look({ ...job, round: job.round - 1 }, number)
    if (before.begun && before.failed.length === 0) return before
    const now = yield* resultOf(job, number)
    return now === undefined
      ? { ...before, settled: false }
      : { done: before.done + now.done, failed: now.failed, begun: true, settled: true }
  })

const batches = Batch.toLayer((job, batch) =>
  Effect.gen(function*() {
    const isCancelled = yield* watching(batch)
    const atOnce = spread(job).chunks
    // Cancelled chunks that a killed process had begun still have to end: the first `atOnce` without a result.
    let ending = atOnce
    const one = (number: number) =>
      Effect.gen(function*() {
        const before = job.round === 0 ? unseen : yield* look({ ...job, round: job.round - 1 }, number)
        if (before.begun && before.failed.length === 0) return { done: 0, failed: 0 }
        if ((yield* isCancelled) && (yield* resultOf(job, number)) === undefined && --ending < 0) return undefined
        const offset = number * chunkSize
        const only = before.begun ? before.failed.map(({ index }) => index - offset) : undefined
        const { done, failed } = yield* Chunk.execute(partOf(job, batch, number, only))
        return { done, failed: failed.length }
      })
    let [done, failed, cancelled] = [0, 0, false]
    yield* Effect.forEach(
      Array.from({ length: countOf(job) }, (_, number) => number),
      (number) =>
        Effect.map(one(number), (ended) => {
          done += ended?.done ?? 0
          failed += ended?.failed ?? 0
          cancelled ||= ended === undefined
        }),
      { concurrency: atOnce, discard: true }
    )
    return { done, failed, cancelled: cancelled || (yield* isCancelled) }
  })
)

export const layer = Layer.mergeAll(chunks, batches, Cancellation.layer)
