/**
 * Turns a failure of the network into an error. Each runtime has its own codes and messages for it.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Duration from "effect/Duration"
import { RWKVConnectionError, RWKVTimeoutError } from "../../RWKVError.js"
import { property } from "../input/json.js"

/** What an error is about. */
export interface Subject {
  readonly operation: string
  readonly taskId?: string | undefined
  /** Only requests that make the server work have a body. */
  readonly body?: object | undefined
}

interface Link {
  readonly name: string
  readonly message: string
  readonly code: string
  readonly syscall: string
  /** An AggregateError of all addresses of the host, whose code is that of one of them. */
  readonly many: boolean
}

/** How many causes are followed. */
const mostLinks = 32

const matching = (value: unknown, pattern: RegExp) => typeof value === "string" && pattern.test(value) ? value : ""

const wordsOf = (value: unknown) => typeof value === "string" ? value.slice(0, 1000) : ""

/** An error, its causes and the members of an AggregateError, up to cycles, 32 links and getters that throw. */
const chainOf = (cause: unknown): ReadonlyArray<Link> => {
  const seen = new Set<unknown>()
  const chain: Array<Link> = []
  const follow = (error: unknown): void => {
    if (error === undefined || error === null || seen.has(error) || seen.size > mostLinks) return
    seen.add(error)
    const of = (key: string) => property(error, key)
    const errors = of("errors")
    chain.push({
      name: matching(of("name"), /^\w{1,40}$/) || "Error",
      message: wordsOf(typeof error === "object" ? of("message") : error),
      code: matching(of("code"), /^[A-Z]\w{2,60}$/),
      syscall: matching(of("syscall"), /^\w{1,40}$/),
      many: typeof errors === "object" && errors !== null
    })
    follow(of("cause"))
    for (let index = 0; index < mostLinks; index++) follow(property(errors, `${index}`))
  }
  follow(cause)
  return chain
}

/** Codes of certificates that are not accepted. */
const certificates = "CERT_|CRL_|ERROR_IN_C|INVALID_(CA|PURPOSE)|PATH_LENGTH_|UNKNOWN_CERTIFICATE_|DEPTH_ZERO|" +
  "SELF_SIGNED|UNABLE_TO_|HOSTNAME_"

/** Messages of a runtime that forbids the request, now and at every attempt. */
const forbidden = "^bad port$|port \\d+ (is|are) blocked|--allow-net|^Unsupported cache mode|^Too many subrequests|" +
  "^Fetch API cannot load|^Illegal invocation|^(RequestInit|Request constructor|Headers\\.\\w+): |" +
  "^Failed to (execute 'fetch'|construct 'Request')"

const unsentCodes = new RegExp(
  `^(${certificates}|ECONNREFUSED|ENOTFOUND|EAI_|UND_ERR_(CONNECT_TIMEOUT|INVALID_ARG|NOT_SUPPORTED|CLOSED|PRX_|BPL_|` +
    "MAX_ORIGINS|SOCKS)|ERR_PROXY_TUNNEL|ERR_SOCKET_(BAD_PORT|CONNECTION_TIMEOUT|CLOSED_BEFORE_CONNECTION)|" +
    "ERR_TLS_(CERT_|INVALID_|PROTOCOL_)|ERR_INVALID_|ERR_HTTP_INVALID_|ERR_UNESCAPED_|ConnectionRefused|" +
    "FailedToOpenSocket)"
)

/** Why a TLS handshake failed, in the words of OpenSSL or as a code that is made of them. */
const handshake = new RegExp(
  "\\b(ERR_SSL_|SSL routines:).*(wrong version|packet length|handshake failure|protocol version|verify failed|" +
    "unsupported protocol|no protocols|no (application protocol|shared cipher|ciphers)|unrecognized name|" +
    "too (small|weak)|insufficient security|inappropriate fallback|legacy renegotiation|unknown ca|" +
    "certificate (unknown|required)|(bad|revoked|expired|unsupported) certificate|certificate (revoked|expired))"
      .replaceAll(" ", "[ _]"),
  "i"
)

/** Messages of undici, Deno, Bun, edge workers, browsers and clients over node:http, in this order. */
const unsentWords = new RegExp(
  `${forbidden}|before secure TLS connection was established|HTTP Tunneling$|` +
    "client error \\(Connect\\)|error trying to connect|" +
    "^([A-Z]+: )?(Unable to connect\\. Is the computer|Was there a typo in the url or port)|is not implemented|" +
    "^(globalThis\\.)?(fetch|AbortController|Request|Headers) is not (a function|a constructor|defined)|" +
    "^Can't find variable: (fetch|AbortController|Request|Headers)$|reason: (connect|getaddrinfo) E|" +
    "^Property '(fetch|AbortController|Request|Headers)' doesn't exist$"
)

/** Failures that another attempt would meet again: no such host, a bad certificate, not HTTP, no support. */
const lastingCodes = new RegExp(
  `^(${certificates}|ENOTFOUND|EACCES|EPERM|EPROTO|HPE_|ERR_(SSL|TLS|INVALID|HTTP|UNESCAPED|SOCKET_BAD_PORT)_?|` +
    "UND_ERR_(INVALID_ARG|NOT_SUPPORTED|CLOSED)|Malformed_HTTP)"
)

const lastingWords = new RegExp(
  `${forbidden}|certificate|Name or service not known|nodename nor servname|` +
    "No such host is known|No address associated with hostname|received fatal alert|peer is incompatible|" +
    "InvalidContentType|HTTP version|HTTP\\/1\\.1 protocol|proxy authentication|proxy\\D*4(?!08|29)\\d\\d|" +
    "is not (a function|a constructor|an object|defined|implemented|supported)|Cannot read propert|" +
    "^Can't find variable|^Property '\\w+' doesn't exist",
  "i"
)

const failedInHandshake = ({ code, message }: Link) => handshake.test(`${code} ${message}`)

/**
 * Whether the request surely was not sent (H43). A connection can break with the codes of one that was never made, so
 * the system call decides; but a TLS handshake reads and writes as well.
 */
const isUnsent = (link: Link) =>
  failedInHandshake(link) || (link.syscall === ""
    ? unsentCodes.test(link.code) || unsentWords.test(link.message)
    : /^(connect|getaddrinfo|query\w*)$/.test(link.syscall))

const isEvidence = (link: Link) => !link.many && (link.code + link.syscall !== "" || isUnsent(link))

/** The innermost message, without the address and the advice that runtimes put around it, and without credentials. */
const innermost = (chain: ReadonlyArray<Link>): Link | undefined => {
  const link = chain.findLast(({ message }) => !/^(fetch failed|terminated|Request was cancelled\.?|)$/.test(message))
  return link && {
    ...link,
    message: link.message
      .replace(/^error sending request (for url \([^)]*\)|from \S+ for \S+( \([^)]*\))?): /, "")
      .replace(/ For more information, pass `verbose: true`.*$/s, "")
      .replace(/\/\/[^/@\s]*@/g, "//<redacted>@")
  }
}

/**
 * @param say makes an excerpt without the secrets and the prompt of the request
 * @param died whether the HTTP layer threw instead of failing: it would throw again
 */
export const fromTransport = (
  { body, operation, taskId }: Subject,
  host: string,
  say: (text: string) => string,
  error: HttpClientError.HttpClientError,
  died = false
): RWKVConnectionError | RWKVTimeoutError => {
  const chain = chainOf(property(error, "cause"))
  const found = chain.find(({ code }) => code !== "")?.code
  if (found !== undefined && /^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(found)) {
    // The default limit of Node's own fetch.
    return new RWKVTimeoutError({ operation, taskId, kind: "request", limit: Duration.seconds(300) })
  }
  const code = found !== undefined && say(found) === found ? { code: found } : {}
  const answered = property(error, "_tag") === "ResponseError"
  // A client that fails with an error of its own may have sent the request.
  const reason = property(error, "reason")
  const transport = answered || reason !== "Encode" && reason !== "InvalidUrl"
  const evidence = chain.filter(isEvidence)
  const unsent = !transport || !answered && evidence.length > 0 && evidence.every(isUnsent)
  const lasting = chain.some((link) =>
    failedInHandshake(link) || lastingCodes.test(link.code) || lastingWords.test(link.message)
  )
  const what = answered
    ? `the answer of ${host} was cut off`
    : `${unsent ? "cannot connect to" : "no answer from"} ${host}`
  const warning = unsent || body === undefined ? "" : ", and the server may have started the task"
  const link = innermost(chain)
  const words = say(link?.message ?? "")
  return new RWKVConnectionError({
    operation,
    taskId,
    ...code,
    description: `${what}${warning}${words === "" ? "" : `: ${words}`}`,
    requestSent: !unsent,
    retryable: !died && (answered || transport && !lasting),
    ...(link && { cause: { name: link.name, message: words, ...code } })
  })
}
