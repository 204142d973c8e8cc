/**
 * Creates tasks for an owner: the caller that takes the handle, or the run that waits for the end.
 */
import * as Effect from "effect/Effect"
import type * as Generation from "../../Generation.js"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import type { CallFailure, RWKVError, WaitFailure } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import * as Options from "../input/options.js"
import { withDefaults } from "../input/request.js"
import * as validate from "../input/validate.js"
import type { Asked } from "../owner/admission.js"
import type { Runs } from "../stream/runs.js"
import { type Creation, isFim } from "../stream/starts.js"
import * as retry from "../wire/retry.js"
import * as telemetry from "../wire/telemetry.js"
import * as Wait from "./wait.js"

/** A created task, with the `maxTokens` of its request. */
export interface Created extends TaskResult {
  readonly maxTokens?: number | undefined
}

export type Create<A> = (request: A, options: HttpClient.CallOptions) => Effect.Effect<TaskResult, CallFailure>

/** How a pool repeats a run; the run's `timeout` is over all attempts. */
export type Again = <A>(operation: string, run: Effect.Effect<A, WaitFailure>) => Effect.Effect<A, WaitFailure>

export const make = (
  http: HttpClient.Service,
  config: RWKVConfig.Service,
  { ledger, ran }: Runs,
  waiting: ReturnType<typeof Wait.make>,
  again: Again = (_, run) => run
) => {
  const { lifetime } = ledger
  const creates = retry.creates(config)

  const completed = <A extends Generation.GenerationOptions>(operation: string, request: A, create: Create<A>) =>
    Effect.flatMap(
      withDefaults(operation, config, request),
      (request) =>
        Effect.map(create(request, { operation }), (created): Created => ({ ...created, maxTokens: request.maxTokens }))
    )

  /** If the caller is gone when the id arrives, nobody can use the task: it is stopped, and deleted if it is new. */
  const started = <A, E extends RWKVError, R>(
    operation: string,
    { request, source }: Pick<Asked, "request" | "source">,
    create: Effect.Effect<Created, E>,
    owned: (created: Created) => Effect.Effect<A, never, R>
  ) =>
    ledger.admit<E>({ isDirect: false, source, request }, creates)(
      operation,
      create,
      (created) => {
        const { maxTokens, prefillTime, requestId, taskId } = created
        ledger.begins(taskId, maxTokens, requestId)
        return Effect.zipRight(telemetry.note(({ named }) => named(taskId, prefillTime)), owned(created))
      },
      ({ maxTokens, taskId }) =>
        lifetime.release({ operation, taskId, stop: true, delete: source === undefined, maxTokens, retry: config })
    )

  /** A run by polling: its task is stopped if the wait is left or fails, and then deleted if temporary. */
  const polled = (
    operation: string,
    request: unknown,
    create: Effect.Effect<Created, CallFailure>,
    options: Options.Waiting
  ) => {
    const own = ({ maxTokens, taskId }: Created) => {
      let finished = false
      const about = { operation, taskId, maxTokens, fate: ledger.fate(taskId), retry: config }
      const farewell = Effect.suspend(() =>
        lifetime.release({ ...about, stop: !finished, delete: taskId.startsWith("TMP_") })
      )
      return Effect.flatMap(lifetime.own(farewell), (leave) =>
        Effect.as(
          Effect.addFinalizer((exit) => {
            finished = exit._tag === "Success"
            return leave
          }),
          taskId
        ))
    }
    const ended = Effect.flatMap(
      started(operation, { request }, create, own),
      (taskId) =>
        lifetime.unlessClosing(Effect.mapError(waiting.end(operation, taskId, options), begun), operation, taskId)
    )
    return Effect.scoped(ended)
  }

  const followed = <A extends Generation.GenerationOptions>(
    creation: Omit<Creation<A>, "cleanup">,
    request: A,
    { queueTimeout, stop }: Options.Running
  ) =>
    ran({ ...creation, cleanup: "delete" })(request, { idleTimeout: "5 seconds", queueTimeout, stop }).pipe(
      Effect.mapError(Wait.unwrap),
      Effect.flatMap((result) => waiting.uncancelled(creation.operation, result.taskId, result))
    )

  const run = (
    operation: string,
    request: Generation.CreateRequest | Generation.FimRequest,
    options?: Options.Running
  ): Effect.Effect<TaskResult, WaitFailure> =>
    Effect.flatMap(Options.ofRun(operation, options), (given) => {
      const ending = <A extends Generation.GenerationOptions>(
        create: Create<A>,
        stream: Creation<A>["stream"],
        request: A
      ): Effect.Effect<TaskResult, WaitFailure> =>
        Wait.looks(given)
          ? polled(operation, request, completed(operation, request, create), given)
          : followed({ operation, create, stream }, request, given)
      const ended = validate.attempt(operation, "", () =>
        isFim(request)
          ? ending(http.fim, http.fimStream, request)
          : ending(http.create, http.createStream, request))
      return waiting.inTime(again(operation, Effect.flatten(ended)), given.timeout, { operation })
    })

  return { completed, run, started }
}
