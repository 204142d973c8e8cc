/**
 * Turns failures into `AiError`s, which name the request and the status, and hold no secrets or prompts.
 */
import * as AiError from "@effect/ai/AiError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { RWKVError } from "../../RWKVError.js"
import { bare } from "../input/failure.js"

export interface Where {
  readonly method: "generateText" | "generateObject" | "streamText"
  readonly baseUrl: string
}

const module = "RWKVLanguageModel"

export const operationOf = ({ method }: Where): string => `${module}.${method}`

export const malformedInput = ({ method }: Where, description: string, cause?: unknown): AiError.MalformedInput =>
  new AiError.MalformedInput({ module, method, description, cause })

export const malformedOutput = ({ method }: Where, description: string, cause?: unknown): AiError.MalformedOutput =>
  new AiError.MalformedOutput({ module, method, description, cause })

/** With a task's id the create had succeeded, so a read of its text failed. */
const requestOf = ({ baseUrl }: Where, taskId: string | undefined) => {
  const [method, path] = taskId === undefined ? ["POST", "tmp"] as const : ["GET", `${taskId}/stream`] as const
  return { method, url: `${baseUrl}/v1/tasks/${path}`, urlParams: [], hash: Option.none<string>(), headers: {} }
}

export const toAiError = (where: Where) => (error: RWKVError | AiError.AiError): AiError.AiError => {
  if (AiError.isAiError(error)) return error
  const about = { module, method: where.method, description: bare(error) }
  const request = requestOf(where, error.taskId)
  const answered = (reason: "StatusCode" | "Decode", status: number) => {
    const retryAfter = "retryAfter" in error ? error.retryAfter : undefined
    const headers = {
      ...(error.requestId !== undefined && { "x-request-id": error.requestId }),
      ...(retryAfter !== undefined && { "retry-after": `${Math.ceil(Duration.toSeconds(retryAfter))}` })
    }
    return new AiError.HttpResponseError({ ...about, request, reason, response: { status, headers } })
  }
  switch (error._tag) {
    case "RWKVValidationError":
      return error.source === "server"
        ? answered("StatusCode", 422)
        : new AiError.MalformedInput({ ...about, cause: error })
    case "RWKVServerError":
    case "RWKVStatusError":
      return answered("StatusCode", error.status)
    case "TaskNotFoundError":
      return answered("StatusCode", 404)
    case "RWKVDecodeError":
      return answered("Decode", 200)
    case "RWKVConnectionError":
    case "RWKVTimeoutError":
      return new AiError.HttpRequestError({ ...about, request, reason: "Transport", cause: error })
    case "StreamTruncatedError":
      return new AiError.MalformedOutput({ ...about, cause: error })
    default:
      return new AiError.UnknownError({ ...about, cause: error })
  }
}
