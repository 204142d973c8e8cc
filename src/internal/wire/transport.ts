/**
 * What the network did to a request, as an error.
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
  readonly code: unknown
  readonly syscall: unknown
}

/** No error has more causes. */
const mostLinks = 32

/** An error, its causes and, as each address of a host fails for itself, the members of an AggregateError. */
const chainOf = (cause: unknown): ReadonlyArray<Link> => {
  const chain = new Map<unknown, Link>()
  const follow = (link: unknown) => {
    if (typeof link !== "object" || chain.has(link) || chain.size > mostLinks) return
    chain.set(link, { code: property(link, "code"), syscall: property(link, "syscall") })
    follow(property(link, "cause"))
    const errors = property(link, "errors")
    for (let index = 0; index < mostLinks; index++) follow(property(errors, `${index}`))
  }
  follow(cause)
  return Array.from(chain.values())
}

const isCode = (code: unknown) => typeof code === "string" && /^[A-Z][A-Z0-9_]{2,60}$/.test(code)

/**
 * Whether the connection was never made, so that the server cannot have seen the request. An established socket can
 * break with the same codes, so the system call that failed has to be a connect.
 */
const isUnsent = (chain: ReadonlyArray<Link>, code: string): boolean => {
  const syscalls = chain.map(({ syscall }) => syscall).filter((syscall) => syscall !== undefined)
  return /^(ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(code)
    || syscalls.every((syscall) => syscall === "connect")
      && (code === "ECONNREFUSED" || /^E(HOST|NET)UNREACH$/.test(code) && syscalls.length > 0)
}

/** The codes that another attempt would meet again: no such host, not HTTP, a bad certificate. */
const lasting = /^(ENOTFOUND|EPROTO|HPE_|ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|UND_ERR_INVALID_ARG)/

export const fromTransport =
  (subject: Subject, host: string) =>
  (error: HttpClientError.HttpClientError): RWKVConnectionError | RWKVTimeoutError => {
    const chain = chainOf(property(error, "cause"))
    const code = String(chain.map(({ code }) => code).find(isCode) ?? "")
    if (/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(code)) {
      // The default limit of Node's own fetch.
      return new RWKVTimeoutError({ ...subject, kind: "request", limit: Duration.seconds(300) })
    }
    const answered = property(error, "_tag") === "ResponseError"
    const reason = property(error, "reason")
    const transport = answered || reason !== "Encode" && reason !== "InvalidUrl"
    const refused = !transport || !answered && isUnsent(chain, code)
    const what = answered
      ? `the answer of ${host} was cut off`
      : `${refused ? "cannot connect to" : "no answer from"} ${host}`
    return new RWKVConnectionError({
      ...subject,
      ...(code === "" ? {} : { code }),
      description: refused || subject.body === undefined ? what : `${what}, and the server may have started the task`,
      requestSent: !refused,
      retryable: answered || transport && !lasting.test(code)
    })
  }
