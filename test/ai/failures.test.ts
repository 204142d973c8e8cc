/** How calls of the model fail, and what is left of them. */
import { AiError, Chat, LanguageModel, type Prompt } from "@effect/ai"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, Ref, Schema, Stream } from "effect"
import { type RWKVConfig, TaskService } from "effect-rwkv"
import type * as RWKVLanguageModel from "effect-rwkv/RWKVLanguageModel"
import { Emulator } from "effect-rwkv/testing"
import { asked, callOf, fenced, handlersTo, rwkv, toolkit } from "../support/ai.js"
import {
  endless,
  FaultKind,
  inject,
  onCreate,
  onStream,
  openStreams,
  running,
  says,
  verbs
} from "../support/program.js"

const secret = "Bearer of-bad-news"

const config: RWKVConfig.Options = {
  baseUrl: "http://gpu:8000",
  headers: { authorization: Redacted.make(secret), "x-key": "my-key-of-the-proxy" }
}

const prompt = "a prompt that is private"

const text = Effect.asVoid(LanguageModel.generateText({ prompt }))
const stream = Stream.runDrain(LanguageModel.streamText({ prompt }))
const object = Effect.asVoid(LanguageModel.generateObject({ prompt, schema: Schema.Struct({ a: Schema.Number }) }))

const calls = [["generateText", text], ["streamText", stream], ["generateObject", object]] as const

const created = { method: "POST", url: "http://gpu:8000/v1/tasks/tmp", urlParams: [], headers: {} }

const status = (status: number, headers: Record<string, string> = {}) =>
  FaultKind.Respond({
    status,
    headers: { "content-type": "application/json", ...headers },
    body: "{\"detail\":\"no\"}"
  })

interface Failure {
  readonly what: string
  readonly fault: Emulator.Fault
  readonly error: object
}

const failures: ReadonlyArray<Failure> = [
  {
    what: "404",
    fault: { on: onCreate, kind: status(404), times: 9 },
    error: { _tag: "HttpResponseError", reason: "StatusCode", request: created, response: { status: 404, headers: {} } }
  },
  {
    what: "a proxy's 429",
    fault: { on: onCreate, kind: status(429, { "retry-after": "7", "x-request-id": "r-1" }), times: 99 },
    error: {
      _tag: "HttpResponseError",
      reason: "StatusCode",
      response: { status: 429, headers: { "retry-after": "7", "x-request-id": "r-1" } }
    }
  },
  {
    what: "500",
    fault: { on: onCreate, kind: status(500), times: 99 },
    error: { _tag: "HttpResponseError", reason: "StatusCode", request: created, response: { status: 500 } }
  },
  {
    what: "a refused connection",
    fault: { on: onCreate, kind: FaultKind.Refuse(), times: 99 },
    error: { _tag: "HttpRequestError", reason: "Transport", request: created, cause: { _tag: "RWKVConnectionError" } }
  },
  {
    what: "silence",
    fault: { on: onCreate, kind: FaultKind.Hang({ executed: false }), times: 99 },
    error: { _tag: "HttpRequestError", reason: "Transport", cause: { _tag: "RWKVTimeoutError", kind: "request" } }
  },
  {
    what: "an answer of somebody else",
    fault: { on: onCreate, kind: FaultKind.Respond({ status: 200, headers: {}, body: "<html>" }), times: 99 },
    error: { _tag: "HttpResponseError", reason: "Decode", request: created, response: { status: 200 } }
  },
  {
    what: "503 for the text",
    fault: { on: { method: "GET" }, kind: status(503), times: 999 },
    error: { _tag: "HttpResponseError", response: { status: 503 } }
  }
]

const isClean = (error: unknown) => {
  const all = JSON.stringify(
    [error, String(error), Object.entries(error as object)],
    (_, value: unknown) => value instanceof Error ? { ...value, message: value.message } : value
  )
  expect(all).not.toMatch(/of-bad-news|my-key|a prompt that is private/)
}

describe("a failure of the server is one of AiError's classes, with its facts and without secrets", () => {
  it.effect.each(
    failures.flatMap(({ error, fault, what }) => calls.map(([method, call]) => ({ what, method, fault, error, call })))
  )("$what, of $method", ({ call, error, fault, method }) =>
    Effect.gen(function*() {
      yield* inject(fault)
      const failure = yield* Effect.flip(call)
      expect(AiError.isAiError(failure)).toBe(true)
      expect(failure).toMatchObject({ ...error, module: "RWKVLanguageModel", method })
      isClean(failure)
      expect(yield* running).toBe(0)
    }).pipe(asked(says(" Hello."), {}, config)))

  it.effect("404 for the text: the request names the task", () =>
    Effect.gen(function*() {
      yield* inject({ on: { method: "GET" }, kind: status(404), times: 99 })
      const failure = yield* Effect.flip(text)
      expect(failure).toMatchObject({
        request: { method: "GET", url: expect.stringMatching(/^http:\/\/gpu:8000\/v1\/tasks\/TMP_\w+\/stream$/) },
        response: { status: 404 }
      })
      isClean(failure)
    }).pipe(asked(says(" Hello."), {}, config)))
})

describe("a stream that fails", () => {
  /** The first frames come, and then nothing can be read. */
  const cut = Effect.gen(function*() {
    yield* inject({ on: onStream, kind: FaultKind.Cut({ afterBytes: 300, clean: false }) })
    yield* inject({ on: { method: "GET" }, kind: status(500), times: 999 })
  })

  const long = { reply: () => ({ tokens: Array.from({ length: 400 }, () => " word") }), tokensPerPulse: 4, pulse: 50 }

  it.effect("has ended its text before, so that a chat keeps it", () =>
    Effect.gen(function*() {
      yield* cut
      const chat = yield* Chat.empty
      const types: Array<string> = []
      const failure = yield* chat.streamText({ prompt: "Hi" }).pipe(
        Stream.runForEach(({ type }) => Effect.sync(() => types.push(type))),
        Effect.flip
      )
      expect(failure).toMatchObject({ _tag: "MalformedOutput", cause: { _tag: "StreamTruncatedError" } })
      expect(types.slice(0, 2)).toEqual(["response-metadata", "text-start"])
      expect(types.at(-1)).toBe("text-end")
      const [, answer] = (yield* Ref.get(chat.history)).content
      expect(answer).toMatchObject({ role: "assistant", content: [{ text: expect.stringContaining("word word") }] })
    }).pipe(asked(long)))

  it.effect("as a whole answer fails in the same way", () =>
    Effect.gen(function*() {
      yield* cut
      expect(yield* Effect.flip(text)).toMatchObject({ _tag: "MalformedOutput", method: "generateText" })
    }).pipe(asked(long)))
})

describe("who leaves a call", () => {
  it.effect.each(calls)(
    "interrupts %s: the task is stopped, and nothing is left",
    ([, call]) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(call)
        yield* Effect.sleep("1 second")
        expect(yield* running).toBe(1)
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep("30 seconds")
        expect(yield* running).toBe(0)
        expect(yield* openStreams).toBe(0)
        expect(yield* verbs).toContain("POST stop")
        const { tasks } = yield* Emulator.Emulator
        expect(yield* tasks).toEqual([])
      }).pipe(asked({ ...endless, pulse: 50 }, { maxTokens: 40_000 }))
  )

  it.effect("takes a part of a stream: the same", () =>
    Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(LanguageModel.streamText({ prompt }), 5))
      yield* Effect.sleep("30 seconds")
      expect(yield* running).toBe(0)
      expect(yield* openStreams).toBe(0)
    }).pipe(asked({ ...endless, pulse: 50 }, { maxTokens: 40_000 })))

  it.effect("stops the task of a stream by hand: it finishes with the reason other", () =>
    Effect.gen(function*() {
      const finish = yield* LanguageModel.streamText({ prompt }).pipe(
        Stream.tap((part) =>
          part.type === "response-metadata"
            ? Effect.fork(
              Effect.delay(Effect.flatMap(part.id, (id) => TaskService.stop(id)), "1 second")
            )
            : Effect.void
        ),
        Stream.runFold("", (reason, part) => part.type === "finish" ? part.reason : reason)
      )
      expect(finish).toBe("other")
    }).pipe(asked({ ...endless, pulse: 50 }, { maxTokens: 40_000 })))
})

describe("a call that the model may not make is rejected before it is run", () => {
  const run = (
    reply: string,
    toolChoice: NonNullable<LanguageModel.GenerateTextOptions<typeof toolkit.tools>["toolChoice"]>
  ) =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const layer = Layer.merge(rwkv(says(reply), { maxTokens: 500 }), handlersTo(ran))
      const options = { prompt: "Go", toolkit, toolChoice }
      const failure = yield* Effect.flip(LanguageModel.generateText(options)).pipe(Effect.provide(layer))
      const streamed = yield* Effect.flip(Stream.runDrain(LanguageModel.streamText(options))).pipe(
        Effect.provide(layer)
      )
      for (const error of [failure, streamed]) expect(error).toMatchObject({ _tag: "MalformedOutput" })
      expect(ran).toEqual([])
      return failure
    })

  const weather = callOf("weather", { city: "Oslo" })

  it.effect.each(
    [
      ["of a tool that is none", ` ${fenced(callOf("delete_all", {}))}`, "auto"],
      ["of a name that every object has", ` ${fenced(callOf("constructor", {}))}`, "auto"],
      ["of another tool than the chosen one", `\n${weather}\n\`\`\``, { tool: "add" }],
      ["outside of oneOf", ` ${fenced(weather)}`, { oneOf: ["add"] }],
      ["outside of a required oneOf", `\n${weather}\n\`\`\``, { mode: "required", oneOf: ["add"] }],
      ["whose arguments do not fit", ` ${fenced(callOf("weather", { city: 1 }))}`, "auto"],
      ["whose argument is no number", ` ${fenced(callOf("add", { a: "one", b: 2 }))}`, "auto"],
      [
        "with a prototype",
        ` ${fenced("{\"name\":\"weather\",\"arguments\":{\"city\":\"a\",\"__proto__\":{}}}")}`,
        "auto"
      ],
      ["that is no JSON", ` ${fenced("{\"name\": \"weather\", \"arguments\": {city}}")}`, "auto"],
      ["that is cut", "\n{\"name\": \"weather\", \"argu", "required"],
      ["without arguments", `\n{"name": "weather"}\n\`\`\``, "required"],
      ["that was required and does not come", "\nI cannot.\n```", "required"]
    ] as const
  )("%s", ([, reply, choice]) => run(reply, choice))

  it.effect("but text that looks like one, where no tool may be called, is text", () =>
    Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "Go", toolkit, toolChoice: "none" })
      expect(content[1]).toMatchObject({ type: "text", text: fenced(weather) })
    }).pipe(Effect.provide(handlersTo([])), asked(says(` ${fenced(weather)}`))))
})

describe("what cannot be asked is MalformedInput, and nothing is sent", () => {
  const refused = (prompt: Prompt.RawInput, says: string, model: RWKVLanguageModel.Config.Service = {}) =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(LanguageModel.generateText({ prompt }))
      expect(failure).toMatchObject({ _tag: "MalformedInput", description: expect.stringContaining(says) })
      expect(yield* verbs).toEqual([])
    }).pipe(asked({}, model))

  const user = { role: "user", content: "Hi" } as const
  const file = { type: "file", mediaType: "image/png", data: "AAAA" } as const
  const result = {
    type: "tool-result",
    id: "1",
    name: "f",
    isFailure: false,
    result: 1,
    providerExecuted: false
  } as const

  it.effect.each([
    ["an image", [{ role: "user", content: [{ type: "text", text: "What is it?" }, file] }], "image/png"],
    ["a file of the assistant", [user, { role: "assistant", content: [file] }, user], "image/png"],
    ["nothing", [], "messages must not be empty"],
    ["an answer at the end", [user, { role: "assistant", content: "Ho" }], "must not be the last"],
    ["a result of no call", [user, { role: "tool", content: [result] }], "a result of f"],
    ["options that are none", [{ ...user, options: { rwkv: { temperature: 9 } } }], "temperature must be"],
    ["a user who says nothing", " ", "must hold more than white space"]
  ] as ReadonlyArray<readonly [string, Prompt.RawInput, string]>)("%s", ([, prompt, says]) => refused(prompt, says))

  it.effect.each(
    [
      ["temperature", { temperature: 3 }, "temperature must be a number from 0 to 2"],
      ["objectRepairs", { objectRepairs: 99 }, "objectRepairs must be an integer from 0 to 10"],
      ["too many stop sequences", { stop: Array.from("abcdefghijklmnop") }, "stop"],
      ["an empty stop sequence", { stop: [""] }, "stop"]
    ] as const
  )("a bad %s of the layer, which cannot fail", ([, model, says]) => refused("Hi", says, model))

  it.effect("a chosen tool that is not there", () =>
    Effect.gen(function*() {
      const bad = LanguageModel.generateText({ prompt: "Hi", toolkit, toolChoice: { tool: "none" as "add" } })
      expect(yield* Effect.flip(bad)).toMatchObject({ _tag: "MalformedInput" })
      const none = LanguageModel.generateText({ prompt: "Hi", toolkit, toolChoice: { mode: "required", oneOf: [] } })
      expect(yield* Effect.flip(none)).toMatchObject({ _tag: "MalformedInput" })
    }).pipe(Effect.provide(handlersTo([])), asked()))

  it.effect("a Schema that JSON Schema cannot say", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({ a: Schema.declare((u): u is symbol => typeof u === "symbol") })
      const failure = yield* Effect.flip(LanguageModel.generateObject({ prompt: "Hi", schema }))
      expect(failure).toMatchObject({ _tag: "MalformedInput", method: "generateObject" })
    }).pipe(asked()))
})
