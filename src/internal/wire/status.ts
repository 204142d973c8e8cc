/**
 * What a status other than 2xx means.
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { RWKVServerError, RWKVStatusError, RWKVValidationError } from "../../RWKVError.js"
import { isRecord, parse } from "../input/json.js"
import type { Subject } from "./transport.js"

/** Makes an excerpt of what a proxy or the server says. */
type Say = (text: string) => string

/** The `detail` of FastAPI's answers: a text, or a list of what is wrong with the request. */
const detailOf = (body: string): unknown => {
  const json = Option.getOrUndefined(parse(body))
  return isRecord(json) ? json["detail"] : undefined
}

export const detail = (body: string): string | undefined => {
  const said = detailOf(body)
  return typeof said === "string" ? said : undefined
}

export const isTaskMissing = (status: number, body: string): boolean =>
  status === 404 && detail(body) === "Task not found"

/** `["body", "prompt", "list[int]", 0]` is our `prompt.0`: the middle part only names the server's alternative. */
const pathOf = (loc: ReadonlyArray<unknown>) =>
  loc.slice(1)
    .filter((part) => typeof part === "number" || typeof part === "string" && part !== "str" && part !== "list[int]")
    .map((part) => `${part}`.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
    .join(".")

const issuesOf = (detail: unknown, say: Say) =>
  (Array.isArray(detail) ? detail : []).slice(0, 20).flatMap((issue: unknown) =>
    isRecord(issue) && Array.isArray(issue["loc"]) && typeof issue["msg"] === "string"
      ? [{ path: say(pathOf(issue["loc"])), message: say(issue["msg"]) }]
      : []
  )

const explanation = (body: string, say: Say) => say(detail(body) ?? body) || "no explanation"

const number = (text = "") => /^\s*\d{1,9}(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

/** Milliseconds until an HTTP date, as `Mon, 23 Nov 2026 12:00:30 GMT`. DateTime reads zones as numbers only. */
const until = (date: string, now: number): number | undefined =>
  DateTime.make(/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/.test(date) ? date.replace("GMT", "+0000") : "").pipe(
    Option.map((date) => DateTime.toEpochMillis(date) - now),
    Option.filter((wait) => wait > 0),
    Option.getOrUndefined
  )

/** `Retry-After` as seconds or a date, or the non-standard milliseconds. Anything else is ignored. */
const retryAfterOf = (headers: Readonly<Record<string, string | undefined>>, now: number) => {
  const header = headers["retry-after"] ?? ""
  const seconds = number(header)
  const millis = number(headers["retry-after-ms"]) ?? (seconds === undefined ? until(header, now) : seconds * 1000)
  return millis === undefined ? {} : { retryAfter: Duration.millis(millis) }
}

/** Whether an answer is an HTML page, by its start or its type. */
export const isPage = (headers: Readonly<Record<string, string | undefined>>, body: string): boolean =>
  /^\s*<(!doctype|html)/i.test(body) || /html/i.test(headers["content-type"] ?? "")

/**
 * Statuses that a proxy explains by a page although `baseUrl` is right: bad credentials, too many requests, no server.
 */
const isOfProxies = (status: number) => [401, 407, 408, 425, 429].includes(status) || status >= 500 && status !== 501

/** Statuses of a server that does not understand the request. */
const refusesAddress = (status: number) => [400, 410, 421, 426].includes(status)

/** Whether another server answered, or `baseUrl` has a wrong path: RWKV-Server gives its reasons in `detail`. */
const isAstray = (status: number, body: string, page: boolean) =>
  status < 400 || page && !isOfProxies(status) || refusesAddress(status) && detail(body) === undefined ||
  (status === 404 || status === 405) && /^(Not Found|Method Not Allowed)$/.test(detail(body) ?? "Not Found")

type Refusal = RWKVValidationError | RWKVServerError | RWKVStatusError

export const fromStatus = (
  subject: Subject,
  { headers, status }: HttpClientResponse.HttpClientResponse,
  body: string,
  say: Say,
  hint: string
): Effect.Effect<never, Refusal> =>
  Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<never, Refusal> => {
    if (status === 422) {
      const issues = issuesOf(detailOf(body), say)
      return new RWKVValidationError({
        ...subject,
        source: "server",
        issues: issues.length > 0 ? issues : [{ path: "", message: explanation(body, say) }]
      })
    }
    const page = isPage(headers, body)
    const what = status === 0 || status >= 300 && status < 400
      ? "a redirect, which is not followed"
      : status === 404 && detail(body) === "Not Found"
      ? "no such route: the server may be older than this call"
      : page
      ? "an HTML page"
      : explanation(body, say)
    const description = isAstray(status, body, page) ? `${what}; ${hint}` : what
    const fields = { ...subject, status, description, ...retryAfterOf(headers, now) }
    return status >= 500 ? new RWKVServerError(fields) : new RWKVStatusError(fields)
  })
