/**
 * What kinds of failure there are, whichever class tells them. One table for all errors, which are known by their mark:
 * another package may have errors of the same tag.
 */
import { hasProperty } from "effect/Predicate"

/** The mark of the errors of this package. */
const FailureId: unique symbol = Symbol.for("effect-rwkv/RWKVError")

/** Two categories that every error tells of itself. */
export interface Categories {
  readonly isTransient: boolean
  readonly isSafeToRepeat: boolean
}

/** What decides, where a class has it. */
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

/** A category by tags; those that are not named do not belong to it. */
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
  // A server that cannot do it today cannot do it tomorrow.
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

/** What the prototype of an error has, to tell its categories. */
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
