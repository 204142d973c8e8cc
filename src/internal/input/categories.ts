/**
 * The categories of failures, decided in one table for all error classes. Errors are recognised by a symbol, because
 * another package may use the same tags.
 */
import { hasProperty } from "effect/Predicate"

/** The symbol that marks the errors of this package. */
const FailureId: unique symbol = Symbol.for("effect-rwkv/RWKVError")

/** The two categories that every error has as properties. */
export interface Categories {
  readonly isTransient: boolean
  readonly isSafeToRepeat: boolean
}

/** The fields that decide; no class has all of them. */
interface Facts {
  readonly _tag: string
  readonly workBegun?: boolean
  readonly status?: number
  readonly retryAfter?: unknown
  readonly kind?: string
  readonly retryable?: boolean
  readonly requestSent?: boolean
  readonly cause?: unknown
}

const isFailure = (u: unknown): u is Facts => hasProperty(u, FailureId)

type Category = (u: unknown) => boolean

type Rules = Readonly<Record<string, (facts: Facts) => boolean>>

/** A category as one rule for each tag; errors of other tags are not in it. */
const category = (rules: Rules): Category => (u) => isFailure(u) && rules[u._tag]?.(u) === true

const always = () => true

const oneOf = (...statuses: ReadonlyArray<number | undefined>) => ({ status }: Facts) => statuses.includes(status)

const isBusy = ({ retryAfter, status }: Facts) => status === 503 && retryAfter !== undefined

export const isThrottled = /*#__PURE__*/ category({
  RWKVStatusError: /*#__PURE__*/ oneOf(429),
  RWKVServerError: isBusy
})

export const isUnauthorized = /*#__PURE__*/ category({ RWKVStatusError: /*#__PURE__*/ oneOf(401, 403, 407) })

export const isNotFound = /*#__PURE__*/ category({ TaskNotFoundError: always })

export const isTransient: Category = category({
  TaskBusyError: always,
  // 501 and 505: the server does not support this, now or later.
  RWKVServerError: ({ status }) => status !== 501 && status !== 505,
  RWKVStatusError: oneOf(408, 425, 429),
  RWKVConnectionError: ({ retryable }) => retryable === true,
  RWKVTimeoutError: ({ cause, kind }) => kind === "request" || isTransient(cause),
  RWKVPoolError: ({ kind }) => kind === "full"
})

const isNotCarriedOut: Category = category({
  RWKVValidationError: always,
  TaskNotFoundError: always,
  TaskBusyError: always,
  TemplateProtectedError: always,
  AlreadyTemplateError: always,
  RWKVServerError: isBusy,
  RWKVStatusError: ({ status = 0 }) => status >= 400 && status !== 408,
  RWKVConnectionError: ({ requestSent }) => requestSent === false,
  RWKVTimeoutError: ({ cause }) => isSafeToRepeat(cause),
  RWKVPoolError: ({ kind }) => kind !== "replay"
})

export const isSafeToRepeat: Category = (u) => isNotCarriedOut(u) && isFailure(u) && u.workBegun !== true

/** Property descriptors for the prototype of every error class. */
export const properties: PropertyDescriptorMap & ThisType<unknown> = {
  [FailureId]: { value: true },
  isTransient: {
    get() {
      return isTransient(this)
    }
  },
  isSafeToRepeat: {
    get() {
      return isSafeToRepeat(this)
    }
  }
}
