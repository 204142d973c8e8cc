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
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import { hasProperty } from "effect/Predicate"
import * as Schema from "effect/Schema"
import {
  RWKVConnectionError,
  RWKVServerError,
  RWKVStatusError,
  RWKVTimeoutError,
  RWKVValidationError
} from "../RWKVError.js"

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

/** An error, what caused it, and what an AggregateError gathers: two addresses of a host fail on their own. */
const chainOf = (cause: unknown): ReadonlyArray<object> => {
  const chain = new Set<object>()
  const follow = (link: unknown) => {
    // What bites its tail, or has no end, ends here.
    if (typeof link !== "object" || link === null || chain.has(link) || chain.size > 32) return
    chain.add(link)
    if (hasProperty(link, "cause")) follow(link.cause)
    if (hasProperty(link, "errors") && Array.isArray(link.errors)) link.errors.forEach(follow)
  }
  follow(cause)
  return Array.from(chain)
}

const codeOf = (chain: ReadonlyArray<object>): string | undefined =>
  chain.flatMap((link) => hasProperty(link, "code") && typeof link.code === "string" ? [link.code] : [])
    .find((code) => /^[A-Z][A-Z0-9_]{2,60}$/.test(code))

/**
 * Whether the connection was never made: the server cannot have seen anything. An established socket may break with the codes
 * of a failed connect, when a route goes away or a firewall refuses, so what the socket was doing decides.
 */
const isUnsent = (chain: ReadonlyArray<object>, code: string | undefined): boolean => {
  const syscalls = chain.flatMap((link) => hasProperty(link, "syscall") ? [link.syscall] : [])
  const connecting = syscalls.every((syscall) => syscall === "connect")
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "UND_ERR_CONNECT_TIMEOUT":
      return true
    case "ECONNREFUSED":
      return connecting
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return connecting && syscalls.length > 0
    default:
      return false
  }
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
    if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
      return new RWKVTimeoutError({ ...subject, kind: "request", limit: fetchLimit })
    }
    const unsure = subject.body === undefined ? "" : ", and the server may have started the task"
    const refused = error._tag === "RequestError" && (error.reason !== "Transport" || isUnsent(chain, code))
    return new RWKVConnectionError({
      ...subject,
      ...(code === undefined ? {} : { code }),
      description: error._tag === "ResponseError"
        ? `the answer of ${host} was cut off${unsure}`
        : refused
        ? `cannot connect to ${host}`
        : `no answer from ${host}${unsure}`,
      requestSent: !refused,
      retryable: error._tag === "ResponseError" || error.reason === "Transport" && !lasting.test(code ?? "")
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

const Detail = Schema.parseJson(Schema.Struct({ detail: Schema.Unknown }))
const decodeDetail = ParseResult.decodeUnknownOption(Detail)

/** The text of FastAPI's `{"detail": "..."}`. */
const detailOf = (body: string): string | undefined =>
  Option.match(decodeDetail(body), {
    onNone: () => undefined,
    onSome: ({ detail }) => typeof detail === "string" ? detail : undefined
  })

const Issues = Schema.parseJson(Schema.Struct({
  detail: Schema.NonEmptyArray(Schema.Struct({
    loc: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
    msg: Schema.String
  }))
}))
const decodeIssues = ParseResult.decodeUnknownEither(Issues)

const camelCase = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** `["body", "prompt", "list[int]", 0]` is our `prompt.0`: the middle part only names the server's alternative. */
const pathOf = (loc: ReadonlyArray<string | number>) =>
  loc.slice(1).filter((part) => part !== "str" && part !== "list[int]").map((part) => camelCase(String(part))).join(".")

const fromUnprocessable = (subject: Subject, body: string, say: (text: string) => string) =>
  new RWKVValidationError({
    ...subject,
    source: "server",
    issues: Either.match(decodeIssues(body), {
      onLeft: () => [{ path: "", message: say(detailOf(body) ?? body) || "no explanation" }],
      onRight: ({ detail }) =>
        detail.slice(0, 20).map(({ loc, msg }) => ({ path: say(pathOf(loc)), message: say(msg) }))
    })
  })

const describe = (
  response: HttpClientResponse.HttpClientResponse,
  body: string,
  say: (text: string) => string
): string => {
  const html = /^\s*<(!doctype|html)/i.test(body) || (response.headers["content-type"] ?? "").includes("html")
  if (html) return "an HTML page"
  const text = say(detailOf(body) ?? body)
  return text === "" ? "no explanation" : text
}

const seconds = (text: string | undefined) =>
  text !== undefined && /^\s*\d{1,9}(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

/** The date of HTTP, as in `Mon, 23 Nov 2026 12:00:30 GMT`: DateTime reads only ISO's. */
const httpDate = (text: string): Option.Option<DateTime.Utc> => {
  const [, day, month = "?", year, time] = /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT$/.exec(text) ?? []
  const number = String(months.indexOf(month) / 3 + 1).padStart(2, "0")
  return DateTime.make(`${year}-${number}-${day}T${time}Z`)
}

/** `Retry-After` as seconds or a date, or the non-standard milliseconds; what makes no sense is no wish. */
const retryAfterOf = (
  headers: Readonly<Record<string, string | undefined>>
): Effect.Effect<Duration.Duration | undefined> =>
  Effect.gen(function*() {
    const millis = seconds(headers["retry-after-ms"])
    if (millis !== undefined) return Duration.millis(millis)
    const header = headers["retry-after"]
    const delta = seconds(header)
    if (delta !== undefined) return Duration.seconds(delta)
    const date = httpDate(header ?? "")
    if (Option.isNone(date)) return undefined
    const wait = DateTime.toEpochMillis(date.value) - (yield* Clock.currentTimeMillis)
    return wait > 0 ? Duration.millis(wait) : undefined
  })

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
): Effect.Effect<never, RWKVValidationError | RWKVServerError | RWKVStatusError> =>
  Effect.gen(function*() {
    const { status } = response
    if (status === 422) return yield* fromUnprocessable(subject, body, say)
    const retryAfter = yield* retryAfterOf(response.headers)
    const fields = { ...subject, status, ...(retryAfter === undefined ? {} : { retryAfter }) }
    if (status >= 500) return yield* new RWKVServerError({ ...fields, description: describe(response, body, say) })
    const description = status === 0 || status >= 300 && status < 400
      ? "a redirect, which is not followed"
      : status === 404 && detailOf(body) === "Not Found"
      ? "no such route: the server may be older than this call"
      : describe(response, body, say)
    return yield* new RWKVStatusError({ ...fields, description })
  })

/** @internal */
export const isTaskMissing = (status: number, body: string): boolean =>
  status === 404 && detailOf(body) === "Task not found"

/** @internal */
export const detail = detailOf
