/**
 * This SDK, over both of the platform's clients that stream: chunk by chunk, element by element, and to the end.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type { HttpClient } from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { RWKV, StreamService, TaskService, Telemetry } from "effect-rwkv"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { makeDecoder } from "../../src/internal/wire/sse.js"
import type { Make } from "./consumer.js"

type How = "chunk" | "element" | "run" | "made" | "stops"

/** None ends the text of a scenario, in which two or three letters of one come again and again. */
const stop = ["\n\nUser:", "\n\nSystem:", "the end"]

/** A tracer that keeps what it is told, as an exporter does before it sends it. */
const listening = () => {
  const native = Effect.runSync(Effect.tracer)
  let spans: Array<Tracer.Span> = []
  const tracer = Layer.setTracer(Tracer.make({
    span: (...args) => {
      const span = native.span(...args)
      if (spans.length > 512) spans = []
      spans.push(span)
      return span
    },
    context: (run, fiber) => native.context(run, fiber)
  }))
  return Layer.merge(tracer, Telemetry.layer())
}

/** Spans that are made and kept, made for nobody, or not even made. */
const tracers = { heard: listening, usual: () => Layer.empty, off: () => Layer.setTracerEnabled(false) } as const

const make = (
  platform: Layer.Layer<HttpClient>,
  how: How,
  tracer: keyof typeof tracers = "usual"
): Make =>
async (baseUrl) => {
  const services = Layer.provide(RWKV.layer({ baseUrl }), platform)
  const runtime = ManagedRuntime.make(Layer.provideMerge(services, tracers[tracer]()))
  await runtime.runtime()
  const texts = (id: string) =>
    how === "made" || how === "stops"
      ? StreamService.create({ prompt: id }, how === "stops" ? { stop } : {})
      : StreamService.subscribe(id)
  const waiting = (prompt: string) => TaskService.run({ prompt }, how === "run" ? {} : { by: "polling" })
  return {
    stream: (id, onText) =>
      runtime.runPromise(
        how === "chunk" || how === "made" || how === "stops"
          ? Stream.runForEachChunk(texts(id), (chunk) =>
            Effect.sync(() => {
              for (const text of chunk) onText(text)
            }))
          : how === "element"
          ? Stream.runForEach(texts(id), (text) => Effect.sync(() => onText(text)))
          : Effect.map(TaskService.wait(id, { by: "subscription" }), (result) => onText(result.text))
      ),
    ask: (id) => runtime.runPromise(TaskService.status(id)),
    wait: (prompt) => runtime.runPromise(Effect.map(waiting(prompt), (result) => result.text)),
    decode: (chunks) => {
      const decoder = makeDecoder(16 * 1024 * 1024, (text) => text)
      return chunks.flatMap(decoder.push)
    }
  }
}

export const fetchChunk = make(FetchHttpClient.layer, "chunk")
export const fetchElement = make(FetchHttpClient.layer, "element")
export const fetchRun = make(FetchHttpClient.layer, "run")
export const fetchMade = make(FetchHttpClient.layer, "made")
export const fetchStops = make(FetchHttpClient.layer, "stops")
export const undiciChunk = make(NodeHttpClient.layerUndici, "chunk")
export const undiciElement = make(NodeHttpClient.layerUndici, "element")
export const undiciRun = make(NodeHttpClient.layerUndici, "run")
export const undiciMade = make(NodeHttpClient.layerUndici, "made")
export const undiciStops = make(NodeHttpClient.layerUndici, "stops")
export const undiciHeard = make(NodeHttpClient.layerUndici, "chunk", "heard")
export const undiciOff = make(NodeHttpClient.layerUndici, "chunk", "off")
