/**
 * A program whose tracer and metrics are exported to the collector of run.ts: streams that meet failures, a run, and a
 * stream that is left.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Otlp from "@effect/opentelemetry/Otlp"
import { RWKV, StreamService, TaskService, Telemetry } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const text = "abcdefghijklmnopqrstuvwxyz012345".repeat(10)

const exporter = Layer.provide(
  Otlp.layerJson({
    baseUrl: process.argv[2] ?? "",
    resource: { serviceName: "effect-rwkv" },
    shutdownTimeout: "5 seconds"
  }),
  FetchHttpClient.layer
)

const options: Emulator.Options = {
  reply: ({ text: prompt }) => prompt.includes("endless") ? { tokens: ["a", "b"], end: "loop" } : text
}

const services = Layer.provideMerge(RWKV.layer({ headers: { "x-key": "a secret" } }), Emulator.layer(options))

const request = { prompt: "a private prompt", maxTokens: 320, temperature: 0.5, topK: 3 }

const program = Effect.gen(function*() {
  const { inject } = yield* Emulator.Emulator
  yield* inject({ on: { method: "POST", path: "/tmp" }, kind: Emulator.FaultKind.Refuse() })
  yield* inject({ on: { path: "/stream" }, kind: Emulator.FaultKind.Cut({ afterBytes: 120, clean: false }) })
  yield* Stream.runDrain(StreamService.createEvents(request))
  yield* TaskService.run(request)
  yield* Effect.ignore(TaskService.status("TMP_404"))
  yield* inject({
    on: { path: "/stop" },
    times: Infinity,
    kind: Emulator.FaultKind.Status({ status: 200, body: "{}" })
  })
  yield* Stream.runDrain(Stream.take(StreamService.create({ ...request, prompt: "endless", maxTokens: 40_000 }), 1))
  yield* Effect.sleep("6 seconds")
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(services),
    Effect.provide(Telemetry.layer({ model: "rwkv-7" })),
    Effect.provide(exporter)
  )
)
