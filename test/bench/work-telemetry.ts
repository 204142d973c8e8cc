/**
 * What spans and records cost a stream: one process in which streams without spans, streams of a program that asks for
 * none, and streams whose records and spans a tracer keeps go in turn, in short blocks, so that each block has the same
 * machine beside it. The server is another process, and only the CPU of this one counts.
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

const [, , baseUrl = "", rounds = "", streams = ""] = process.argv

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
    context: (run) => run()
  }))
  return Layer.merge(tracer, Telemetry.layer({ model: "rwkv-7-g1" }))
}

const off = Layer.setTracerEnabled(false)

/** The first is what the others are compared with. The second is the same again: as far as it is from 1, nothing is shown. */
const variants = {
  "no spans": off,
  "no spans, again": off,
  "nobody listens": Layer.empty,
  "Telemetry.layer, and a tracer that keeps spans": listening()
}

const what = scenario({ frames: 1000 })

const block = async (live: Layer.Layer<never>) => {
  const services = Layer.provide(RWKV.layer({ baseUrl }), NodeHttpClient.layerUndici)
  const runtime = ManagedRuntime.make(Layer.provideMerge(services, live))
  await runtime.runtime()
  const stream = Effect.suspend(() => {
    let length = 0
    return Effect.map(
      Stream.runForEachChunk(StreamService.create({ prompt: encode(what) }), (texts) =>
        Effect.sync(() => {
          for (const text of texts) length += text.length
        })),
      () => {
        if (length !== what.frames * what.size) throw new Error(`${length} characters`)
      }
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

const blocks = await Promise.all(
  Object.entries(variants).map(async ([name, live]) => ({ name, run: await block(live) }))
)

/** Each variant twice: in an order of chance, and back. */
const round = async () => {
  const order = blocks.map((_, index) => index)
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    ;[order[last], order[other]] = [order[other] ?? 0, order[last] ?? 0]
  }
  const cpu = blocks.map(() => 0)
  for (const index of [...order, ...order.toReversed()]) {
    cpu[index] = (cpu[index] ?? 0) + (await blocks[index]?.run() ?? 0)
  }
  return cpu
}

for (let warm = 0; warm < 20; warm++) await round()
const measured: Array<ReadonlyArray<number>> = []
for (let count = 0; count < Number(rounds); count++) measured.push(await round())

for (const [index, { name }] of blocks.entries()) {
  const ratios = measured.map((cpu) => (cpu[index] ?? 0) / (cpu[0] ?? 0))
  const cpu = measured.map((cpu) => (cpu[index] ?? 0) / 2 / Number(streams))
  const [low, high] = medianInterval(ratios)
  const figure = (value: number) => value.toFixed(3)
  process.stdout.write(
    `${name}: ${Math.round(quantile(cpu, 0.5))} µs of CPU, ratio ${figure(quantile(ratios, 0.5))}, ` +
      `95 % of ${figure(low)} to ${figure(high)}, of minima ${
        figure(Math.min(...cpu) / Math.min(...measured.map((cpu) => (cpu[0] ?? 0) / 2 / Number(streams))))
      }\n`
  )
}
process.exit(0)
