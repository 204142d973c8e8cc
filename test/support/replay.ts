/** Plays recorded sequences of calls to the emulator, and tells what came of them in the recording's words. */
import { HttpServerRequest, type HttpServerResponse } from "@effect/platform"
import { Effect, Option, Stream } from "effect"
import type { Emulator } from "effect-rwkv/testing"
import { idPattern, type Outcome, type Sequence, type Step } from "./golden.js"

const unmade = `TMP_${"0".repeat(32)}`

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly chunks: ReadonlyArray<string>
  readonly end: Outcome["end"]
}

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Whoever hears nothing for five seconds gives up. */
const read = (response: HttpServerResponse.HttpServerResponse) =>
  Effect.gen(function*() {
    const chunks: Array<string> = []
    const { body } = response
    if (body._tag === "Uint8Array") chunks.push(decode(body.body))
    if (body._tag !== "Stream") return { chunks, end: "end" as const }
    const end = yield* body.stream.pipe(
      Stream.runForEach((bytes) => Effect.sync(() => bytes.length > 0 && chunks.push(decode(bytes)))),
      Effect.as("end" as const),
      Effect.orElseSucceed(() => "cut" as const),
      Effect.timeoutOption("5 seconds")
    )
    return { chunks, end: Option.getOrElse(end, () => "hang" as const) }
  })

/** A path as it is, which a URL would rewrite. */
const call = (emulator: Emulator.Service, step: Pick<Step, "method" | "path" | "headers" | "body">) =>
  Effect.gen(function*() {
    const body = step.body === undefined || step.body === "" ? null : new TextEncoder().encode(step.body)
    const headers = { host: "HOST", ...(body === null ? {} : { "content-type": "application/json" }), ...step.headers }
    const request = HttpServerRequest.fromWeb(new Request("http://HOST/", { method: step.method, headers, body }))
    const response = yield* Effect.provideService(
      emulator.httpApp,
      HttpServerRequest.HttpServerRequest,
      request.modify({ url: step.path })
    )
    const answer: Answer = {
      status: response.status,
      headers: {
        ...response.headers,
        ...(response.body.contentType === undefined ? {} : { "content-type": response.body.contentType })
      },
      ...(yield* read(response))
    }
    return answer
  }).pipe(Effect.scoped)

/** Those that a server adds by itself are not the emulator's. */
const headerNames = (names: Iterable<string>) =>
  Array.from(names).filter((name) => name !== "connection" && name !== "transfer-encoding").sort().join()

const masked = (text: string, ids: ReadonlyArray<string>): string =>
  text
    .replace(
      idPattern,
      (id) => ids.includes(id) ? `{${ids.indexOf(id)}}` : `${id.slice(0, id.lastIndexOf("_") + 1)}NEW`
    )
    .replace(/"(result|data)":( ?)"(?:[^"\\]|\\.)+"/g, "\"$1\":$2\"TEXT\"")
    .replace(/"gen_time":1\d{9}\.\d+/g, "\"gen_time\":EPOCH")
    .replace(/"gen_time":0\.0(?=[,}])/g, "\"gen_time\":ZERO")
    .replace(/"(prefill_time|gen_time|speed)":( ?)\d+\.\d+(?:e-\d+)?/g, "\"$1\":$2F")
    .replace(/ZERO/g, "0.0")
    .replace(/"created":\d+/, "\"created\":N")

/** How many GET frames carry a text depends on time. */
const withoutRepeats = (frames: ReadonlyArray<string>) =>
  frames.filter((frame, index) => !frame.startsWith("data: {\"data\": ") || frame !== frames[index - 1])

/** What does not depend on how far a run was at that moment. */
const loosely = (text: string): string =>
  text
    .replace(/"generated_buf":\d+/, "\"generated_buf\":N")
    .replace(/"status":[23]/, "\"status\":S")
    .replace(/"result":"\w*"/, "\"result\":TEXT")
    .replace(/"gen_time":(?:F|EPOCH|0\.0)/, "\"gen_time\":F")
    .replace(/"finished":\w+/, "\"finished\":B")

/** A recording, or an answer in its words, as far as two of them must be the same. */
export const comparable = (step: Step, outcome: Outcome) => {
  const frames = outcome.frames?.map((frame) => frame.trimEnd()) ?? []
  const words = (text: string) => step.racy === true ? loosely(text) : text
  return {
    status: outcome.status,
    contentType: outcome.contentType ?? "",
    allow: outcome.allow,
    location: outcome.location,
    headers: headerNames(outcome.headers.split(",")),
    end: outcome.end,
    body: outcome.body === undefined ? undefined : words(outcome.body),
    frames: withoutRepeats(frames.map(words))
  }
}

const outcomeOf = (step: Step, { chunks, end, headers, status }: Answer, ids: ReadonlyArray<string>): Outcome => {
  const { allow, "content-type": contentType, location } = headers
  const texts = chunks.map((chunk) => masked(chunk, ids))
  const isStream = contentType?.startsWith("text/event-stream") === true
  return {
    status,
    contentType: contentType ?? null,
    ...(allow === undefined ? {} : { allow }),
    ...(location === undefined ? {} : { location }),
    headers: Object.keys(headers).join(),
    end,
    ...(isStream ? { frames: texts } : { body: step.method === "HEAD" ? "" : texts.join("") })
  }
}

interface State {
  readonly status: number
  readonly generated_buf: number
}

/** Until the task has ended, or stood still for a second; or until it has begun. */
const settle = (emulator: Emulator.Service, id: string, then: Step["then"]) =>
  Effect.gen(function*() {
    if (then === "none") return
    let still = 0
    let last = ""
    while (still < 50) {
      const answer = yield* call(emulator, { method: "GET", path: `/v1/tasks/${id}/status` })
      if (answer.status !== 200) return
      const text = answer.chunks.join("")
      const state: State = JSON.parse(text)
      if (state.status === 3 || (then === "running" && state.generated_buf > 0)) return
      still = text === last ? still + 1 : 0
      last = text
      yield* Effect.sleep("20 millis")
    }
  })

/** Plays one sequence; the recorder waited after no broken body. Each step is handed over with what came of it. */
export const play = (
  emulator: Emulator.Service,
  sequence: Sequence,
  check: (step: Step, outcome: Outcome, index: number) => void
) =>
  Effect.gen(function*() {
    const ids: Array<string> = []
    for (const [index, step] of sequence.calls.entries()) {
      const path = step.path.replace(/\{(\d+)\}/, (_, number: string) => ids[Number(number)] ?? unmade)
      const answer = yield* call(emulator, { ...step, path })
      if (step.makes !== undefined) ids[step.makes] = answer.chunks[0]?.match(idPattern)?.[0] ?? unmade
      check(step, outcomeOf(step, answer, ids), index)
      const concerned = step.makes === undefined ? path.match(idPattern)?.[0] : ids[step.makes]
      if (concerned !== undefined && !step.kind.startsWith("bad body")) yield* settle(emulator, concerned, step.then)
    }
  })
