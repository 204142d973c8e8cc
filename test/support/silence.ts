/** A server that says nothing for long, or for ever. */
import { HttpClient as Platform } from "@effect/platform"
import { Effect, Layer, Stream } from "effect"
import { Polling, RWKV, type RWKVConfig, type StreamService, type TaskService } from "effect-rwkv"
import * as wire from "./wire.js"

export const id = "TMP_1"
export const request = { prompt: "a", maxTokens: 100 }

const bytes = (...payloads: ReadonlyArray<string>) =>
  new TextEncoder().encode(payloads.map((payload) => `data: ${payload}\n\n`).join(""))

/** An event stream that tells its task, if it is of a create, and then nothing more until `later`. */
const silent = (direct: boolean, later: Effect.Effect<ReadonlyArray<string>> = Effect.never) =>
  Effect.map(
    Stream.toReadableStreamEffect(Stream.concat(
      direct ? Stream.succeed(bytes(`{"task_id": "${id}", "prefill_time": 0.01}`)) : Stream.empty,
      Stream.fromEffect(Effect.map(later, (payloads) => bytes(...payloads)))
    )),
    (body) => new Response(body, { headers: { "content-type": "text/event-stream" } })
  )

export interface Server {
  /** The state at the nth question. */
  readonly status?: (count: number) => { readonly status: number; readonly generated: number }
  readonly later?: () => Effect.Effect<ReadonlyArray<string>>
  readonly stop?: Effect.Effect<Response>
}

export const serve = ({ later, status = (count) => ({ status: 2, generated: count }), stop }: Server = {}) => {
  let asked = 0
  return wire.platform(({ body, path }) => {
    if (path.includes("/stream")) return silent(false, later?.())
    if (body !== "" && JSON.parse(body).stream === true) return silent(true, later?.())
    if (path.includes("/stop") && stop !== undefined) return stop
    if (path.includes("/status")) {
      asked++
      const { generated, status: state } = status(asked)
      return wire.json({ ...wire.info, status: state, generated_buf: generated })
    }
    return path.includes("/get_result")
      ? wire.json({ ...wire.created, result: "whole", gen_time: 1, finished: true })
      : path.includes("/stop")
      ? wire.json({ ...wire.info, status: 2 })
      : wire.json(wire.created)
  })
}

export type Services = TaskService.TaskService | StreamService.StreamService

/** The end of the layer is no subject here: it would wait in real time for tasks that no stop can end. */
export const over = (client: Platform.HttpClient, config: RWKVConfig.Options = {}) =>
  RWKV.layer({ retry: Polling.noRetry, closeTimeout: 0, ...config }).pipe(
    Layer.provide(Layer.succeed(Platform.HttpClient, client))
  )

export const hanging = wire.platform(() => Effect.never).client
