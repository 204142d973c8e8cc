/**
 * The endpoints of all servers of a pool as those of one: what makes a task goes where it has a place, all else where
 * its task lives. Ids are those of the pool, and what is answered is counted.
 */
import * as Array from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Number from "effect/Number"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { CallOptions, Frame, Service } from "../../HttpClient.js"
import type { TaskId, TaskInfo, TaskList } from "../../Protocol.js"
import { type RWKVConnectionError, type RWKVError, RWKVPoolError } from "../../RWKVError.js"
import { isTaskId, taskId as checked } from "../input/validate.js"
import { closedBefore } from "../wire/closed.js"
import { openingOf, toStream } from "../wire/frames.js"
import { note } from "../wire/telemetry.js"
import * as Id from "./id.js"
import type { Server } from "./server.js"
import type { Place } from "./tally.js"

/** A place on a server. */
export interface Seat {
  readonly server: Server
  readonly place: Place
}

/** Where the request goes that a server reads a prompt for: none is sent without. */
export class Seated extends Context.Reference<Seated>()("effect-rwkv/Seated", {
  defaultValue: (): Seat | undefined => undefined
}) {}

/** The operation by which a pool itself asks about a task. */
export const look = "RWKVPool.look"

const operationOf = (options: CallOptions | undefined) => options?.operation ?? "RWKVPool"

/** What is measured is told where it is done. */
const serving = (server: Server) => Effect.as(note(({ served }) => served(server.spec().baseUrl)), server)

const seated = (options: CallOptions | undefined) =>
  Effect.flatMap(Seated, (seat) => {
    if (seat === undefined) return Effect.dieMessage("a request without a place")
    // Whoever wanted it has left just now.
    if (seat.place.isSpent) return Effect.fail(closedBefore(operationOf(options)))
    seat.place.isSpent = true
    return Effect.as(serving(seat.server), seat)
  })

/** The failure says how the server is, and names the task that was asked about by its id of the pool. */
const failing = ({ judge, tally }: Server, taskId: string | undefined) => <E extends RWKVError>(error: E): E => {
  judge(error)
  if (taskId === undefined || !("taskId" in error) || error.taskId === undefined) return error
  if (error._tag === "TaskNotFoundError") tally.gone(taskId)
  return Object.assign(error, { taskId })
}

const asked = <A, E extends RWKVError>(
  server: Server,
  taskId: string | undefined,
  ask: (http: Service) => Effect.Effect<A, E>
) =>
  Effect.mapBoth(ask(server.http()), {
    onFailure: failing(server, taskId),
    onSuccess: (answer) => {
      server.judge(undefined)
      return answer
    }
  })

/** What a server made, under the id of the pool. */
const named = <A extends { readonly taskId: TaskId }>({ name }: Server, options: CallOptions | undefined, made: A) =>
  Effect.map(Id.named(operationOf(options), made.taskId, name), (taskId): A => ({ ...made, taskId }))

/** A request that takes its place, whatever becomes of whoever sent it. */
const taking = <A extends { readonly taskId: TaskId }, E extends RWKVError>(
  about: string | undefined,
  options: CallOptions | undefined,
  ask: (http: Service) => Effect.Effect<A, E>
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      seated(options),
      ({ place, server }) =>
        Effect.flatMap(asked(server, about, ask), (made) => named(server, options, made)).pipe(
          restore,
          Effect.onExit((exit) =>
            Effect.sync(() =>
              exit._tag === "Success" ? server.tally.began(exit.value.taskId, place) : server.tally.leave(place)
            )
          )
        )
    )
  )

const pulling = <E extends RWKVError>(
  server: Server,
  taskId: string | undefined,
  frames: Stream.Stream<Frame, E>,
  hear: (frame: Frame) => Frame
) =>
  Effect.mapBoth(openingOf(frames), {
    onFailure: failing(server, taskId),
    onSuccess: Effect.mapBoth({ onFailure: Option.map(failing(server, taskId)), onSuccess: Chunk.map(hear) })
  })

/** {@link taking} over the answer itself, whose first frame names the task. */
const direct = <E extends RWKVError>(
  about: string | undefined,
  options: CallOptions | undefined,
  ask: (http: Service) => Stream.Stream<Frame, E>
) =>
  toStream<E | RWKVConnectionError>(Effect.suspend(() => {
    let listening: ReturnType<Server["tally"]["listening"]> | undefined
    const place = Effect.acquireRelease(seated(options), ({ place, server }) =>
      Effect.sync(() => listening === undefined ? server.tally.leave(place) : listening.end()))
    return Effect.flatMap(place, ({ place, server }) =>
      pulling(server, about, ask(server.http()), (frame) => {
        if (frame._tag !== "Head" || listening !== undefined) {
          return listening?.hear(frame) ?? frame
        }
        const taskId = Id.join(frame.taskId, server.name)
        // One that is too long is refused by whoever reads it.
        if (!isTaskId(taskId)) {
          return { ...frame, taskId }
        }
        server.tally.began(taskId, place)
        listening = server.tally.listening(taskId)
        return { ...frame, taskId }
      }))
  }))

/**
 * @param find the server that a task lives on
 * @param open those that are asked what all are asked: none is a failure
 */
export const make = (
  find: (id: string) => Server | undefined,
  open: (operation: string) => Effect.Effect<ReadonlyArray<Server>, RWKVConnectionError>
) => {
  /** Where a task lives. */
  const ownerOf = (operation: string, id: string) =>
    Effect.suspend(() => {
      const server = find(id)
      const description = `the pool has no server ${Id.split(id).name}`
      return server === undefined
        ? Effect.fail(new RWKVPoolError({ operation, taskId: id, kind: "server", description }))
        : serving(server)
    })

  /** A question about a task, under its own id there. */
  const about = <O extends CallOptions, A, E extends RWKVError, B, E2 = never>(
    ask: (http: Service) => (id: string, options?: O) => Effect.Effect<A, E>,
    answer: (answer: A, taskId: TaskId, server: Server, options?: O) => Effect.Effect<B, E2>
  ) =>
  (id: string, options?: O) =>
    Effect.flatMap(
      checked(operationOf(options), id),
      (taskId) =>
        Effect.flatMap(ownerOf(operationOf(options), id), (server) =>
          Effect.flatMap(
            asked(server, id, (http) => {
              // A look of the pool's own is none of the program's.
              if (operationOf(options) !== look) server.tally.heard(id)
              return ask(http)(Id.split(id).own, options)
            }),
            (told) => answer(told, taskId, server, options)
          ))
    )

  /** The state of a task, which may be told as that of another one. */
  const stateOf = (info: TaskInfo, taskId: TaskId, { tally }: Server) => {
    if (info.status === "Finished") tally.ended(taskId)
    return Effect.succeed({ ...info, taskId })
  }

  const all = <A, E extends RWKVError>(
    options: CallOptions | undefined,
    ask: (http: Service, server: Server) => Effect.Effect<A, E>
  ) =>
    Effect.flatMap(
      open(operationOf(options)),
      Effect.forEach((server) => asked(server, undefined, (http) => ask(http, server)), { concurrency: "unbounded" })
    )

  const endpoints: Service = {
    create: (request, options) => taking(undefined, options, (http) => http.create(request, options)),
    createStream: (request, options) => direct(undefined, options, (http) => http.createStream(request, options)),
    fim: (request, options) => taking(undefined, options, (http) => http.fim(request, options)),
    fimStream: (request, options) => direct(undefined, options, (http) => http.fimStream(request, options)),
    continue: (id, request, options) =>
      taking(id, options, (http) => http.continue(Id.split(id).own, request, options)),
    continueStream: (id, request, options) =>
      direct(id, options, (http) => http.continueStream(Id.split(id).own, request, options)),
    fork: (id, request, options) => taking(id, options, (http) => http.fork(Id.split(id).own, request, options)),
    forkStream: (id, request, options) =>
      direct(id, options, (http) => http.forkStream(Id.split(id).own, request, options)),
    stream: (id, options) =>
      toStream(Effect.flatMap(ownerOf(operationOf(options), id), (server) =>
        Effect.flatMap(
          Effect.acquireRelease(Effect.sync(() => server.tally.listening(id)), ({ end }) => Effect.sync(end)),
          ({ hear }) => pulling(server, id, server.http().stream(Id.split(id).own, options), hear)
        ))),
    result: about((http) => http.result, (result, taskId, { tally }) => {
      if (result.finished) tally.ended(taskId, result)
      return Effect.succeed({ ...result, taskId })
    }),
    status: about((http) => http.status, stateOf),
    stop: about(
      (http) => http.stop,
      (info, id, server) => Effect.transposeMapOption(info, (info) => stateOf(info, id, server))
    ),
    delete: about((http) => http.delete, (info, taskId, { tally }) => {
      tally.gone(taskId)
      return Effect.succeed(Option.map(info, (info) => ({ ...info, taskId })))
    }),
    asTemplate: about((http) => http.asTemplate, (made, _, server, options) => named(server, options, made)),
    list: (options) =>
      Effect.map(
        all(options, (http, { name }) =>
          Effect.flatMap(http.list(options), (list) => {
            const ids = (own: ReadonlyArray<TaskId>) =>
              Effect.forEach(own, (id) => Id.named(operationOf(options), id, name))
            return Effect.map(
              Effect.all([ids(list.cpuTasks), ids(list.dbTasks)]),
              ([cpuTasks, dbTasks]): TaskList => ({ ...list, cpuTasks, dbTasks })
            )
          })),
        (lists) => ({
          cpuCacheCount: Number.sumAll(lists.map((list) => list.cpuCacheCount)),
          databaseCount: Number.sumAll(lists.map((list) => list.databaseCount)),
          totalCount: Number.sumAll(lists.map((list) => list.totalCount)),
          cpuTasks: lists.flatMap((list) => list.cpuTasks),
          dbTasks: lists.flatMap((list) => list.dbTasks)
        })
      ),
    models: (options) =>
      Effect.map(
        all(options, (http) => http.models(options)),
        (lists) => Array.dedupeWith(lists.flat(), (one, other) => one.id === other.id)
      )
  }
  return { endpoints, ownerOf }
}
