/**
 * The handlers of the routes: lookups, guards and the order of checks. Broken JSON comes before an unknown id, and that
 * before whatever else is wrong with the request.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { queryBool, queryInt } from "../python/query.js"
import { Crash, type Died } from "../server/failure.js"
import type { Machine } from "../server/machine.js"
import type { Task } from "../server/task.js"
import * as Tasks from "../server/tasks.js"
import * as Answers from "./answers.js"
import { orRefuse, readBody, refuse, unprocessable, validate } from "./input.js"
import * as Reply from "./reply.js"
import type { Incoming } from "./request.js"
import * as Sse from "./sse.js"

/** @internal */
export type Handled = Effect.Effect<Reply.Reply, Reply.Refusal | Crash | Died>

/** @internal */
export interface Call {
  readonly machine: Machine
  readonly request: Incoming
  readonly query: URLSearchParams
  /** The id in the path; `""` where the route has none. */
  readonly taskId: string
}

/** FastAPI takes the last of several values. */
const queryValue = (call: Call, key: string): string | undefined => call.query.getAll(key).at(-1)

const lookup = (call: Call): Effect.Effect<Task, Reply.Refusal> =>
  Effect.suspend(() => {
    const task = call.machine.store.get(call.taskId)
    return task === undefined ? refuse(Reply.detail(404, "Task not found")) : Effect.succeed(task)
  })

const onTask = (handle: (call: Call, task: Task) => Handled) => (call: Call): Handled =>
  Effect.flatMap(lookup(call), (task) => handle(call, task))

/** At `pulse: 0` a run takes no time: waits until all runs have ended before a state is read. */
const quiet = ({ scheduler, settings }: Machine): Effect.Effect<void> =>
  settings.instant ? scheduler.quiet.await : Effect.void

const settled = (handle: (call: Call) => Handled) => (call: Call): Handled =>
  Effect.zipRight(quiet(call.machine), handle(call))

const launched = (machine: Machine, { at, hub, task, taskId }: Tasks.Launched): Reply.Reply =>
  hub === undefined ? Answers.created(taskId, task.prefillTime) : Sse.push(machine, taskId, task, hub, at)

/** @internal */
export const create = (endpoint: "tmp" | "create" | "fim") => (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const body = yield* orRefuse(validate(endpoint === "fim" ? "fim" : "create", json))
    return launched(call.machine, yield* Tasks.create(call.machine, endpoint, body))
  })

/** @internal */
export const resume = (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const task = yield* lookup(call)
    const body = yield* orRefuse(validate("update", json))
    return launched(call.machine, yield* Tasks.resume(call.machine, "continue", call.taskId, task, body))
  })

/** @internal */
export const fork = (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const task = yield* lookup(call)
    const temporary = queryBool("tmp", queryValue(call, "tmp"))
    const body = validate("update", json)
    if (Either.isLeft(temporary) && Either.isLeft(body)) {
      return yield* unprocessable([...temporary.left, ...body.left])
    }
    const update = yield* orRefuse(body)
    return launched(call.machine, yield* Tasks.fork(call.machine, task, update, yield* orRefuse(temporary)))
  })

/** @internal */
export const status = settled(onTask((_, task) => Effect.succeed(Answers.info(task))))

/** @internal */
export const result = settled(
  onTask((call, task) =>
    task.handle ? Effect.succeed(Answers.result(call.machine, call.taskId, task)) : Effect.fail(new Crash())
  )
)

/** @internal */
export const stream = onTask((call, task) =>
  Effect.map(
    orRefuse(queryInt("pos", queryValue(call, "pos"))),
    (position) => Sse.poll(call.machine, call.taskId, task, position)
  )
)

/** @internal */
export const stop = onTask(({ machine, taskId }, task) =>
  Effect.zipRight(machine.scheduler.stop(taskId, task), Effect.map(quiet(machine), () => Answers.info(task)))
)

/**
 * The guard looks at the object's own id, which for a template of the current server is its source's (H17).
 *
 * @internal
 */
export const template = onTask((call, task) =>
  task.ownId.startsWith("_")
    ? refuse(Reply.detail(400, "Task is already a template"))
    : Effect.sync(() => Answers.created(Tasks.template(call.machine, task), 0))
)

/** @internal */
export const remove = onTask((call, task) =>
  Effect.flatMap(
    orRefuse(queryBool("force", queryValue(call, "force"))),
    (force) =>
      task.ownId.startsWith("_") && !force
        ? refuse(Reply.detail(403, "Cannot delete template without force=true"))
        : Effect.map(Tasks.remove(call.machine, call.taskId, task, force), () => Answers.info(task))
  )
)

/** @internal */
export const list = (call: Call): Handled => Effect.sync(() => Answers.list(call.machine))

/** @internal */
export const models = (call: Call): Handled => Effect.sync(() => Answers.models(call.machine))
