/**
 * One request to the server: bounded in time and size, and decoded.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { flow, identity } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type * as RWKVConfig from "../../RWKVConfig.js"
import { type CallFailure, type RWKVConnectionError, RWKVDecodeError, type RWKVTimeoutError } from "../../RWKVError.js"
import { about } from "../input/failure.js"
import * as Json from "../input/json.js"
import { effective } from "../input/override.js"
import * as Body from "./body.js"
import { breach } from "./breach.js"
import * as Client from "./client.js"
import { closedBefore } from "./closed.js"
import { type Call, type Exchange, make as makeExchange } from "./exchange.js"
import { toStream } from "./frames.js"
import { limited } from "./limit.js"
import { makeDecoder } from "./sse.js"
import { isPage } from "./status.js"

export type Requests = ReturnType<typeof build>

/** Whether any field is there with a valid value. If none is, another server may have answered. */
const hasValidField = (ast: SchemaAST.AST, answer: unknown) =>
  Json.isRecord(answer) &&
  SchemaAST.getPropertySignatures(SchemaAST.isTransformation(ast) ? ast.from : ast).some(({ name, type }) =>
    Object.hasOwn(answer, name) &&
    Either.isRight(ParseResult.decodeUnknownEither(Schema.make(type))(Reflect.get(answer, name)))
  )

const parse = <A, I>(call: Call<unknown>, schema: Schema.Schema<A, I>, body: string, hint: string) => {
  const unreadable = (description: string, isAstray: boolean) =>
    new RWKVDecodeError({ ...about(call), description: isAstray ? `${description}; ${hint}` : description })
  if (body === "") return Either.left(unreadable("empty", true))
  const json = Json.parse(body)
  // What begins as JSON was damaged on its way: `baseUrl` may be right.
  if (Option.isNone(json)) {
    return Either.left(unreadable(isPage({}, body) ? "an HTML page" : "not JSON", !/^\uFEFF?\s*[[{]/.test(body)))
  }
  return Either.mapLeft(
    ParseResult.decodeUnknownEither(schema)(json.value),
    (error) => unreadable(breach(error), !hasValidField(schema.ast, json.value))
  )
}

const build = (transformed: HttpClient.HttpClient, config: RWKVConfig.Service, closed: () => boolean) => {
  const usual = makeExchange(config)
  const settings = effective(config)
  const client = Client.make(
    transformed,
    Effect.map(settings, ({ headers }) => Object.keys(Redacted.value(headers)))
  )
  const scopedClient = HttpClient.withScope(client)

  const bounded = <A, E, R>(call: Call<unknown>, ask: (exchange: Exchange) => Effect.Effect<A, E, R>) =>
    Effect.flatMap(settings, (now): Effect.Effect<A, E | RWKVConnectionError | RWKVTimeoutError, R> =>
      closed()
        ? Effect.fail(closedBefore(call.operation, call.taskId))
        : limited(Effect.suspend(() => ask(now === config ? usual : makeExchange(now))), now.requestTimeout, {
          ...about(call),
          kind: "request"
        }))

  const answer = <A, E>(
    call: Call<E>,
    use: (body: string, requestId: string | undefined) => Effect.Effect<A, CallFailure>
  ) =>
    bounded(
      call,
      ({ send }) =>
        Effect.flatMap(send(call, client, "application/json"), ({ named, requestId, text }) =>
          Effect.mapError(
            Effect.flatMap(text(call.exact), (body) => use(body, requestId)),
            named
          ))
    )

  const open = <E>(call: Call<E>) =>
    bounded(call, ({ send }) => send(call, scopedClient, "text/event-stream")).pipe(
      Effect.filterOrFail(
        ({ response }) => /^text\/event-stream\b/i.test(response.headers["content-type"] ?? ""),
        ({ named }) => named(new RWKVDecodeError({ ...about(call), description: `not an event stream; ${usual.hint}` }))
      ),
      Effect.flatMap(({ broken, named, requestId, response, say }) =>
        Body.pullFrames(response, makeDecoder(config.maxFrameSize, say, requestId), flow(broken, named))
      )
    )

  return {
    /** The answer decoded by a Schema; `identify` adds the id that a proxy gave the request, if it did. */
    json: <A, I, E = never>(
      call: Call<E>,
      schema: Schema.Schema<A, I>,
      identify: (answer: A, requestId: string) => A = identity
    ) =>
      answer(call, (body, requestId) =>
        Either.map(
          parse(call, schema, body, usual.hint),
          (answer) => requestId === undefined ? answer : identify(answer, requestId)
        )),
    /** Accepts any 2xx answer; `None` if its body does not decode. */
    accepted: <A, I, E = never>(call: Call<E>, schema: Schema.Schema<A, I>) =>
      answer(call, (body) => Effect.succeed(Either.getRight(parse(call, schema, body, usual.hint)))),
    /** The frames of an event stream; the connection is closed with the stream. */
    frames: <E = never>(call: Effect.Effect<Call<E>, CallFailure>) => toStream(Effect.flatMap(call, open))
  }
}

/** Fails if the program's middleware cannot be made. */
export const make = (platform: HttpClient.HttpClient, config: RWKVConfig.Service, closed: () => boolean) =>
  Effect.map(Client.transformed(platform, config), (client) => build(client, config, closed))
