/** What a tracer can find that looks into everything it is told. */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Option, Redacted, Stream } from "effect"
import { StreamService, TaskService, Telemetry } from "effect-rwkv"
import { reach } from "../support/reach.js"
import { over } from "../support/silence.js"
import * as Tracing from "../support/tracing.js"
import { id, respond, type Verb } from "../support/verbs.js"
import * as wire from "../support/wire.js"

const secret = "hush-9f3a"
const key = "sk-77c1"
const prompt = "a private prompt"
const text = "an answer for one pair of eyes"
const hidden = [secret, key, prompt, text]

const request = { prompt, maxTokens: 5 }

const verbs: Readonly<Record<string, Verb>> = {
  create: TaskService.create(request),
  run: TaskService.run(request),
  "run by polling": TaskService.run(request, { by: "polling" }),
  runAll: Stream.runDrain(TaskService.runAll([request])),
  stream: Stream.runDrain(StreamService.create(request)),
  "direct stream": Stream.runDrain(StreamService.createEvents(request, { transport: "direct" })),
  fim: Stream.runDrain(StreamService.fim({ prefix: prompt, suffix: prompt })),
  continue: Stream.runDrain(StreamService.continue(id, request)),
  fork: Stream.runDrain(StreamService.fork(id, request)),
  open: Effect.scoped(Effect.flatMap(StreamService.open(request), ({ finished }) => finished)),
  wait: TaskService.wait(id),
  result: TaskService.result(id),
  status: TaskService.status(id)
}

const texts = (path: string, body: string) =>
  path.includes("/stream") || JSON.parse(body === "" ? "{}" : body).stream === true
    ? wire.events(`{"task_id": "${id}", "prefill_time": 0.01}`, `{"data": "${text}"}`, "[DONE]")
    : path.includes("/get_result")
    ? wire.json({ ...wire.created, result: text, gen_time: 1.5, finished: true })
    : respond(path, body)

const answers: Readonly<Record<string, wire.Respond>> = {
  "answers as it should": ({ body, path }) => texts(path, body),
  "echoes all it was sent with a 500": ({ body, headers }) => wire.text(JSON.stringify(headers) + body, 500),
  "echoes all it was sent with a 422": ({ body, headers }) =>
    wire.json({ detail: [{ loc: ["body", headers["x-key"]], msg: headers["authorization"], input: body }] }, 422),
  "redirects to what it was sent": ({ body, headers }) =>
    new Response(null, {
      status: 307,
      headers: { location: `/?${new URLSearchParams({ key: headers["x-key"] ?? "", body }).toString()}` }
    }),
  "breaks off in its text": ({ body, path }) =>
    path.includes("/stream") || JSON.parse(body === "" ? "{}" : body).stream === true
      ? wire.events(
        `{"task_id": "${id}", "prefill_time": 0.01}`,
        `{"data": "${text}"}`,
        `{"error": "${prompt} ${secret}"}`
      )
      : texts(path, body),
  "makes the client throw its request": ({ body, headers }) => Effect.die({ headers, body })
}

describe("a tracer that looks into everything", () => {
  for (const [what, answer] of Object.entries(answers)) {
    it.live(`F112 finds neither key nor prompt nor text where the server ${what}`, () =>
      Effect.gen(function*() {
        for (const [name, verb] of Object.entries(verbs)) {
          const { spans, traced } = Tracing.make()
          const { client } = wire.platform(answer)
          const config = { apiKey: Redacted.make(key), headers: { "X-Key": secret } }
          const asked = traced(Effect.exit(Effect.provide(verb, over(client, config))))
          yield* asked
          yield* Effect.provide(asked, Telemetry.layer({ model: "a model" }))
          expect(spans.length, name).toBeGreaterThan(0)
          for (const { attributes, events, exit, name } of spans) {
            expect(exit, name).toBeDefined()
            const printed = exit !== undefined && Exit.isFailure(exit)
              ? Option.some(Cause.pretty(exit.cause, { renderErrorCause: true }))
              : Option.none()
            const all = [name, printed, ...reach([attributes, events, exit])].map(String)
            const found = hidden.filter((one) => all.some((text) => text.includes(one)))
            expect(found, `${name}: ${all.join(" ").slice(0, 500)}`).toEqual([])
          }
        }
      }))
  }
})
