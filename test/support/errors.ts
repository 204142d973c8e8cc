/** Failures of a read, as the endpoints report them. */
import type { Duration } from "effect"
import { RWKVError } from "effect-rwkv"

export const operation = "TaskService.status"

export const server = (status: number, retryAfter?: Duration.Duration) =>
  new RWKVError.RWKVServerError({ operation, status, description: "busy", retryAfter })

export const connection = (requestSent: boolean, retryable = true) =>
  new RWKVError.RWKVConnectionError({ operation, description: "no answer", requestSent, retryable })

export const status = (status: number, retryAfter?: Duration.Duration) =>
  new RWKVError.RWKVStatusError({ operation, status, description: "no", retryAfter })
