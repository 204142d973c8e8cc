/**
 * This SDK, over both of the platform's clients that stream: chunk by chunk, element by element, and to the end.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type { HttpClient } from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { makeDecoder } from "../../src/internal/wire/sse.js"
import type { Make } from "./consumer.js"

type How = "chunk" | "element" | "run" | "made" | "stops"

/** None ends the text of a scenario, in which two or three letters of one come again and again. */
const stop = ["\n\nUser:", "\n\nSystem:", "the end"]

const make = (
  platform: Layer.Layer<HttpClient>,
  how: How
): Make =>
async (baseUrl) => {
  const runtime = ManagedRuntime.make(Layer.provide(RWKV.layer({ baseUrl }), platform))
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
