/**
 * From a request to its handler and back to an answer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { decodeLossy } from "../model/text.js"
import type { Machine } from "../server/machine.js"
import * as Handlers from "./handlers.js"
import { refuse } from "./input.js"
import * as Reply from "./reply.js"
import type { Incoming } from "./request.js"
import { reset, type SocketError } from "./socket.js"

interface Route {
  readonly method: "GET" | "POST"
  /** `:id` stands for one segment. */
  readonly path: ReadonlyArray<string>
  readonly handle: (call: Handlers.Call) => Handlers.Handled
}

const api = (method: Route["method"], path: string, handle: Route["handle"]): Route => ({
  method,
  path: path.split("/").slice(1),
  handle
})

const routes: ReadonlyArray<Route> = [
  api("POST", "/v1/tasks/tmp", Handlers.create("tmp")),
  api("POST", "/v1/tasks/create", Handlers.create("create")),
  api("POST", "/v1/tasks/fim", Handlers.create("fim")),
  api("GET", "/v1/tasks/list", Handlers.list),
  api("GET", "/v1/models", Handlers.models),
  api("GET", "/v1/tasks/:id/get_result", Handlers.result),
  api("GET", "/v1/tasks/:id/status", Handlers.status),
  api("GET", "/v1/tasks/:id/stream", Handlers.stream),
  api("POST", "/v1/tasks/:id/continue", Handlers.resume),
  api("POST", "/v1/tasks/:id/fork", Handlers.fork),
  api("POST", "/v1/tasks/:id/stop", Handlers.stop),
  api("POST", "/v1/tasks/:id/as_template", Handlers.template),
  api("POST", "/v1/tasks/:id/delete", Handlers.remove)
]

/** Python's `unquote`: what is no escape stays as it is. */
const unquote = (path: string): string =>
  path.replace(
    /(?:%[0-9a-fA-F]{2})+/g,
    (run) => decodeLossy(Uint8Array.from(run.slice(1).split("%"), (hex) => Number.parseInt(hex, 16)))
  )

/** Python's `quote` as a redirect uses it. */
const quote = (url: string): string => url.replace(/[^\w.~\-:/%#?=@[\]!$&'()*+,;]/gu, encodeURIComponent)

const matches = (route: Route, segments: ReadonlyArray<string>): boolean =>
  route.path.length === segments.length &&
  route.path.every((part, index) => part === ":id" ? segments[index] !== "" : part === segments[index])

const dispatch = (machine: Machine, request: Incoming): Handlers.Handled => {
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
    const location = quote(`http://${request.headers["host"] ?? ""}/${shorter.join("/")}${search}`)
    return Effect.succeed(Reply.fixed(307, { location }, ""))
  }
  return refuse(Reply.detail(404, "Not Found"))
}

/**
 * Answers one request; it takes its turn on the event loop.
 *
 * @internal
 */
export const handle = (machine: Machine, request: Incoming): Effect.Effect<Reply.Reply, SocketError> =>
  machine.exclusive(Effect.suspend(() => dispatch(machine, request))).pipe(
    Effect.catchTags({
      Refusal: ({ reply }) => Effect.succeed(reply),
      Crash: () => Effect.succeed(Reply.crash),
      Died: () => Effect.fail(reset)
    })
  )
