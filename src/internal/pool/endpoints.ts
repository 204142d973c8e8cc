/**
 * The endpoints of one server under the ids of the pool: no other id reaches it, and what it answers is counted.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type * as HttpClient from "../../HttpClient.js"
import type { TaskId, TaskInfo, TaskResult } from "../../Protocol.js"
import { type RWKVDecodeError, type RWKVError, RWKVPoolError } from "../../RWKVError.js"
import { begun } from "../input/failure.js"
import { openingOf, toStream } from "../wire/frames.js"
import * as Id from "./id.js"
import { type Place, Placed, type Tally, workOf } from "./tally.js"

type Service = HttpClient.Service
type Options = HttpClient.CallOptions

/** What every answer says of the server: that it works, or what it failed with. */
type Judge = (error: RWKVError | undefined) => void

export const unknown = (operation: string, id: string, name: string): RWKVPoolError =>
  new RWKVPoolError({ operation, taskId: id, kind: "server", description: `the pool has no server ${name}` })

export const make = (http: Service, name: string, tally: Tally, judge: Judge): Service => {
  const judged = <A, E extends RWKVError>(effect: Effect.Effect<A, E>) =>
    Effect.tapBoth(effect, {
      onFailure: (error) => Effect.sync(() => judge(error)),
      onSuccess: () => Effect.sync(() => judge(undefined))
    })

  const renamed = <A extends { readonly taskId: TaskId }>(options: Options | undefined, answer: A) =>
    Effect.map(Id.named(options?.operation ?? "HttpClient", answer.taskId, name), (taskId) => ({ ...answer, taskId }))
  const renamedOption = <A extends { readonly taskId: TaskId }>(
    options: Options | undefined,
    answer: Option.Option<A>
  ) => Effect.transposeMapOption(answer, (answer) => renamed(options, answer))

  /** The failure of a question about a task, with the pool's id. */
  const failed = (id: string) => <E extends RWKVError>(error: E): E => {
    if (error._tag === "TaskNotFoundError") tally.gone(id)
    return "taskId" in error && error.taskId !== undefined ? Object.assign(error, { taskId: id }) : error
  }

  const own = (id: string, options: Options | undefined) => {
    const parts = Id.split(id)
    return parts.name === name
      ? Effect.succeed(parts.own)
      : Effect.fail(unknown(options?.operation ?? "HttpClient", id, parts.name))
  }

  /** Who listens to a task, or has it go on, does not let it be taken for one that nobody asks about. */
  const entered = (id: string) => Effect.sync(() => tally.entered(id))
  const left = (id: string) => () => Effect.sync(() => tally.left(id))

  /** A question about a task. */
  const about = <O extends Options, A, B, E extends RWKVError>(
    ask: (id: string, options?: O) => Effect.Effect<A, E>,
    note: (id: string, answer: A) => void,
    rename: (options: O | undefined, answer: A) => Effect.Effect<B, RWKVDecodeError>
  ) =>
  (id: string, options?: O) =>
    Effect.flatMap(own(id, options), (own) => Effect.mapError(judged(ask(own, options)), failed(id))).pipe(
      Effect.tap((answer) => note(id, answer)),
      Effect.flatMap((answer) => rename(options, answer))
    )

  /** What may be asked of another server is not repeated here. */
  const refused = (place: Place) => <E extends RWKVError>(error: E): E => {
    const failure: RWKVError = error
    if (!place.movable || !failure.isTransient || !failure.isSafeToRepeat) return error
    if (
      failure._tag !== "RWKVConnectionError" && failure._tag !== "RWKVServerError" && failure._tag !== "RWKVStatusError"
    ) return error
    place.refused = failure
    return begun(error)
  }

  /** The place is given back by whoever calls this, from here on. */
  const placeFor = (request: unknown) =>
    Effect.map(Placed, (placed) => {
      const place = placed ?? tally.place(workOf(request), false)
      place.sent = true
      return place
    })

  /** A request that takes a place, whatever becomes of whoever sent it. */
  const taking = <A extends { readonly taskId: TaskId }, E extends RWKVError>(
    request: unknown,
    options: Options | undefined,
    ask: Effect.Effect<A, E>
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(placeFor(request), (place) => {
        const answer = Effect.flatMap(Effect.mapError(judged(ask), refused(place)), (made) => renamed(options, made))
        return Effect.onExit(
          restore(answer),
          (exit) =>
            Effect.sync(() => exit._tag === "Success" ? tally.began(exit.value.taskId, place) : tally.leave(place))
        )
      })
    )

  const pulling = <E extends RWKVError>(
    frames: Stream.Stream<HttpClient.Frame, E>,
    failed: (error: E) => E,
    onFrames: (frames: Chunk.Chunk<HttpClient.Frame>) => Chunk.Chunk<HttpClient.Frame>
  ) => {
    const onFailure = (error: E) => {
      judge(error)
      return failed(error)
    }
    return Effect.mapBoth(openingOf(frames), {
      onFailure,
      onSuccess: (pull) => Effect.mapBoth(pull, { onFailure: Option.map(onFailure), onSuccess: onFrames })
    })
  }

  /** The same over the answer itself, whose first frame names the task. */
  const direct = <E extends RWKVError>(
    request: unknown,
    frames: Stream.Stream<HttpClient.Frame, E>,
    failed: (error: E) => E = identity
  ) =>
    Effect.suspend(() => {
      let taskId: string | undefined
      const taken = Effect.acquireRelease(
        placeFor(request),
        (place) => Effect.sync(() => taskId === undefined ? tally.leave(place) : tally.left(taskId))
      )
      return Effect.flatMap(taken, (place) => {
        const failing = (error: E) => failed(taskId === undefined ? refused(place)(error) : error)
        const told = (frame: HttpClient.Frame): HttpClient.Frame => {
          if (taskId !== undefined || frame._tag !== "Head") return frame
          taskId = Id.join(frame.taskId, name)
          tally.began(taskId, place)
          tally.entered(taskId)
          return { ...frame, taskId }
        }
        return pulling(frames, failing, (chunk) => taskId === undefined ? Chunk.map(chunk, told) : chunk)
      })
    })

  /** A run of a task that is there; what surely was not begun is repeated here, for it can run nowhere else. */
  const branch =
    <R>(ask: (id: string, request: R, options?: Options) => ReturnType<Service["continue"]>) =>
    (id: string, request: R, options?: Options) =>
      Effect.flatMap(
        own(id, options),
        (own) =>
          Effect.acquireUseRelease(
            entered(id),
            () => taking(request, options, Effect.mapError(ask(own, request, options), failed(id))),
            left(id)
          )
      )

  const branchStream =
    <R>(ask: (id: string, request: R, options?: Options) => ReturnType<Service["continueStream"]>) =>
    (id: string, request: R, options?: Options) =>
      toStream(Effect.flatMap(own(id, options), (own) => direct(request, ask(own, request, options), failed(id))))

  const finished = (id: string, info: Option.Option<TaskInfo>) =>
    Option.exists(info, ({ status }) => status === "Finished") ? tally.ended(id) : tally.heard(id)
  const read = (id: string, result: TaskResult) => result.finished ? tally.ended(id, result) : tally.heard(id)

  return {
    create: (request, options) => taking(request, options, http.create(request, options)),
    createStream: (request, options) => toStream(direct(request, http.createStream(request, options))),
    fim: (request, options) => taking(request, options, http.fim(request, options)),
    fimStream: (request, options) => toStream(direct(request, http.fimStream(request, options))),
    continue: branch(http.continue),
    continueStream: branchStream(http.continueStream),
    fork: branch(http.fork),
    forkStream: branchStream(http.forkStream),
    stream: (id, options) =>
      toStream(Effect.flatMap(own(id, options), (own) =>
        Effect.zipRight(
          Effect.acquireRelease(entered(id), left(id)),
          pulling(http.stream(own, options), failed(id), (frames) => frames)
        ))),
    result: about(http.result, read, renamed),
    status: about(http.status, (id, info) => finished(id, Option.some(info)), renamed),
    stop: about(http.stop, finished, renamedOption),
    delete: about(http.delete, tally.gone, renamedOption),
    asTemplate: about(http.asTemplate, tally.heard, renamed),
    list: (options) =>
      Effect.flatMap(judged(http.list(options)), (list) => {
        const all = (ids: ReadonlyArray<TaskId>) =>
          Effect.forEach(ids, (id) => Id.named(options?.operation ?? "HttpClient", id, name))
        return Effect.zipWith(all(list.cpuTasks), all(list.dbTasks), (cpuTasks, dbTasks) => ({
          ...list,
          cpuTasks,
          dbTasks
        }))
      }),
    models: (options) => judged(http.models(options))
  }
}
