/**
 * The body of a request, read and checked as FastAPI does it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Body } from "../python/fields.js"
import { type Issue, printIssues } from "../python/issue.js"
import type { Json } from "../python/json.js"
import { decodeBody, missingBody, type ModelName } from "../python/models.js"
import { parse } from "../python/parser.js"
import * as Unicode from "../python/unicode.js"
import * as Reply from "./reply.js"
import type { Incoming } from "./request.js"

/** @internal */
export const refuse = (reply: Reply.Reply): Effect.Effect<never, Reply.Refusal> =>
  Effect.fail(new Reply.Refusal({ reply }))

/** @internal */
export const unprocessable = (issues: ReadonlyArray<Issue>): Effect.Effect<never, Reply.Refusal> => {
  const body = printIssues(issues)
  return refuse(body === undefined ? Reply.crash : Reply.json(body, 422))
}

/** @internal */
export const orRefuse = <A>(checked: Either.Either<A, ReadonlyArray<Issue>>): Effect.Effect<A, Reply.Refusal> =>
  Either.isRight(checked) ? Effect.succeed(checked.right) : unprocessable(checked.left)

const isJson = (contentType: string | undefined): boolean => {
  const [type = ""] = (contentType ?? "").split(";")
  return /^application\/(?:[^/]*\+)?json$/.test(type.trim().toLowerCase())
}

/** A body that is not UTF-8 stands as a lone surrogate, for the server cannot encode either in its 422. */
const rawBody = (bytes: Uint8Array): Json => ({
  _tag: "String",
  value: Option.getOrElse(Unicode.strict(bytes), () => "\ud800")
})

const unreadable: Reply.Reply = Reply.detail(400, "There was an error parsing the body")

/**
 * Undefined = no body at all. Broken JSON is reported before anything else is looked at.
 *
 * @internal
 */
export const readBody = (request: Incoming): Effect.Effect<Json | undefined, Reply.Refusal> => {
  if (request.body.length === 0) return Effect.succeed(undefined)
  if (!isJson(request.headers["content-type"])) return Effect.succeed(rawBody(request.body))
  const text = Unicode.document(request.body)
  if (Option.isNone(text)) return refuse(unreadable)
  return Either.match(parse(text.value), {
    onRight: (json) => Effect.succeed(json),
    onLeft: (error) => {
      if (error.kind === "other") return refuse(unreadable)
      const ctx = `{"error":${JSON.stringify(error.message)}}`
      const input: Json = { _tag: "Dict", entries: new Map() }
      return unprocessable([
        { type: "json_invalid", loc: ["body", error.position], msg: "JSON decode error", input, ctx }
      ])
    }
  })
}

/** @internal */
export const validate = (model: ModelName, json: Json | undefined): Either.Either<Body, ReadonlyArray<Issue>> =>
  json === undefined || json._tag === "Null" ? Either.left([missingBody]) : decodeBody(model, json)
