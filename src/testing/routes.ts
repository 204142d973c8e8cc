/**
 * From a request to an answer: routing, the order of checks, and the error bodies of FastAPI.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type Json, parse } from "./json.js"
import type { Machine } from "./machine.js"
import * as Reply from "./reply.js"
import * as Sse from "./sse.js"
import type { Task } from "./task.js"
import * as Tasks from "./tasks.js"
import {
  type Body,
  decodeBody,
  type Issue,
  missingBody,
  type ModelName,
  printIssues,
  queryBool,
  queryInt
} from "./validation.js"

/**
 * A request as it reached the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  readonly method: string
  /** Path and query, percent-encoding kept. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The body as text; `""` if there was none. */
  readonly body: string
}

type Handled = Effect.Effect<Reply.Reply, Reply.Refusal | Reply.SocketError>

interface Call {
  readonly machine: Machine
  readonly request: RecordedRequest
  readonly query: URLSearchParams
  /** The id in the path; `""` where the route has none. */
  readonly taskId: string
}

interface Route {
  readonly method: "GET" | "POST"
  /** `:id` stands for one segment. */
  readonly path: ReadonlyArray<string>
  readonly handle: (call: Call) => Handled
}

const refuse = (reply: Reply.Reply) => Effect.fail(new Reply.Refusal({ reply }))

const unprocessable = (issues: ReadonlyArray<Issue>) => {
  const body = printIssues(issues)
  return refuse(body === undefined ? Reply.crash : Reply.json(body, 422))
}

const isJson = (contentType: string | undefined): boolean => {
  const [type = "", subtype = ""] = (contentType ?? "").split(";")[0]?.trim().toLowerCase().split("/") ?? []
  return type === "application" && (subtype === "json" || subtype.endsWith("+json"))
}

/** Undefined = no body at all. Broken JSON is reported before anything else is looked at. */
const readBody = (request: RecordedRequest): Effect.Effect<Json | undefined, Reply.Refusal> => {
  if (request.body === "") return Effect.succeed(undefined)
  if (!isJson(request.headers["content-type"])) return Effect.succeed({ _tag: "String", value: request.body })
  return Either.match(parse(request.body), {
    onRight: (json) => Effect.succeed(json),
    onLeft: (error) => {
      if (error.kind === "other") return refuse(Reply.detail(400, "There was an error parsing the body"))
      const ctx = `{"error":${JSON.stringify(error.message)}}`
      const input: Json = { _tag: "Dict", entries: new Map() }
      return unprocessable([
        { type: "json_invalid", loc: ["body", error.position], msg: "JSON decode error", input, ctx }
      ])
    }
  })
}

const validate = (model: ModelName, json: Json | undefined): Either.Either<Body, ReadonlyArray<Issue>> =>
  json === undefined ? Either.left([missingBody]) : decodeBody(model, json)

const orRefuse = <A>(checked: Either.Either<A, ReadonlyArray<Issue>>): Effect.Effect<A, Reply.Refusal> =>
  Either.isRight(checked) ? Effect.succeed(checked.right) : unprocessable(checked.left)

/** FastAPI takes the last of several values. */
const queryValue = (call: Call, key: string): string | undefined => call.query.getAll(key).at(-1)

const lookup = (call: Call): Effect.Effect<Task, Reply.Refusal> => {
  const task = call.machine.store.get(call.taskId)
  return task === undefined ? refuse(Reply.detail(404, "Task not found")) : Effect.succeed(task)
}

const creating = (endpoint: "tmp" | "create" | "fim") => (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const body = yield* orRefuse(validate(endpoint === "fim" ? "fim" : "create", json))
    return yield* Tasks.create(call.machine, endpoint, body)
  })

const continuing = (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const task = yield* lookup(call)
    const body = yield* orRefuse(validate("update", json))
    return yield* Tasks.resume(call.machine, "continue", call.taskId, task, body)
  })

const forking = (call: Call): Handled =>
  Effect.gen(function*() {
    const json = yield* readBody(call.request)
    const task = yield* lookup(call)
    const temporary = queryBool("tmp", queryValue(call, "tmp"))
    const body = validate("update", json)
    if (Either.isLeft(temporary) && Either.isLeft(body)) {
      return yield* unprocessable([...temporary.left, ...body.left])
    }
    return yield* Tasks.fork(call.machine, task, yield* orRefuse(body), yield* orRefuse(temporary))
  })

const onTask = (handle: (call: Call, task: Task) => Handled) => (call: Call): Handled =>
  Effect.flatMap(lookup(call), (task) => handle(call, task))

const api = (method: Route["method"], path: string, handle: Route["handle"]): Route => ({
  method,
  path: path.split("/").slice(1),
  handle
})

const modelsBody = (machine: Machine): string =>
  `{"object":"list","data":[{"id":"rwkv-7-g1g-2.9b","object":"model","created":${machine.startedAt},"owned_by":"rwkv"}]}`

const routes: ReadonlyArray<Route> = [
  api("POST", "/v1/tasks/tmp", creating("tmp")),
  api("POST", "/v1/tasks/create", creating("create")),
  api("POST", "/v1/tasks/fim", creating("fim")),
  api("GET", "/v1/tasks/list", (call) => Effect.sync(() => Tasks.list(call.machine))),
  api("GET", "/v1/models", (call) => Effect.succeed(Reply.json(modelsBody(call.machine)))),
  api("GET", "/v1/tasks/:id/get_result", onTask((call, task) => Tasks.result(call.machine, call.taskId, task))),
  api("GET", "/v1/tasks/:id/status", onTask((_, task) => Effect.sync(() => Tasks.info(task)))),
  api(
    "GET",
    "/v1/tasks/:id/stream",
    onTask((call, task) =>
      Effect.map(
        orRefuse(queryInt("pos", queryValue(call, "pos"))),
        (position) => Reply.events(Sse.poll(call.machine, call.taskId, task, position))
      )
    )
  ),
  api("POST", "/v1/tasks/:id/continue", continuing),
  api("POST", "/v1/tasks/:id/fork", forking),
  api("POST", "/v1/tasks/:id/stop", onTask((call, task) => Tasks.stop(call.machine, call.taskId, task))),
  api("POST", "/v1/tasks/:id/as_template", onTask((call, task) => Tasks.template(call.machine, task))),
  api(
    "POST",
    "/v1/tasks/:id/delete",
    onTask((call, task) =>
      Effect.flatMap(
        orRefuse(queryBool("force", queryValue(call, "force"))),
        (force) => Tasks.remove(call.machine, call.taskId, task, force)
      )
    )
  )
]

const decoder = new TextDecoder()

/** Python's `unquote`: what is no escape stays as it is. */
const unquote = (path: string): string =>
  path.replace(
    /(?:%[0-9a-fA-F]{2})+/g,
    (run) => decoder.decode(Uint8Array.from(run.slice(1).split("%"), (hex) => Number.parseInt(hex, 16)))
  )

const matches = (route: Route, segments: ReadonlyArray<string>): boolean =>
  route.path.length === segments.length &&
  route.path.every((part, index) => part === ":id" ? segments[index] !== "" : part === segments[index])

const dispatch = (machine: Machine, request: RecordedRequest): Handled => {
  const mark = request.path.indexOf("?")
  const search = mark < 0 ? "" : request.path.slice(mark)
  const path = unquote(mark < 0 ? request.path : request.path.slice(0, mark))
  const segments = path.split("/").slice(1)
  const candidates = routes.filter((route) => matches(route, segments))
  const route = candidates.find((route) => route.method === request.method)
  const [first] = candidates
  if (route !== undefined) {
    const taskId = segments[route.path.indexOf(":id")] ?? ""
    return route.handle({ machine, request, query: new URLSearchParams(search), taskId })
  }
  if (first !== undefined) return refuse(Reply.detail(405, "Method Not Allowed", { allow: first.method }))
  const shorter = path.replace(/\/+$/, "").split("/").slice(1)
  if (path.endsWith("/") && routes.some((route) => matches(route, shorter))) {
    const location = encodeURI(`/${shorter.join("/")}`) + search
    return Effect.succeed(Reply.fixed(307, { location }, ""))
  }
  return refuse(Reply.detail(404, "Not Found"))
}

/**
 * Answers one request; it takes its turn on the event loop.
 *
 * @internal
 */
export const handle = (
  machine: Machine,
  request: RecordedRequest
): Effect.Effect<Reply.Reply, Reply.SocketError> =>
  machine.exclusive(Effect.suspend(() => dispatch(machine, request))).pipe(
    Effect.catchTag("Refusal", (refusal) => Effect.succeed(refusal.reply))
  )
