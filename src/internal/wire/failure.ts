/**
 * From what the platform and the server say to the SDK's errors. What those hold besides (requests, headers, bodies) stops
 * here.
 *
 * @internal
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import {
  RWKVConnectionError,
  RWKVServerError,
  RWKVStatusError,
  RWKVTimeoutError,
  RWKVValidationError
} from "../../RWKVError.js"
import { isRecord, parse } from "../input/json.js"

/** @internal */
export interface Subject {
  readonly operation: string
  readonly taskId?: string | undefined
  /** What makes the server work has a body. */
  readonly body?: object | undefined
}

/**
 * One line, not too long: text of others goes into a message only like this.
 *
 * @internal
 */
export const excerpt = (text: string): string => {
  const line = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > 160 ? `${line.slice(0, 160).toWellFormed()}...` : line
}

type Link = Readonly<Record<string, unknown>>

/** An error, what caused it, and what an AggregateError gathers: two addresses of a host fail on their own. */
const chainOf = (cause: unknown): ReadonlyArray<Link> => {
  const chain = new Set<Link>()
  const follow = (link: unknown) => {
    // What bites its tail, or has no end, ends here.
    if (!isRecord(link) || chain.has(link) || chain.size > 32) return
    chain.add(link)
    follow(link["cause"])
    if (Array.isArray(link["errors"])) link["errors"].forEach(follow)
  }
  follow(cause)
  return Array.from(chain)
}

const codeOf = (chain: ReadonlyArray<Link>): string =>
  chain.map(({ code }) => typeof code === "string" ? code : "").find((code) => /^[A-Z][A-Z0-9_]{2,60}$/.test(code)) ??
    ""

/**
 * Whether the connection was never made: the server cannot have seen anything. An established socket may break with the codes
 * of a failed connect, when a route goes away or a firewall refuses, so what the socket was doing decides.
 */
const isUnsent = (chain: ReadonlyArray<Link>, code: string): boolean => {
  const syscalls = chain.map(({ syscall }) => syscall).filter((syscall) => syscall !== undefined)
  return /^(ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(code)
    || syscalls.every((syscall) => syscall === "connect")
      && (code === "ECONNREFUSED" || /^E(HOST|NET)UNREACH$/.test(code) && syscalls.length > 0)
}

/** Trying again would find the same: no such host, not HTTP, not this certificate. */
const lasting = /^(ENOTFOUND|EPROTO|HPE_|ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|UND_ERR_INVALID_ARG)/

/** The limits that the runtime's own fetch has, if its defaults were not changed. */
const fetchLimit = Duration.seconds(300)

/** @internal */
export const fromTransport =
  (subject: Subject, host: string) =>
  (error: HttpClientError.HttpClientError): RWKVConnectionError | RWKVTimeoutError => {
    const chain = chainOf(error.cause)
    const code = codeOf(chain)
    if (/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(code)) {
      return new RWKVTimeoutError({ ...subject, kind: "request", limit: fetchLimit })
    }
    const answered = error._tag === "ResponseError"
    const transport = answered || error.reason === "Transport"
    const refused = !transport || !answered && isUnsent(chain, code)
    const unsure = refused || subject.body === undefined ? "" : ", and the server may have started the task"
    const what = answered
      ? `the answer of ${host} was cut off`
      : `${refused ? "cannot connect to" : "no answer from"} ${host}`
    return new RWKVConnectionError({
      ...subject,
      ...(code === "" ? {} : { code }),
      description: what + unsure,
      requestSent: !refused,
      retryable: answered || transport && !lasting.test(code)
    })
  }

/** Enough to fill an excerpt, however much of it is redacted, and little enough to be searched for a whole prompt. */
const searched = 4096

/** What is left of a text when escapes and white space are not counted: an echo may be escaped once more, or on one line. */
const bare = (text: string): string =>
  text
    .replace(/\\+u([0-9a-f]{4})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    .replace(/\\+[nrtbf]?|[\s\p{Cc}]+/gu, "")

/**
 * Whether two texts share a run of 16 characters. Such a run holds one of the blocks of 8 that the first is cut into: few are
 * looked for in the second, which may be long.
 */
const shareRun = (short: string, long: string): boolean => {
  for (let block = 0; block + 8 <= short.length; block += 8) {
    if (!long.includes(short.slice(block, block + 8))) continue
    for (let start = Math.max(0, block - 8); start <= block && start + 16 <= short.length; start++) {
      if (long.includes(short.slice(start, start + 16))) return true
    }
  }
  return false
}

const shareIds = (short: string, ids: string): boolean =>
  Array.from(short.matchAll(/\d+(?:,\d+){3,}/g)).some(([run]) => {
    const found = run.split(",")
    return found.slice(3).some((_, start) => ids.includes(`,${found.slice(start, start + 4).join(",")},`))
  })

/**
 * Makes excerpts of what is said about a request, without the request's own texts: prompts may be private. What repeats only a
 * part of them is not shown at all.
 *
 * @internal
 */
export const excerptWithout = (body: object): (text: string) => string => {
  const values: ReadonlyArray<unknown> = Object.values(body)
  const texts = values.filter((value) => typeof value === "string").filter((text) => text.length >= 8)
  const echoes = texts
    .flatMap((text) => text.length > searched ? [] : [JSON.stringify(text).slice(1, -1), text])
    .sort((a, b) => b.length - a.length)
  // Most requests do not fail: only what does pays for the search.
  let known: { readonly text: string; readonly ids: string } | undefined
  const knownOf = () => (known ??= {
    text: texts.map(bare).join("\n"),
    ids: values.filter((value) => Array.isArray(value)).map((ids) => `,${ids.join(",")},`).join("\n")
  })
  return (text) => {
    const said = excerpt(
      echoes.reduce((text, echo) => text.replaceAll(echo, "<redacted>"), text.slice(0, searched).toWellFormed())
    )
    const { ids, text: own } = knownOf()
    const short = bare(said)
    return shareRun(short, own) || shareIds(short, ids) ? "no explanation that can be shown" : said
  }
}

/** The `detail` of FastAPI's answers: a text, or what is wrong with a request. */
const detailOf = (body: string): unknown => {
  const json = Option.getOrUndefined(parse(body))
  return isRecord(json) ? json["detail"] : undefined
}

/** @internal */
export const detail = (body: string): string | undefined => {
  const said = detailOf(body)
  return typeof said === "string" ? said : undefined
}

const camelCase = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** `["body", "prompt", "list[int]", 0]` is our `prompt.0`: the middle part only names the server's alternative. */
const pathOf = (loc: ReadonlyArray<unknown>) =>
  loc.slice(1).filter((part) => part !== "str" && part !== "list[int]").map((part) => camelCase(String(part))).join(".")

const issuesOf = (detail: unknown, say: (text: string) => string) =>
  (Array.isArray(detail) ? detail : []).slice(0, 20).flatMap((issue: unknown) =>
    isRecord(issue) && Array.isArray(issue["loc"]) && typeof issue["msg"] === "string"
      ? [{ path: say(pathOf(issue["loc"])), message: say(issue["msg"]) }]
      : []
  )

const explanation = (body: string, say: (text: string) => string) => say(detail(body) ?? body) || "no explanation"

const describe = (
  response: HttpClientResponse.HttpClientResponse,
  body: string,
  say: (text: string) => string
): string =>
  /^\s*<(!doctype|html)/i.test(body) || response.headers["content-type"]?.includes("html") === true
    ? "an HTML page"
    : explanation(body, say)

const number = (text = ""): number | undefined => /^\s*\d{1,9}(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

/** The time until a date of HTTP, as in `Mon, 23 Nov 2026 12:00:30 GMT`, whose zone DateTime knows by its number only. */
const until = (date: string, now: number): number | undefined =>
  DateTime.make(/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/.test(date) ? date.replace("GMT", "+0000") : "").pipe(
    Option.map((date) => DateTime.toEpochMillis(date) - now),
    Option.filter((wait) => wait > 0),
    Option.getOrUndefined
  )

/** `Retry-After` as seconds or a date, or the non-standard milliseconds; what makes no sense is no wish. */
const retryAfterOf = (
  headers: Readonly<Record<string, string | undefined>>,
  now: number
): { readonly retryAfter?: Duration.Duration } => {
  const header = headers["retry-after"] ?? ""
  const seconds = number(header)
  const millis = number(headers["retry-after-ms"]) ?? (seconds === undefined ? until(header, now) : seconds * 1000)
  return millis === undefined ? {} : { retryAfter: Duration.millis(millis) }
}

type Refusal = RWKVValidationError | RWKVServerError | RWKVStatusError

/**
 * What a status other than 2xx means to any call. `say` makes an excerpt of what a proxy or the server says.
 *
 * @internal
 */
export const fromStatus = (
  subject: Subject,
  response: HttpClientResponse.HttpClientResponse,
  body: string,
  say: (text: string) => string
): Effect.Effect<never, Refusal> =>
  Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<never, Refusal> => {
    const { headers, status } = response
    if (status === 422) {
      const issues = issuesOf(detailOf(body), say)
      return new RWKVValidationError({
        ...subject,
        source: "server",
        issues: issues.length > 0 ? issues : [{ path: "", message: explanation(body, say) }]
      })
    }
    const description = status === 0 || status >= 300 && status < 400
      ? "a redirect, which is not followed"
      : status === 404 && detail(body) === "Not Found"
      ? "no such route: the server may be older than this call"
      : describe(response, body, say)
    const fields = { ...subject, status, description, ...retryAfterOf(headers, now) }
    return status >= 500 ? new RWKVServerError(fields) : new RWKVStatusError(fields)
  })

/** @internal */
export const isTaskMissing = (status: number, body: string): boolean =>
  status === 404 && detail(body) === "Task not found"
