// RWKV at RWKV_BASE_URL, or an emulator that outlives the programs: a process of its own, which the first one starts.
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Config, Effect, Layer, Option, Schedule } from "effect"
import { RWKV } from "effect-rwkv"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const emulator = "http://127.0.0.1:38765"

const asked = Effect.scoped(HttpClient.get(`${emulator}/v1/models`))

const begin = Effect.sync(() => {
  const program = fileURLToPath(new URL("emulator.ts", import.meta.url))
  spawn(process.execPath, ["--import", "tsx", program], { detached: true, stdio: "ignore" }).unref()
})

const emulated = asked.pipe(
  Effect.catchAll(() =>
    Effect.zipRight(begin, Effect.retry(asked, { schedule: Schedule.spaced("200 millis"), times: 100 }))
  ),
  Effect.as(RWKV.layer({ baseUrl: emulator }))
)

/** The server of both programs. */
export const layer = Layer.unwrapEffect(Effect.gen(function*() {
  const given = yield* Config.option(Config.nonEmptyString("RWKV_BASE_URL"))
  return Option.isSome(given) ? RWKV.layerConfig() : yield* emulated
})).pipe(Layer.provide(NodeHttpClient.layerUndici))
