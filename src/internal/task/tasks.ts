/**
 * The verbs of `TaskService` and of the handles it returns.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Generation from "../../Generation.js"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import {
  AlreadyTemplateError,
  type BranchFailure,
  type RWKVConnectionError,
  type RWKVValidationError,
  TemplateProtectedError
} from "../../RWKVError.js"
import type {
  BranchOptions,
  BulkOptions,
  DeleteOptions,
  StopOptions,
  SubscribeOptions,
  Task,
  WaitOptions
} from "../../Task.js"
import { begun } from "../input/failure.js"
import * as Options from "../input/options.js"
import { encoder } from "../input/request.js"
import * as validate from "../input/validate.js"
import { isFinished } from "../owner/farewell.js"
import type { Gate } from "../owner/ledger.js"
import { isTemplate } from "../stream/preconditions.js"
import type { Begun } from "../stream/record.js"
import type * as Runs from "../stream/runs.js"
import type { Kind } from "../telemetry/recorder.js"
import * as retry from "../wire/retry.js"
import * as Bulk from "./bulk.js"
import * as Run from "./run.js"
import * as Wait from "./wait.js"

/** The verbs of `StreamService` that handles use. */
interface Streams {
  readonly subscribe: (id: string, options?: SubscribeOptions) => ReturnType<Task["stream"]>
  readonly subscribeEvents: (id: string, options?: SubscribeOptions) => ReturnType<Task["streamEvents"]>
}

/** How a pool changes runs. */
interface ManyServers {
  readonly again?: Run.Again | undefined
  /** The default concurrency of {@link Bulk.runAll}. */
  readonly concurrency?: () => number
}

const endOf = (info: TaskInfo) => isFinished(info) ? "finished" as const : undefined

const encodeContinue = encoder(Generation.ContinueRequest)

export const make = (
  http: HttpClient.Service,
  config: RWKVConfig.Service,
  streams: Streams,
  runs: Runs.Runs,
  gate: Gate,
  { again, concurrency }: ManyServers = {}
) => {
  const { ledger, preconditions, spans } = runs
  const waiting = Wait.make(http, ledger, config, runs.ended)
  const { completed, run, started } = Run.make(http, config, runs, waiting, again)
  const reads = retry.reads(config)

  /** A verb under its name and in a span, refused once the service was closed. */
  const verb = <Args extends ReadonlyArray<unknown>, A, E>(
    operation: string,
    perform: (operation: string, ...args: Args) => Effect.Effect<A, E>,
    kind: Kind = "call"
  ) =>
  (...args: Args): Effect.Effect<A, E | RWKVConnectionError> =>
    spans.around(
      operation,
      kind,
      args[0],
      Effect.zipRight(gate(operation, args[0]), Effect.suspend(() => perform(operation, ...args)))
    )

  /** As `verb`, for a run that has a span of its own because it outlives the call. */
  const branching = <A, E>(
    operation: string,
    kind: Kind,
    perform: (id: string, request: A, options: BranchOptions) => Effect.Effect<Task, E>
  ) =>
  (
    id: string,
    request: A,
    options?: BranchOptions
  ): Effect.Effect<Task, E | RWKVConnectionError | RWKVValidationError> =>
    Effect.flatMap(
      spans.checked(operation, kind, id, Effect.zipRight(gate(operation, id), Options.ofBranch(operation, options))),
      (given) => perform(id, request, given)
    )

  const streamed = <A, E, R>(operation: string, about: unknown, stream: () => Stream.Stream<A, E, R>) =>
    Stream.unwrap(Effect.map(spans.checked(operation, "call", about, gate(operation, about)), stream))

  const creating = <A extends Generation.GenerationOptions>(operation: string, create: Run.Create<A>) =>
    verb(
      operation,
      (operation, request: A) => started(operation, { request }, completed(operation, request, create), owned),
      "start"
    )

  const kept = (persistence: Generation.Persistence): Run.Create<Generation.CreateRequest> => (request, options) =>
    http.create({ ...request, persistence }, options)

  const result = verb(
    "TaskService.result",
    Effect.fnUntraced(function*(operation, id: string) {
      const taskId = yield* validate.taskId(operation, id)
      const read = isTemplate(taskId)
        ? preconditions.template(operation, taskId)
        : reads(http.result(taskId, { operation }))
      const recording = ledger.recordings.get(taskId)
      if (recording === undefined) return yield* read
      const sofar = Option.isNone(yield* Deferred.poll(recording.result)) ? yield* read : undefined
      if (sofar?.finished === false) return { ...sofar, text: recording.text(), undecodedTail: false }
      // The server has finished, so the recording has too, or is about to.
      const known = yield* Effect.option(Deferred.await(recording.result))
      if (Option.isSome(known)) return known.value
      return { ...(sofar ?? (yield* read)), text: recording.text(), undecodedTail: true }
    })
  )

  const deleteTask = verb(
    "TaskService.delete",
    Effect.fnUntraced(function*(operation, id: string, options?: DeleteOptions) {
      const taskId = yield* validate.taskId(operation, id)
      const force = (yield* Options.ofDelete(operation, options)).force === true
      if (isTemplate(taskId) && !force) return yield* new TemplateProtectedError({ operation, taskId })
      let repeated = false
      const deletion = http.delete(taskId, { operation, force }).pipe(
        // An earlier attempt deleted the task, and its answer was lost.
        Effect.catchTag("TaskNotFoundError", (error) => repeated ? Effect.void : Effect.fail(error)),
        Effect.tapError((error) =>
          Effect.sync(() => {
            repeated = repeated || error._tag !== "RWKVConnectionError" || error.requestSent
          })
        ),
        reads
      )
      yield* ledger.witness(taskId, () => "deleted", deletion)
      ledger.begins(taskId)
    })
  )

  const branched = (begun: Effect.Effect<Begun, BranchFailure>): Effect.Effect<Task, BranchFailure> =>
    Effect.map(begun, ({ prefillTime, taskId }) => handle(taskId, prefillTime))

  const goOn = (operation: string, id: string, request: Generation.ContinueRequest, given: BranchOptions) =>
    Effect.gen(function*() {
      yield* preconditions.mayGoOn(operation, id, given.allowPastStop)
      const { max_tokens: maxTokens } = yield* encodeContinue(operation, request)
      yield* preconditions.ready(operation, id)
      const create = http.continue(id, request, { operation }).pipe(
        Effect.map((created): Run.Created => ({ ...created, maxTokens }))
      )
      // If the caller leaves, the run is stopped and the task, which was there before, is kept.
      return yield* started(operation, { request, source: id }, create, owned).pipe(
        Effect.catchTag("RWKVServerError", (error) => preconditions.explain(error, id))
      )
    })

  const continueTask = branching(
    "TaskService.continue",
    "start",
    (id, request: Generation.ContinueRequest, given): Effect.Effect<Task, BranchFailure> =>
      ledger.sharing.get(id) === undefined
        ? spans.around("TaskService.continue", "start", id, goOn("TaskService.continue", id, request, given))
        : branched(runs.continueSharing("TaskService.continue", id, request, given))
  )

  const asTemplate = verb(
    "TaskService.asTemplate",
    Effect.fnUntraced(function*(operation, id: string) {
      const taskId = yield* validate.taskId(operation, id)
      if (isTemplate(taskId)) return yield* new AlreadyTemplateError({ operation, taskId })
      const forget = ({ taskId }: TaskResult) =>
        ledger.lifetime.release({ operation, taskId, delete: true, retry: config })
      return yield* retry.creates(config)(ledger.lifetime.acquire(
        operation,
        Effect.tap(
          http.asTemplate(taskId, { operation }),
          (template) =>
            preconditions.template(operation, template.taskId).pipe(
              Effect.mapError(begun),
              Effect.onError(() => forget(template))
            )
        ),
        (template) => Effect.succeed(handle(template.taskId, template.prefillTime)),
        forget
      ))
    })
  )

  const status = verb("TaskService.status", (operation, id: string) =>
    Effect.flatMap(
      validate.taskId(operation, id),
      // The server answers with the ancestor's id for a fork or a template (H18).
      (taskId) =>
        Effect.map(
          ledger.witness(taskId, endOf, reads(http.status(taskId, { operation }))),
          (info) => ({ ...info, taskId })
        )
    ))

  const fork = branching(
    "TaskService.fork",
    "run",
    (id, request: Generation.ForkRequest, given) => branched(runs.fork("TaskService.fork", id, request, given))
  )

  const wait = verb(
    "TaskService.wait",
    (operation, id: string, options?: WaitOptions) =>
      ledger.witness(id, () => "finished", waiting.wait(operation, id, options))
  )

  const stop = verb(
    "TaskService.stop",
    (operation, id: string, options?: StopOptions) => ledger.witness(id, endOf, waiting.stop(operation, id, options))
  )

  /** Makes the handle. If nobody is left to take it, `started` stops the task. */
  const owned = ({ prefillTime, taskId }: TaskResult) => Effect.sync(() => handle(taskId, prefillTime))

  const handle = (id: TaskId, prefillTime: Duration.Duration): Task => ({
    id,
    prefillTime,
    wait: (options) => wait(id, options),
    result: result(id),
    status: status(id),
    stop: (options) => stop(id, options),
    delete: (options) => deleteTask(id, options),
    continue: (request, options) => continueTask(id, request, options),
    fork: (request, options) => fork(id, request, options),
    asTemplate: asTemplate(id),
    stream: (options) => streamed("StreamService.subscribe", id, () => streams.subscribe(id, options)),
    streamEvents: (options) => streamed("StreamService.subscribeEvents", id, () => streams.subscribeEvents(id, options))
  })

  /** One run of `runAll`. */
  const bulked = verb(Bulk.operation, run, "run")

  return {
    create: creating("TaskService.create", http.create),
    createTemporary: creating("TaskService.createTemporary", kept("temporary")),
    createPersistent: creating("TaskService.createPersistent", kept("persistent")),
    fim: creating("TaskService.fim", http.fim),
    run: verb("TaskService.run", run, "run"),
    runAll: <E, R>(
      requests:
        | Iterable<Generation.CreateRequest | Generation.FimRequest>
        | Stream.Stream<Generation.CreateRequest | Generation.FimRequest, E, R>,
      options?: BulkOptions
    ) =>
      streamed(
        Bulk.operation,
        undefined,
        () => Bulk.runAll(spans.parent(Bulk.operation), bulked, requests, options, concurrency?.())
      ),
    // Sends no request.
    task: (id: string) =>
      Effect.map(validate.taskId("TaskService.task", id), (taskId) => handle(taskId, Duration.zero)),
    wait,
    result,
    status,
    stop,
    delete: deleteTask,
    continue: continueTask,
    fork,
    asTemplate,
    list: verb("TaskService.list", (operation) => reads(http.list({ operation })))(),
    models: verb("TaskService.models", (operation) => reads(http.models({ operation })))()
  }
}
