/**
 * How records of operations begin: with a span, and with what all metrics of an operation are tagged with.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as MetricLabel from "effect/MetricLabel"
import { Newest } from "../input/newest.js"
import { isTaskId } from "../input/validate.js"
import { type Given, type Labels, observing, spanOf, type Tags } from "./record.js"
import type { Begin } from "./recorder.js"

type Attributes = Readonly<Record<string, string | number>>

/** Metrics know a list of labels again by its identity, which is much cheaper than by what is in it. */
const makeLabels = () => {
  const known = new WeakMap<Labels, Map<string, Labels>>()
  return (outer: Labels, shared: Attributes) => {
    const lists = known.get(outer) ?? new Map<string, Labels>()
    known.set(outer, lists)
    const about = JSON.stringify(shared)
    return (tags?: Tags): Labels => {
      const key = tags === undefined ? about : about + JSON.stringify(tags)
      const labels = lists.get(key) ??
        [...outer, ...Object.entries({ ...shared, ...tags }).map(([name, tag]) => MetricLabel.make(name, String(tag)))]
      lists.set(key, labels)
      return labels
    }
  }
}

export const make = (given: Given): Begin => {
  const { names } = given
  const observe = observing(given, new Newest())
  const labelsOf = makeLabels()
  const servers = new Newest<Attributes>()

  const serverOf = (baseUrl: string | undefined): Attributes => {
    if (baseUrl === undefined) return { [names.provider]: "rwkv" }
    const known = servers.get(baseUrl)
    if (known !== undefined) return known
    const { hostname, port, protocol } = new URL(baseUrl)
    const server = {
      [names.provider]: "rwkv",
      [names.address]: hostname,
      [names.port]: port === "" ? protocol === "https:" ? 443 : 80 : Number(port)
    }
    servers.set(baseUrl, server)
    return server
  }

  return {
    begin: (begun) =>
      Effect.withFiberRuntime((fiber) => {
        const { about, baseUrl, kind, operation } = begun
        const settings = Context.get(fiber.currentContext, given.settings)
        const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
        const { model } = settings
        const shared = {
          ...(kind !== "call" && { [names.operationName]: names.completion }),
          ...(model !== undefined && { [names.model]: model })
        }
        const taskId = isTaskId(about) ? about : undefined
        const name = kind === "call"
          ? operation
          : model === undefined
          ? names.completion
          : `${names.completion} ${model}`
        const labels = (baseUrl: string | undefined) =>
          labelsOf(fiber.getFiberRef(FiberRef.currentMetricLabels), { ...serverOf(baseUrl), ...shared })
        return Effect.map(
          spanOf(name, kind === "call" && operation === "TaskService.runAll" ? "internal" : "client", {
            ...serverOf(baseUrl),
            ...shared,
            [names.verb]: operation,
            ...(kind !== "call" && { [names.stream]: operation.startsWith("StreamService.") }),
            ...(taskId !== undefined && { [names.taskId]: taskId })
          }),
          (span) =>
            observe({ ...begun, settings, clock, begun: clock.unsafeCurrentTimeNanos(), labels, serverOf }, span, {
              healed: 0,
              reconnects: 0,
              baseUrl,
              labels: labels(baseUrl),
              taskId,
              running: false,
              shared: false,
              counted: false
            })
        )
      })
  }
}
