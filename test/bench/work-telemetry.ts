/**
 * What telemetry costs a stream: one process in which streams without spans and those of one variant go in turn, in short
 * blocks, so that each block has the same machine beside it. There are as many of either kind, for the compiler favours
 * what runs most. The server is another process; only the CPU of this one counts, and all of it: requests, spans of the
 * platform, and garbage collection, for which V8 has one thread here.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { RWKV, StreamService, Telemetry } from "effect-rwkv"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { encode, scenario } from "./scenario.js"
import { medianInterval, quantile } from "./stats.js"

const [, , baseUrl = "", variant = "", rounds = "", streams = ""] = process.argv

/** A tracer that keeps what it is told, as an exporter does before it sends it. */
const listening = () => {
  const native = Effect.runSync(Effect.tracer)
  let spans: Array<Tracer.Span> = []
  const span: Tracer.Tracer["span"] = (...args) => {
    const span = native.span(...args)
    if (spans.length > 512) spans = []
    spans.push(span)
    return span
  }
  return Layer.setTracer(Tracer.make({ span, context: (run) => run() }))
}

const off = Layer.setTracerEnabled(false)

const variants: Readonly<Record<string, () => Layer.Layer<never>>> = {
  /** As far as this one is from 1, nothing is shown. */
  same: () => off,
  unheard: () => Layer.empty,
  heard: () => Layer.merge(listening(), Telemetry.layer({ model: "rwkv-7-g1" }))
}

const what = scenario({ frames: 1000 })

/** Runs some streams of 1,000 frames, from their creation to their deletion, and tells the CPU that took. */
const blockOf = async (live: Layer.Layer<never>) => {
  const services = Layer.provide(RWKV.layer({ baseUrl }), NodeHttpClient.layerUndici)
  const runtime = ManagedRuntime.make(Layer.provideMerge(services, live))
  await runtime.runtime()
  const stream = Effect.suspend(() => {
    let length = 0
    const read = Stream.runForEachChunk(StreamService.create({ prompt: encode(what) }), (texts) =>
      Effect.sync(() => {
        for (const text of texts) length += text.length
      }))
    return Effect.andThen(
      read,
      Effect.sync(() => {
        if (length !== what.frames * what.size) throw new Error(`${length} characters`)
      })
    )
  })
  const all = Effect.repeatN(stream, Number(streams) - 1)
  return async () => {
    const before = process.cpuUsage()
    await runtime.runPromise(all)
    const { system, user } = process.cpuUsage(before)
    return system + user
  }
}

const [plain, varied] = [await blockOf(off), await blockOf(variants[variant]?.() ?? off)]

/** Each twice, and each as often first as last: what changes slowly is on both sides. */
const ratio = async () => {
  const [first, second] = Math.random() < 0.5 ? [plain, varied] : [varied, plain]
  const [a, b, c, d] = [await first(), await second(), await second(), await first()]
  return first === varied ? (a + d) / (b + c) : (b + c) / (a + d)
}

for (let warm = 0; warm < 100; warm++) await ratio()
const ratios: Array<number> = []
for (let round = 0; round < Number(rounds); round++) ratios.push(await ratio())
const [low, high] = medianInterval(ratios)
process.stdout.write(`${JSON.stringify({ median: quantile(ratios, 0.5), low, high })}\n`)
process.exit(0)
