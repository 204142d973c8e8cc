/**
 * The services of a pool: new work by its policy, all else where the task lives.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CreateRequest, FimRequest } from "../../Generation.js"
import type { TaskList } from "../../Protocol.js"
import type { CallFailure, RWKVConnectionError, RWKVError } from "../../RWKVError.js"
import type { BulkOptions, Requests, Task } from "../../Task.js"
import { property } from "../input/json.js"
import type * as Options from "../input/options.js"
import type { Override } from "../input/override.js"
import * as validate from "../input/validate.js"
import type { Gate } from "../owner/ledger.js"
import * as Runs from "../stream/runs.js"
import type { Opening, Telling } from "../stream/telling.js"
import * as Verbs from "../stream/verbs.js"
import * as Bulk from "../task/bulk.js"
import { closedBefore } from "../wire/closed.js"
import { limited } from "../wire/limit.js"
import * as telemetry from "../wire/telemetry.js"
import * as Attempts from "./attempts.js"
import type { Pool } from "./pool.js"
import type { Server } from "./server.js"

type Request = CreateRequest | FimRequest

export const make = (pool: Pool, replays: boolean, settings: Override) => {
  const spans = telemetry.make({ baseUrl: undefined })
  const { opened, started } = Attempts.make(pool, replays, settings)

  /** What is told of a task, where that lives. */
  const followed = <Args extends ReadonlyArray<unknown>, A>(
    operation: string,
    telling: Telling<A>,
    verb: (starts: Verbs.Starts, telling: Telling<A>) => (id: string, ...args: Args) => Opening<A>
  ) =>
  (id: string, ...args: Args) =>
    Effect.flatMap(
      pool.owner(operation, id),
      ({ starts, tally }) => verb(starts, tally.counting(telling))(id, ...args)
    )

  const starts: Verbs.Starts = {
    created: (operation, telling) => (request, options) =>
      opened(operation, request, telling, (starts, telling) => starts.created(operation, telling)(request, options)),
    filled: (operation, telling) => (request, options) =>
      opened(operation, request, telling, (starts, telling) => starts.filled(operation, telling)(request, options)),
    continued: (operation, telling) =>
      followed(operation, telling, (starts, telling) => starts.continued(operation, telling)),
    forked: (operation, telling) =>
      followed(operation, telling, (starts, telling) => starts.forked(operation, telling)),
    subscribed: (operation, telling) =>
      followed(operation, telling, (starts, telling) => starts.subscribed(operation, telling)),
    requestIds: { get: (id) => pool.find(id)?.starts.requestIds.get(id) }
  }

  const gate: Gate = (operation, about) =>
    Effect.suspend(() =>
      pool.isClosed() ? Effect.fail(closedBefore(operation, validate.isTaskId(about) ? about : undefined)) : Effect.void
    )

  /** A verb of a task, where that lives. */
  const there = <Args extends ReadonlyArray<unknown>, A, E extends RWKVError>(
    operation: string,
    verb: (tasks: Server["tasks"]) => (id: string, ...args: Args) => Effect.Effect<A, E>
  ) =>
  (id: string, ...args: Args) =>
    Effect.flatMap(
      pool.owner(operation, id),
      ({ tasks }) => Effect.mapError(verb(tasks)(id, ...args), pool.departed)
    )

  const creating = <R>(
    operation: string,
    verb: (tasks: Server["tasks"]) => (request: R) => Effect.Effect<Task, CallFailure>
  ) =>
  (request: R) => started(operation, request, ({ tasks }) => verb(tasks)(request), { may: () => false })

  /** The limit of a run is also that of its time in the queue. */
  const running = (
    operation: string,
    verb: (server: Server) => Server["bulked"],
    bounded: boolean
  ) =>
  (request: Request, options?: Options.Running) =>
    Effect.flatMap(
      validate.duration(operation, "timeout", property(options, "timeout"), Duration.infinity),
      (limit) =>
        limited(
          started(operation, request, (server) => verb(server)(request, options), { bounded }),
          limit,
          { operation, kind: "wait" }
        )
    )

  /** What all servers that are not lost say. */
  const everywhere = <A, E>(
    operation: string,
    ask: (tasks: Server["tasks"]) => Effect.Effect<A, E>
  ): Effect.Effect<ReadonlyArray<A>, E | RWKVConnectionError> =>
    Effect.zipRight(
      gate(operation),
      Effect.suspend(() => {
        const asked = Array.from(pool.servers.values()).filter(({ isLost }) => !isLost())
        return Effect.forEach(asked, ({ tasks }) => ask(tasks), { concurrency: "unbounded" })
      })
    )

  const keeper: Parameters<typeof Runs.lend>[1] = {
    create: (request, options, keeps) =>
      started("StreamService.open", request, ({ runs }) => runs.keeper.create(request, options, keeps), {
        may: () => false
      }),
    continue: (held, request, options, keeps) =>
      Effect.flatMap(
        pool.owner("StreamService.openContinue", held.taskId),
        ({ runs }) => runs.keeper.continue(held, request, options, keeps)
      ),
    hold: (taskId) =>
      pool.find(taskId)?.runs.keeper.hold(taskId) ??
        { taskId, isHeld: () => false, take: () => undefined, drop: Effect.void }
  }

  return {
    streams: Runs.lend(Verbs.make(starts, gate), keeper),
    tasks: {
      create: creating("TaskService.create", ({ create }) => create),
      createTemporary: creating("TaskService.createTemporary", ({ createTemporary }) => createTemporary),
      createPersistent: creating("TaskService.createPersistent", ({ createPersistent }) => createPersistent),
      fim: creating("TaskService.fim", ({ fim }) => fim),
      run: running("TaskService.run", ({ tasks }) => tasks.run, true),
      /** As many as the servers hold, and as many again for those that join; they wait for their places themselves. */
      runAll: <E, R>(requests: Requests<E, R>, options?: BulkOptions) =>
        Stream.unwrap(Effect.map(gate(Bulk.operation), () =>
          Bulk.runAll(
            spans.parent(Bulk.operation),
            running(Bulk.operation, ({ bulked }) => bulked, false),
            requests,
            options,
            Array.from(pool.servers.values()).reduce((sum, { tally }) => sum + 2 * tally.load().capacity, 0)
          ))),
      task: (id: string) =>
        Effect.catchTags(there("TaskService.task", ({ task }) => task)(id), {
          RWKVPoolError: () => validate.invalid("TaskService.task", "taskId", "must be of a server of this pool"),
          RWKVConnectionError: () => validate.invalid("TaskService.task", "taskId", "must be of a pool that is open")
        }),
      wait: there("TaskService.wait", ({ wait }) => wait),
      result: there("TaskService.result", ({ result }) => result),
      status: there("TaskService.status", ({ status }) => status),
      stop: there("TaskService.stop", ({ stop }) => stop),
      delete: there("TaskService.delete", (tasks) => tasks.delete),
      continue: there("TaskService.continue", (tasks) => tasks.continue),
      fork: there("TaskService.fork", ({ fork }) => fork),
      asTemplate: there("TaskService.asTemplate", ({ asTemplate }) => asTemplate),
      list: Effect.map(everywhere("TaskService.list", ({ list }) => list), (lists): TaskList => ({
        cpuCacheCount: lists.reduce((sum, list) => sum + list.cpuCacheCount, 0),
        databaseCount: lists.reduce((sum, list) => sum + list.databaseCount, 0),
        totalCount: lists.reduce((sum, list) => sum + list.totalCount, 0),
        cpuTasks: lists.flatMap((list) => list.cpuTasks),
        dbTasks: lists.flatMap((list) => list.dbTasks)
      })),
      models: Effect.map(
        everywhere("TaskService.models", ({ models }) => models),
        (lists) => Array.from(new Map(lists.flat().map((model) => [model.id, model])).values())
      )
    }
  }
}
